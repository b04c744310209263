//! Fewer and fewer bits.

use ternary_core::{Levels, Real, mutant};

use crate::error::{Error, Result};
use crate::estimator::Estimator;
use crate::progress::Progress;

/// Lowers the precision of the forward in stages, straight through in each: 8 bits, then 4, then 3, and
/// ternary from there on. Going from high to low precision in the course of training is one of the approaches
/// of Zhuang et al. ("Towards effective low-bitwidth convolutional neural networks", CVPR 2018, arXiv
/// 1711.00205); these bits and stages are our own.
///
/// ```text
/// step    = max|w|/(2^(bits−1) − 1)          the maximum of the scaling group
/// relaxed = step·round(w/step)               a half to the even code
/// φ(w)    = w
/// ```
///
/// The stages end at shares of the run: a quarter each unless told otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Staged {
    ends: [f32; 3],
}

/// The bits of the stages before the ternary one.
const BITS: [u32; 3] = [8, 4, 3];

impl Staged {
    /// The stages of 8, 4 and 3 bits end at these shares of the run.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless the shares rise from 0 to 1; equal ones leave a stage out.
    pub fn new(ends: [f32; 3]) -> Result<Self> {
        let mut before = 0.0;
        for end in ends {
            if !(before..=1.0).contains(&end) {
                let value = f64::from(end);
                let expected = "shares that rise from 0 to 1";
                return Err(Error::OutOfRange { what: "end of a stage", expected, value });
            }
            before = end;
        }
        Ok(Self { ends })
    }

    /// The bits of the stage; None in the ternary one.
    fn bits(&self, progress: Progress) -> Option<u32> {
        // In the precision of the ends, so that the step of a share lies at its end and not before it.
        let share = progress.share() as f32;
        let mut stages = self.ends.iter().zip(BITS);
        stages.find(|(end, _)| share < **end).map(|(_, bits)| bits)
    }
}

impl Default for Staged {
    fn default() -> Self {
        Self { ends: [0.25, 0.5, 0.75] }
    }
}

impl<T: Real> Estimator<T> for Staged {
    fn pass(&self, latent: &[T], _: Levels, _: Progress, gradient: &mut [T]) {
        assert_eq!(latent.len(), gradient.len());
        mutant!("Staged/sign", { gradient.iter_mut().for_each(|g| *g = -*g) });
        mutant!("Staged/factor 2", { gradient.iter_mut().for_each(|g| *g += *g) });
    }

    fn surrogate(&self, latent: T, _: Levels, _: Progress) -> Option<T> {
        Some(latent)
    }

    fn is_relaxed(&self, progress: Progress) -> bool {
        self.bits(progress).is_some()
    }

    fn relax(&self, latent: &[T], _: Levels, progress: Progress, relaxed: &mut [T]) {
        assert_eq!(latent.len(), relaxed.len());
        relaxed.copy_from_slice(latent);
        let Some(bits) = self.bits(progress) else { return };
        let bits = mutant!("Staged/a bit too many", bits, bits + 1);
        let codes = T::from_usize((1 << (bits - 1)) - 1);
        let largest = latent.iter().fold(T::ZERO, |largest, w| largest.max(w.abs()));
        let largest = mutant!(
            "Staged/largest of one sign",
            largest,
            latent.iter().fold(T::ZERO, |a, &w| a.max(w))
        );
        let step = largest / codes;
        if step > T::ZERO {
            relaxed.iter_mut().for_each(|w| *w = step * (*w / step).round_ties_even());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_has_fewer_values() {
        let latent: Vec<f64> = (-500..=500).map(f64::from).collect();
        let values = |step| {
            let (progress, mut relaxed) = (Progress { step, total: 8 }, vec![0.0; latent.len()]);
            let levels = Levels::symmetric(1.0, 1.0);
            Staged::default().relax(&latent, levels, progress, &mut relaxed);
            relaxed.dedup();
            (relaxed.len(), Estimator::<f64>::is_relaxed(&Staged::default(), progress))
        };
        assert_eq!([0, 1, 2, 4].map(values), [(255, true), (255, true), (15, true), (7, true)]);
        assert!(!values(6).1 && !values(8).1);
    }

    #[test]
    fn a_stage_ends_with_the_step_of_its_share() {
        let staged = Staged::new([0.3, 0.6, 0.7]).unwrap();
        let bits = |step| staged.bits(Progress { step, total: 10 });
        let expected = [Some(8), Some(4), Some(4), Some(3), None];
        assert_eq!([2, 3, 5, 6, 7].map(bits), expected);
    }

    #[test]
    fn zeros_stay_and_stages_must_rise() {
        let mut relaxed = [1.0_f32; 2];
        let start = Progress { step: 0, total: 4 };
        Staged::default().relax(&[0.0; 2], Levels::symmetric(0.0, 0.0), start, &mut relaxed);
        assert_eq!(relaxed, [0.0; 2]);
        assert!(Staged::new([0.5, 0.2, 0.8]).is_err() && Staged::new([f32::NAN; 3]).is_err());
        assert!(Staged::new([0.0, 0.5, 0.5]).is_ok());
    }
}
