//! eˣ in each lane.

use super::lanes::Lanes;

/// eˣ = 2ⁿ · eʳ with n = round(x / ln 2) and |r| ≤ ln 2 / 2, within 2 units in the last place.
///
/// Exactly 1 at 0; what is too small for a normal number is flushed to 0, what is too large is ∞, and
/// NaN stays NaN. The same arithmetic in each lane.
///
/// # Safety
/// The processor has the instruction set of `L`.
#[inline(always)]
pub(crate) unsafe fn exp<L: Lanes>(x: L) -> L {
    /// The smallest x whose exponential is a normal number, and the largest whose is finite.
    const RANGE: (f32, f32) = (-87.336_54, 88.722_83);
    /// ln 2 in two parts; the first has 9 bits, so that its product with n is exact.
    const LN_2: (f32, f32) = (355.0 / 512.0, -2.121_944_4e-4);
    /// eʳ ≈ 1 + r + r² · Σ cᵢ rⁱ: the minimax polynomial for the relative error on |r| ≤ ln 2 / 2,
    /// which is 3.1e-9.
    const COEFFICIENTS: [f32; 5] =
        [0.499_999_94, 0.166_665_21, 4.166_839e-2, 8.368_717_5e-3, 1.381_459_6e-3];

    // SAFETY: passed on from the caller.
    unsafe {
        let n = x.mul(L::splat(std::f32::consts::LOG2_E)).round();
        let r = n.mul_add(L::splat(-LN_2.0), x);
        let r = n.mul_add(L::splat(-LN_2.1), r);
        let mut polynomial = L::splat(COEFFICIENTS[4]);
        polynomial = polynomial.mul_add(r, L::splat(COEFFICIENTS[3]));
        polynomial = polynomial.mul_add(r, L::splat(COEFFICIENTS[2]));
        polynomial = polynomial.mul_add(r, L::splat(COEFFICIENTS[1]));
        polynomial = polynomial.mul_add(r, L::splat(COEFFICIENTS[0]));
        // 1 + (r + r² · Σ), so that the last rounding is the only large one.
        let small = r.mul(r).mul_add(polynomial, r);
        let power = small.add(L::splat(1.0)).scale(n);
        let power = x.select_less(L::splat(RANGE.0), L::splat(0.0), power);
        L::splat(RANGE.1).select_less(x, L::splat(f32::INFINITY), power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{LANES, on_every_isa, simd_function};

    #[inline(always)]
    unsafe fn exp_in_place<L: Lanes>(x: &mut [f32; LANES]) {
        // SAFETY: passed on from the caller.
        unsafe { *x = exp(L::from_array(x)).to_array() }
    }

    simd_function! {
        fn run(x: &mut [f32; LANES]) = exp_in_place;
    }

    /// The error in units of the last place of the exact value.
    fn error(x: f32, found: f32) -> f64 {
        let exact = f64::from(x).exp();
        let exponent = exact.log2().floor().max(-126.0);
        (f64::from(found) - exact).abs() / (exponent - 23.0).exp2()
    }

    #[test]
    fn every_lane_is_within_two_units_in_the_last_place_over_the_whole_range() {
        on_every_isa(|| {
            let mut largest = 0.0_f64;
            // Every 997th float between the smallest and the largest argument of a normal result.
            for bits in (0..88.722_83_f32.to_bits()).step_by(997 * LANES / 2) {
                let mut x = [0.0; LANES];
                for (lane, x) in x.iter_mut().enumerate() {
                    let magnitude = f32::from_bits(bits + 997 * (lane as u32 / 2));
                    let magnitude =
                        magnitude.min(if lane % 2 == 0 { 88.722_83 } else { 87.336_54 });
                    *x = if lane % 2 == 0 { magnitude } else { -magnitude };
                }
                let mut y = x;
                run(&mut y);
                for (x, y) in x.into_iter().zip(y) {
                    largest = largest.max(error(x, y));
                }
            }
            assert!(largest <= 2.0, "{largest}");
        });
    }

    #[test]
    fn the_ends_and_what_is_no_number_have_their_limits() {
        on_every_isa(|| {
            let cases = [
                (0.0, 1.0),
                (-0.0, 1.0),
                (f32::NEG_INFINITY, 0.0),
                (f32::MIN, 0.0),
                (-1e9, 0.0),
                (-88.0, 0.0),
                (f32::INFINITY, f32::INFINITY),
                (f32::MAX, f32::INFINITY),
                (1e9, f32::INFINITY),
                (88.722_84, f32::INFINITY),
            ];
            for (x, expected) in cases {
                let mut y = [x; LANES];
                run(&mut y);
                assert_eq!(y, [expected; LANES], "exp({x})");
            }
            let mut y = [f32::NAN; LANES];
            run(&mut y);
            assert!(y.iter().all(|y| y.is_nan()));
        });
    }
}
