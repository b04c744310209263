use super::*;
use proptest::prelude::*;

const COUNT: usize = 200_000;

/// Checks the mean and the variance of numbers against those of their distribution, to four standard
/// deviations of each estimate: σ/√N, and √(μ₄ − σ⁴)/√N with the fourth central moment μ₄.
fn check_moments(numbers: &[f64], mean: f64, variance: f64, fourth: f64) {
    let n = numbers.len() as f64;
    let found = numbers.iter().sum::<f64>() / n;
    assert!((found - mean).abs() < 4.0 * (variance / n).sqrt(), "mean {found}");
    let found = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    let tolerance = 4.0 * ((fourth - variance * variance) / n).sqrt();
    assert!((found - variance).abs() < tolerance, "variance {found}");
}

#[test]
fn uniform_numbers_have_the_moments_of_the_unit_interval() {
    let noise = Noise::new(1, 2, 3);
    let (mut single, mut double) = (vec![0.0; COUNT], vec![0.0; COUNT]);
    noise.fill_uniform(0, &mut single);
    noise.fill_uniform_f64(0, &mut double);
    let single: Vec<f64> = single.into_iter().map(f64::from).collect();
    for numbers in [single, double] {
        assert!(numbers.iter().all(|x| (0.0..1.0).contains(x)));
        check_moments(&numbers, 0.5, 1.0 / 12.0, 1.0 / 80.0);
    }
}

#[test]
fn centred_numbers_have_mean_zero_by_construction() {
    let mut numbers = vec![0.0; COUNT];
    Noise::new(4, 5, 6).fill_centred(0, &mut numbers);
    let numbers: Vec<f64> = numbers.into_iter().map(f64::from).collect();
    assert!(numbers.iter().all(|x| x.abs() < 0.5 && *x != 0.0));
    check_moments(&numbers, 0.0, 1.0 / 12.0, 1.0 / 80.0);
    // Flipping every bit mirrors the number, so each has its opposite.
    for bits in [0, 1, 255, 256, 0x7fff_ffff, 0x8000_0000, 0xdead_beef, u32::MAX] {
        assert_eq!(centred(bits), -centred(!bits), "{bits:#x}");
    }
    assert_eq!(centred(u32::MAX), 0.5 - f32::EPSILON / 4.0);
}

#[test]
fn normal_numbers_have_the_moments_of_a_gaussian() {
    let noise = Noise::new(7, 8, 9);
    let (mut single, mut double) = (vec![0.0; COUNT], vec![0.0; COUNT]);
    noise.fill_normal(0, &mut single);
    noise.fill_normal_f64(0, &mut double);
    let single: Vec<f64> = single.into_iter().map(f64::from).collect();
    for numbers in [single, double] {
        check_moments(&numbers, 0.0, 1.0, 3.0);
        // P(|z| > 1) and P(|z| > 3), as counts with their binomial deviation.
        for (limit, p) in [(1.0, 0.317_310_508), (3.0, 0.002_699_796)] {
            let found = numbers.iter().filter(|z| z.abs() > limit).count() as f64;
            let n = COUNT as f64;
            assert!((found - p * n).abs() < 4.0 * (n * p * (1.0 - p)).sqrt(), "{limit}: {found}");
        }
        // The two numbers of a Box–Muller pair are independent.
        let product = numbers.chunks_exact(2).map(|pair| pair[0] * pair[1]).sum::<f64>();
        assert!(product.abs() < 4.0 * (COUNT as f64 / 2.0).sqrt(), "{product}");
    }
}

#[test]
fn signs_are_fair() {
    let noise = Noise::new(10, 11, 12);
    let signs: Vec<f64> = (0..COUNT as u64).map(|i| f64::from(noise.sign(i))).collect();
    assert!(signs.iter().all(|s| s.abs() == 1.0));
    let sum: f64 = signs.iter().sum();
    assert!(sum.abs() < 4.0 * (COUNT as f64).sqrt(), "{sum}");
}

#[test]
fn integers_below_n_fall_evenly() {
    let noise = Noise::new(13, 14, 15);
    let n = NonZeroU64::new(7).unwrap();
    let mut counts = [0.0; 7];
    for index in 0..COUNT as u64 {
        counts[noise.below(index, n) as usize] += 1.0;
    }
    let (expected, p) = (COUNT as f64 / 7.0, 1.0 / 7.0_f64);
    let tolerance = 4.0 * (COUNT as f64 * p * (1.0 - p)).sqrt();
    assert!(counts.iter().all(|c: &f64| (c - expected).abs() < tolerance), "{counts:?}");
    assert_eq!(noise.below(3, NonZeroU64::MIN), 0);
}

