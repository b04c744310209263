//! [`ShadowPrecision`]: how latent weights are kept.

use std::fmt::Debug;

use half::bf16;
use ternary_core::Weights;

use crate::module::ValuesMut;

/// The precision of the latent weights ("shadow") of a [`BitLinear`](crate::BitLinear): `f32` or `bf16`.
pub trait ShadowPrecision: Copy + Debug + Send + Sync + 'static {
    /// The weights as a quantiser reads them.
    fn weights(values: &[Self]) -> Weights<'_>;

    /// The weights as an optimiser changes them.
    fn values_mut<T>(values: &mut [Self]) -> ValuesMut<'_, T>;

    /// The nearest number of this precision.
    fn from_f32(value: f32) -> Self;

    /// The same number in `f32`.
    fn to_f32(self) -> f32;
}

impl ShadowPrecision for f32 {
    fn weights(values: &[Self]) -> Weights<'_> {
        Weights::F32(values)
    }

    fn values_mut<T>(values: &mut [Self]) -> ValuesMut<'_, T> {
        ValuesMut::F32(values)
    }

    fn from_f32(value: f32) -> Self {
        value
    }

    fn to_f32(self) -> f32 {
        self
    }
}

impl ShadowPrecision for bf16 {
    fn weights(values: &[Self]) -> Weights<'_> {
        Weights::Bf16(values)
    }

    fn values_mut<T>(values: &mut [Self]) -> ValuesMut<'_, T> {
        ValuesMut::Bf16(values)
    }

    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }

    fn to_f32(self) -> f32 {
        self.to_f32()
    }
}
