//! Two uniform numbers to two normal ones, with the same bits on every platform.

use std::f64::consts::{LN_2, TAU};

/// Box and Muller (1958): `r = √(−2 ln u)`, `z = (r cos 2πv, r sin 2πv)` for u in (0, 1] and v in
/// [0, 1) are two independent standard normal numbers.
///
/// Logarithm, sine and cosine are computed here from `+ − × ÷` in a fixed order rather than by the
/// platform's library, whose last bits differ from one platform to the next.
#[inline]
pub(super) fn box_muller(u: f64, v: f64) -> [f64; 2] {
    let radius = (-2.0 * logarithm(u)).sqrt();
    let (sine, cosine) = sine_cosine_of_turn(v);
    [radius * cosine, radius * sine]
}

/// ln u for u in (0, 1]: with u = m·2ᵉ, m in [√½, √2), and s = (m − 1)/(m + 1),
/// ln u = e·ln 2 + 2·(s + s³/3 + s⁵/5 + …). The first term left out is below 2⁻⁵⁷ of the sum.
#[inline]
fn logarithm(u: f64) -> f64 {
    const SQRT_HALF_BITS: u64 = std::f64::consts::FRAC_1_SQRT_2.to_bits();
    const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    // Measured from √½, the exponent field counts e and what is left of the bits is that of m.
    let offset = u.to_bits().wrapping_sub(SQRT_HALF_BITS) as i64;
    let exponent = offset >> MANTISSA_BITS;
    let mantissa = f64::from_bits(u.to_bits().wrapping_sub((exponent << MANTISSA_BITS) as u64));
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let mut series = 0.0;
    for term in (0..11).rev() {
        series = series * square + 1.0 / f64::from(2 * term + 1);
    }
    exponent as f64 * LN_2 + 2.0 * s * series
}

/// sin 2πv and cos 2πv for v in [0, 1): v is brought to within an eighth of a turn around the nearest
/// quarter, where nine terms of the Taylor series are enough for every bit.
#[inline]
fn sine_cosine_of_turn(v: f64) -> (f64, f64) {
    let quarter = (4.0 * v + 0.5) as i32;
    let x = TAU * (v - 0.25 * f64::from(quarter));
    let square = x * x;
    let (mut sine, mut cosine) = (1.0, 1.0);
    for term in (1..9).rev() {
        let n = f64::from(2 * term);
        sine = 1.0 - sine * square * (1.0 / (n * (n + 1.0)));
        cosine = 1.0 - cosine * square * (1.0 / (n * (n - 1.0)));
    }
    sine *= x;
    // Random quarters defeat branch prediction, hence the sign bits: those of sin are (0, 0, 1, 1) and
    // those of cos (0, 1, 1, 0) over the four quarters, of which the odd ones swap the two.
    let (first, second) = if quarter & 1 == 0 { (sine, cosine) } else { (cosine, sine) };
    let quarter = quarter as u64;
    let negate = |value: f64, bit: u64| f64::from_bits(value.to_bits() ^ (bit & 2) << 62);
    (negate(first, quarter), negate(second, quarter + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of (0, 1], dense near both ends.
    fn unit_interval() -> impl Iterator<Item = f64> {
        let even = (1..=4000).map(|i| f64::from(i) / 4000.0);
        even.chain((1..200).flat_map(|i| {
            let tiny = 0.8_f64.powi(i);
            [tiny, 1.0 - tiny * 0.5]
        }))
    }

    #[test]
    fn the_logarithm_is_good_to_a_few_units_in_the_last_place() {
        for u in unit_interval().chain([f64::from_bits(f64::to_bits(1.0) - 1), 2.0_f64.powi(-53)]) {
            let (found, expected) = (logarithm(u), u.ln());
            let error = (found - expected).abs();
            assert!(error <= 4.0 * f64::EPSILON * expected.abs(), "ln {u}: {found}, {expected}");
        }
        assert_eq!(logarithm(1.0), 0.0);
    }

    #[test]
    fn sine_and_cosine_of_a_turn_lie_on_the_circle_where_they_should() {
        for v in unit_interval().map(|u| 1.0 - u) {
            let (sine, cosine) = sine_cosine_of_turn(v);
            let (expected_sine, expected_cosine) = (TAU * v).sin_cos();
            // The angle τ·v of the reference is itself rounded, by up to τ·ε/2.
            let tolerance = 4.0 * f64::EPSILON;
            assert!((sine - expected_sine).abs() <= tolerance, "sin 2π·{v}");
            assert!((cosine - expected_cosine).abs() <= tolerance, "cos 2π·{v}");
        }
        assert_eq!([0.0, 0.25, 0.5, 0.75].map(|v| sine_cosine_of_turn(v).0), [0.0, 1.0, 0.0, -1.0]);
    }

    #[test]
    fn the_largest_number_comes_from_the_smallest_uniform_one() {
        let [largest, zero] = box_muller(2.0_f64.powi(-32), 0.0);
        assert!((largest - (64.0 * LN_2).sqrt()).abs() < 1e-14);
        assert_eq!(zero, 0.0);
        assert!(box_muller(1.0, 0.3).iter().all(|z| *z == 0.0));
    }
}
