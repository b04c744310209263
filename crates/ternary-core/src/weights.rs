//! Latent weights to be quantised, in whichever floating type they are stored.

use half::{bf16, f16};

use crate::error::{Error, Result};
use crate::kernels::Kernels;

/// A slice of latent weights in one of three storage types. Statistics widen them to `f32` first, a
/// chunk at a time, so all three follow the same rules.
#[derive(Debug, Clone, Copy)]
pub enum Weights<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// bfloat16.
    Bf16(&'a [bf16]),
    /// IEEE half precision.
    F16(&'a [f16]),
}

impl<'a> From<&'a [f32]> for Weights<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self::F32(values)
    }
}

impl<'a> From<&'a [bf16]> for Weights<'a> {
    fn from(values: &'a [bf16]) -> Self {
        Self::Bf16(values)
    }
}

impl<'a> From<&'a [f16]> for Weights<'a> {
    fn from(values: &'a [f16]) -> Self {
        Self::F16(values)
    }
}

/// Weights widened at once by [`Weights::for_each_chunk`]. Sums are taken chunk by chunk, so this
/// number is part of their value.
pub(crate) const CHUNK: usize = 2048;

impl<'a> Weights<'a> {
    /// Number of weights.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(values) => values.len(),
            Self::F16(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The weights `range`.
    ///
    /// # Panics
    /// When the range is not inside the slice.
    #[must_use]
    pub fn slice(self, range: std::ops::Range<usize>) -> Self {
        match self {
            Self::F32(values) => Self::F32(&values[range]),
            Self::Bf16(values) => Self::Bf16(&values[range]),
            Self::F16(values) => Self::F16(&values[range]),
        }
    }

    /// Writes the weights, widened, to `out`.
    ///
    /// # Panics
    /// When `out` has another length.
    pub fn widen(self, out: &mut [f32]) {
        widen(self, out);
    }

    /// A copy as `f32`.
    pub fn to_f32(self) -> Vec<f32> {
        let mut out = vec![0.0; self.len()];
        self.widen(&mut out);
        out
    }

    /// Calls `visit` with runs of widened weights in order, every run but the last of one fixed
    /// length.
    pub fn for_each_chunk(self, mut visit: impl FnMut(&[f32])) {
        if let Self::F32(values) = self {
            return values.chunks(CHUNK).for_each(visit);
        }
        let mut widened = [0.0; CHUNK];
        for start in (0..self.len()).step_by(CHUNK) {
            let end = self.len().min(start + CHUNK);
            let widened = &mut widened[..end - start];
            self.slice(start..end).widen(widened);
            visit(widened);
        }
    }

    /// Checks that every weight is a finite number.
    ///
    /// # Errors
    /// [`Error::NonFinite`] with the index of the first that is not.
    pub fn check_finite(self) -> Result<()> {
        let mut start = 0;
        let mut bad = None;
        self.for_each_chunk(|chunk| {
            if bad.is_none() {
                bad = chunk.iter().position(|w| !w.is_finite()).map(|i| (start + i, chunk[i]));
            }
            start += chunk.len();
        });
        match bad {
            Some((index, value)) => {
                Err(Error::NonFinite { what: "weights", index, value: f64::from(value) })
            }
            None => Ok(()),
        }
    }

    /// Mean of |w|, summed in `f64` in one fixed order; 0 for no weights.
    ///
    /// # Errors
    /// [`Error::NonFinite`] with the index of the first weight that is not finite;
    /// [`Error::IsaUnavailable`] as for [`Kernels::detect`].
    pub fn mean_abs(self) -> Result<f64> {
        let kernels = Kernels::detect()?;
        let mut sum = 0.0;
        self.for_each_chunk(|chunk| sum += kernels.sum_abs(chunk));
        if !sum.is_finite() {
            self.check_finite()?;
        }
        Ok(if self.is_empty() { 0.0 } else { sum / self.len() as f64 })
    }

    /// Largest |w|; 0 for no weights.
    ///
    /// # Errors
    /// [`Error::NonFinite`] with the index of the first weight that is not finite.
    pub fn max_abs(self) -> Result<f32> {
        let mut max = 0;
        self.for_each_chunk(|chunk| max = max.max(max_abs_bits(chunk)));
        let max = f32::from_bits(max);
        if !max.is_finite() {
            self.check_finite()?;
        }
        Ok(max)
    }
}

/// See [`Weights::widen`]; a function of its own so that the kernels can compile it for an instruction
/// set.
#[inline(always)]
pub(crate) fn widen(weights: Weights<'_>, out: &mut [f32]) {
    match weights {
        Weights::F32(values) => out.copy_from_slice(values),
        Weights::Bf16(values) => {
            assert_eq!(values.len(), out.len());
            for (out, value) in out.iter_mut().zip(values) {
                *out = f32::from_bits(u32::from(value.to_bits()) << 16);
            }
        }
        Weights::F16(values) => half::slice::HalfFloatSliceExt::convert_to_f32_slice(values, out),
    }
}

/// Σ|w| over sixteen lanes in `f64`, the lanes added in order.
#[inline(always)]
pub(crate) fn sum_abs(values: &[f32]) -> f64 {
    let mut lanes = [0.0_f64; 16];
    let mut chunks = values.chunks_exact(16);
    for chunk in &mut chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(value.abs());
        }
    }
    for (lane, value) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane += f64::from(value.abs());
    }
    lanes.iter().sum()
}

/// The bits of the largest |w|. Without their sign, the bits of floats are ordered as the floats are,
/// with the infinities and then the NaNs on top, so nothing that is not finite gets lost.
fn max_abs_bits(values: &[f32]) -> u32 {
    values.iter().fold(0, |max, value| max.max(value.to_bits() & 0x7fff_ffff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_storage_types_give_the_same_statistics() {
        let values: Vec<f32> = (0..5000).map(|i| (i % 257) as f32 / 64.0 - 2.0).collect();
        let bf: Vec<bf16> = values.iter().map(|&v| bf16::from_f32(v)).collect();
        let half: Vec<f16> = values.iter().map(|&v| f16::from_f32(v)).collect();
        let wide: Vec<f32> = bf.iter().map(|v| v.to_f32()).collect();
        assert_eq!(Weights::from(&bf[..]).to_f32(), wide);
        assert_eq!(Weights::from(&bf[..]).mean_abs(), Weights::from(&wide[..]).mean_abs());
        // A 64th is exact in half precision.
        assert_eq!(Weights::from(&half[..]).to_f32(), values);
        assert_eq!(Weights::from(&half[..]).max_abs(), Ok(2.0));
        let naive = values.iter().map(|v| f64::from(v.abs())).sum::<f64>() / 5000.0;
        assert!((Weights::from(&values[..]).mean_abs().unwrap() - naive).abs() < 1e-12);
    }

    #[test]
    fn the_first_number_that_is_not_finite_is_named() {
        let mut values = vec![1.0_f32; 5000];
        values[4321] = f32::NAN;
        values[4400] = f32::INFINITY;
        let weights = Weights::from(&values[..]);
        for result in [weights.mean_abs().map(|_| ()), weights.max_abs().map(|_| ())] {
            assert!(matches!(result, Err(Error::NonFinite { index: 4321, .. })));
        }
        assert_eq!(Weights::F32(&[]).mean_abs(), Ok(0.0));
        assert_eq!(Weights::F32(&[]).max_abs(), Ok(0.0));
    }
}
