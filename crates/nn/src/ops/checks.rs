//! What the tests of the ops share: numbers, slopes, comparisons and thread pools.

use ternary_core::Real;

/// Numbers of [−2, 2) that both types hold exactly, none of them 0; the same for the same seed.
pub(super) fn numbers<T: Real>(seed: u64, count: usize) -> Vec<T> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = (state >> 44) as u32 | 1;
        T::from_f64(f64::from(bits) / f64::from(1 << 18) - 2.0)
    };
    (0..count).map(|_| next()).collect()
}

/// Σ xᵢ yᵢ.
pub(super) fn inner(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// The slope of `f` along each entry: central differences over two distances, extrapolated to 0.
pub(super) fn slopes(at: &[f64], mut f: impl FnMut(&[f64]) -> f64) -> Vec<f64> {
    let mut x = at.to_vec();
    let mut slope = |index: usize, distance: f64| {
        let centre = x[index];
        x[index] = centre + distance;
        let above = f(&x);
        x[index] = centre - distance;
        let below = f(&x);
        x[index] = centre;
        (above - below) / (2.0 * distance)
    };
    (0..at.len()).map(|index| (4.0 * slope(index, 5e-4) - slope(index, 1e-3)) / 3.0).collect()
}

/// Asserts that a backward added the slopes to what the gradient held before.
pub(super) fn assert_slopes(what: &str, gradient: &[f64], before: &[f64], slopes: &[f64]) {
    assert_eq!(gradient.len(), slopes.len());
    let largest = slopes.iter().fold(0.0_f64, |largest, slope| largest.max(slope.abs()));
    for (index, slope) in slopes.iter().enumerate() {
        let added = gradient[index] - before[index];
        // What is left of the extrapolation is of the order of (5e-4)⁴, and rounding of 1e-16 / 5e-4.
        let tolerance = 1e-9 * slope.abs() + 1e-9 * largest + 1e-11;
        assert!((added - slope).abs() <= tolerance, "{what} {index}: {added}, slope {slope}");
    }
}

/// Asserts that each number is within its bound of the exact one.
pub(super) fn assert_within(
    what: &str,
    found: &[f32],
    exact: &[f64],
    bound: impl Fn(usize) -> f64,
) {
    assert_eq!(found.len(), exact.len());
    for (index, (&found, &exact)) in found.iter().zip(exact).enumerate() {
        let error = (f64::from(found) - exact).abs();
        let bound = bound(index);
        assert!(error <= bound, "{what} {index}: {found}, exactly {exact}: {error:e} > {bound:e}");
    }
}

/// Asserts that two arrays hold the same bits.
pub(super) fn assert_same_bits(x: &[f32], y: &[f32]) {
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(x), bits(y));
}

/// What `run` gives, asserted to have the same bits on one, two and three threads.
pub(super) fn same_on_any_number_of_threads(run: impl Fn() -> Vec<f32> + Sync) -> Vec<f32> {
    let on = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&run)
    };
    let one = on(1);
    assert_same_bits(&one, &on(2));
    assert_same_bits(&one, &on(3));
    one
}

/// Numbers of [−16, 16).
pub(super) fn scaled<T: Real>(seed: u64, count: usize) -> Vec<T> {
    numbers(seed, count).into_iter().map(|x: T| x * T::from_f64(8.0)).collect()
}