#[test]
fn integers_stay_unbiased_where_every_fourth_attempt_is_rejected() {
    // For n = 3·2⁶² the product alone would reach every third result twice as often as the others.
    let n = NonZeroU64::new(3 << 62).unwrap();
    let noise = Noise::new(16, 17, 18);
    let thirds = (0..COUNT as u64).filter(|&i| noise.below(i, n).is_multiple_of(3)).count() as f64;
    let tolerance = 4.0 * (COUNT as f64 * 2.0 / 9.0).sqrt();
    assert!((thirds - COUNT as f64 / 3.0).abs() < tolerance, "{thirds}");
    assert!((0..1000).all(|i| noise.below(i, n) < n.get()));
}

/// Correlation of two streams of uniform numbers.
fn correlation(a: &Noise, b: &Noise, shift: u64) -> f64 {
    let (mut x, mut y) = (vec![0.0; COUNT], vec![0.0; COUNT]);
    a.fill_centred(0, &mut x);
    b.fill_centred(shift, &mut y);
    let product: f64 = x.iter().zip(&y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
    12.0 * product / COUNT as f64
}

#[test]
fn streams_of_neighbouring_keys_do_not_correlate() {
    let noise = Noise::new(19, 20, 21);
    let tolerance = 4.0 / (COUNT as f64).sqrt();
    let others = [
        Noise::new(18, 20, 21),
        Noise::new(19 + (1 << 32), 20, 21),
        Noise::new(19, 21, 21),
        Noise::new(19, 20, 22),
        Noise::new(19, 21, 20),
    ];
    for other in &others {
        assert!(correlation(&noise, other, 0).abs() < tolerance, "{other:?}");
    }
    for shift in 1..10 {
        assert!(correlation(&noise, &noise, shift).abs() < tolerance, "{shift}");
    }
    assert!((correlation(&noise, &noise, 0) - 1.0).abs() < 0.01);
}

#[test]
fn the_address_reaches_philox_as_documented() {
    let noise = Noise::new(0x0123_4567_89ab_cdef, 0xaaaa, 0xbbbb);
    let block = philox4x32_10([5, 1, 0xaaaa, 0xbbbb], [0x89ab_cdef, 0x0123_4567]);
    let index = 4 * ((1 << 32) + 5);
    let mut bits = [0; 4];
    noise.fill_bits(index, &mut bits);
    assert_eq!(bits, block);
    assert_eq!(noise.uniform(index + 2), (block[2] >> 8) as f32 / 16_777_216.0);
}

#[test]
fn normal_numbers_have_the_same_bits_on_every_platform() {
    let noise = Noise::new(42, 0, 0);
    let bits: Vec<u32> = (0..4).map(|i| noise.normal(i).to_bits()).collect();
    assert_eq!(bits, [0xbf78_5e5c, 0x3e46_ace8, 0xbf9e_28d2, 0x3ff6_433b]);
    assert_eq!(noise.normal_f64(0).to_bits(), 0xbfe3_71e0_9f80_c7de);
}

proptest! {
    #[test]
    fn filling_from_any_offset_equals_single_numbers(
        seed: u64,
        parameter: u32,
        step: u32,
        start in prop_oneof![0..100_u64, Just(u64::MAX - 150), any::<u64>().prop_map(|i| i / 2)],
        length in 0..150_usize,
    ) {
        let noise = Noise::new(seed, parameter, step);
        macro_rules! check {
            ($($fill:ident $single:ident;)*) => {$(
                let mut filled = vec![Default::default(); length];
                noise.$fill(start, &mut filled);
                let single: Vec<_> = (0..length as u64).map(|i| noise.$single(start + i)).collect();
                prop_assert_eq!(filled, single, "{}", stringify!($single));
            )*};
        }
        check! {
            fill_bits bits;
            fill_uniform uniform;
            fill_uniform_f64 uniform_f64;
            fill_centred centred;
            fill_normal normal;
            fill_normal_f64 normal_f64;
        }
    }
}

#[test]
fn a_name_has_the_number_that_fnv_1a_gives_it() {
    for (name, expected) in [
        ("", 0xcbf2_9ce4_8422_2325),
        ("a", 0xaf63_dc4c_8601_ec8c),
        ("foobar", 0x8594_4171_f739_67e8),
    ] {
        assert_eq!(name_hash(name), expected, "{name:?}");
    }
}
