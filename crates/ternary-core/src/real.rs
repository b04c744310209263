//! [`Real`]: the floating types that generic numerics run in.

use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

/// `f32` or `f64`. Layers and their gradients are written once over this trait: training runs them
/// in `f32`, the gradient check runs the same code in `f64`.
///
/// There is no fused multiply-add here. `a * b + c` rounds twice everywhere, Rust never contracts it,
/// and so a formula over `Real` has the same bits on every machine as long as it keeps to
/// `+ − × ÷ √`. A kernel that wants the single rounding (and the speed) of a fused instruction must
/// spell it out. The transcendental functions come from the platform's mathematics library and may
/// differ between platforms in the last bit.
///
/// ```
/// use ternary_core::Real;
///
/// fn root_mean_square<T: Real>(x: &[T]) -> T {
///     (x.iter().map(|&x| x * x).sum::<T>() / T::from_usize(x.len())).sqrt()
/// }
/// assert_eq!(root_mean_square(&[3.0_f32, 3.0]), 3.0);
/// assert_eq!(root_mean_square(&[1.0_f64, 7.0]), 5.0);
/// ```
pub trait Real:
    Copy
    + Send
    + Sync
    + Default
    + Debug
    + Display
    + PartialOrd
    + bytemuck::Pod
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
    + for<'a> Sum<&'a Self>
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// ½.
    const HALF: Self;
    /// 1.
    const ONE: Self;
    /// The distance from 1 to the next larger number.
    const EPSILON: Self;
    /// The largest finite number.
    const MAX: Self;

    /// The nearest number of this type.
    fn from_f64(value: f64) -> Self;
    /// The same number (`f32` embeds in both types).
    fn from_f32(value: f32) -> Self;
    /// The nearest number to a count.
    fn from_usize(value: usize) -> Self;
    /// The same number in `f64`.
    fn to_f64(self) -> f64;
    /// The nearest `f32`.
    fn to_f32(self) -> f32;

    /// |x|.
    #[must_use]
    fn abs(self) -> Self;
    /// √x, correctly rounded.
    #[must_use]
    fn sqrt(self) -> Self;
    /// eˣ.
    #[must_use]
    fn exp(self) -> Self;
    /// eˣ − 1, precise near 0.
    #[must_use]
    fn exp_m1(self) -> Self;
    /// The natural logarithm.
    #[must_use]
    fn ln(self) -> Self;
    /// ln(1 + x), precise near 0.
    #[must_use]
    fn ln_1p(self) -> Self;
    /// The hyperbolic tangent.
    #[must_use]
    fn tanh(self) -> Self;
    /// The sine of an angle in radians.
    #[must_use]
    fn sin(self) -> Self;
    /// The cosine of an angle in radians.
    #[must_use]
    fn cos(self) -> Self;
    /// xⁿ for an integer n.
    #[must_use]
    fn powi(self, exponent: i32) -> Self;
    /// xʸ.
    #[must_use]
    fn powf(self, exponent: Self) -> Self;
    /// The larger of two numbers; a NaN loses against a number.
    #[must_use]
    fn max(self, other: Self) -> Self;
    /// The smaller of two numbers; a NaN loses against a number.
    #[must_use]
    fn min(self, other: Self) -> Self;
    /// The nearest integer, a half to the even one.
    #[must_use]
    fn round_ties_even(self) -> Self;
    /// Neither NaN nor infinite.
    fn is_finite(self) -> bool;
}

/// Forwards each method to the inherent one of the same name.
macro_rules! forward {
    ($float:ident: $($method:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(
            #[inline]
            fn $method(self $(, $argument: $type)*) -> $result {
                $float::$method(self $(, $argument)*)
            }
        )*
    };
}

macro_rules! impl_real {
    ($($float:ident)*) => {$(
        impl Real for $float {
            const ZERO: Self = 0.0;
            const HALF: Self = 0.5;
            const ONE: Self = 1.0;
            const EPSILON: Self = $float::EPSILON;
            const MAX: Self = $float::MAX;

            #[inline]
            fn from_f64(value: f64) -> Self {
                value as Self
            }

            #[inline]
            fn from_f32(value: f32) -> Self {
                value.into()
            }

            #[inline]
            fn from_usize(value: usize) -> Self {
                value as Self
            }

            #[inline]
            fn to_f64(self) -> f64 {
                self.into()
            }

            #[inline]
            fn to_f32(self) -> f32 {
                self as f32
            }

            forward! { $float:
                abs() -> Self;
                sqrt() -> Self;
                exp() -> Self;
                exp_m1() -> Self;
                ln() -> Self;
                ln_1p() -> Self;
                tanh() -> Self;
                sin() -> Self;
                cos() -> Self;
                powi(exponent: i32) -> Self;
                powf(exponent: Self) -> Self;
                max(other: Self) -> Self;
                min(other: Self) -> Self;
                round_ties_even() -> Self;
                is_finite() -> bool;
            }
        }
    )*};
}

impl_real!(f32 f64);

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::{E, LN_2, SQRT_2};

    /// Every function against the value that a table of functions gives.
    fn check_functions<T: Real>(tolerance: f64) {
        let at = T::from_f64;
        let cases = [
            (at(-2.5).abs(), 2.5),
            (at(2.0).sqrt(), SQRT_2),
            (T::ONE.exp(), E),
            (at(1e-3).exp_m1(), 1.000_500_166_708_342e-3),
            (at(2.0).ln(), LN_2),
            (at(1e-3).ln_1p(), 9.995_003_330_835_332e-4),
            (T::HALF.tanh(), 0.462_117_157_260_01),
            (T::HALF.sin(), 0.479_425_538_604_203),
            (T::HALF.cos(), 0.877_582_561_890_373),
            (at(-1.5).powi(3), -3.375),
            (at(2.0).powf(T::HALF), SQRT_2),
            (T::ONE.max(at(f64::NAN)), 1.0),
            (T::ONE.min(T::ZERO), 0.0),
            (at(2.5).round_ties_even(), 2.0),
            (at(-3.5).round_ties_even(), -4.0),
            ([T::ONE, T::HALF].iter().sum(), 1.5),
        ];
        for (index, (found, expected)) in cases.into_iter().enumerate() {
            let error = (found.to_f64() - expected).abs();
            assert!(error <= tolerance * expected.abs(), "case {index}: {found} and {expected}");
        }
        assert!(T::MAX.is_finite() && !(T::MAX + T::MAX).is_finite());
        assert!(T::ONE + T::EPSILON > T::ONE && T::ONE + T::EPSILON * T::HALF == T::ONE);
    }

    #[test]
    fn both_types_compute_every_function_to_their_own_precision() {
        check_functions::<f32>(2.0 * f64::from(f32::EPSILON));
        check_functions::<f64>(8.0 * f64::EPSILON);
    }

    #[test]
    fn conversions_round_to_the_nearest_number() {
        assert_eq!(<f32 as Real>::from_f64(0.1), 0.1_f32);
        assert_eq!(<f64 as Real>::from_f32(0.1), f64::from(0.1_f32));
        assert_eq!(<f32 as Real>::from_usize((1 << 24) + 1), 16_777_216.0);
        assert_eq!(Real::to_f32(1.0_f64 + 1e-9), 1.0);
        assert_eq!(Real::to_f64(1.5_f32), 1.5);
    }
}
