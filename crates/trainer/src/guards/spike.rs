//! Losses far above the usual.

use serde::{Deserialize, Serialize};

/// What a loss has to be above the usual one at least, as a multiple: early in a run and late the deviations may be
/// tiny.
const LEAST: f64 = 1.1;

/// Memory of the running mean: about the last fifty steps.
const MEMORY: f64 = 0.98;

/// Steps before the mean is worth comparing with.
const FIRST: u32 = 20;

/// Deviations by which a loss can move the mean at most.
const CLIP: f64 = 3.0;

/// The smallest deviation there, as a share of the mean.
const SMALLEST: f64 = 0.01;

/// Watches for a loss that is more than k deviations, and a tenth, above the running mean:
///
/// ```text
/// μ ← β·μ + (1 − β)·min(x, μ + 3σ)          (from above only: falling is what a loss is to do)
/// σ² ← β·σ² + (1 − β)·(min(x, μ + 3σ) − μ)²
/// spike:  x > μ + k·σ  and  x > 1.1·μ
/// ```
///
/// A spike counts for no more than three deviations (of at least 1% of μ here) in the mean, so that many in a row are
/// still told as such, and a loss that stays up becomes the usual one after a while. Until fifty steps were seen, all
/// of them count alike, and none of the first twenty is a spike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpikeWatch {
    deviations: f64,
    seen: u32,
    mean: f64,
    variance: f64,
}

/// A loss that is far above the usual.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spike {
    /// The loss.
    pub loss: f64,
    /// The running mean before it.
    pub usual: f64,
}

impl SpikeWatch {
    /// One that tells losses `deviations` above the mean; none with 0.
    pub fn new(deviations: f64) -> Self {
        Self { deviations, seen: 0, mean: 0.0, variance: 0.0 }
    }

    /// Takes note of the loss of a step. What is not finite is no spike, and is forgotten.
    pub fn observe(&mut self, loss: f64) -> Option<Spike> {
        if self.deviations == 0.0 || !loss.is_finite() {
            return None;
        }
        let Self { deviations, seen, mean, variance } = *self;
        let deviation = variance.sqrt();
        let is_known = seen >= FIRST;
        let is_spike = is_known && loss > mean + deviations * deviation && loss > LEAST * mean;
        // While little is known, all that was seen counts alike.
        let memory = MEMORY.min(f64::from(seen) / f64::from(seen.saturating_add(1)));
        let bounded = if is_known {
            loss.min(mean + CLIP * deviation.max(SMALLEST * mean.abs()))
        } else {
            loss
        };
        let apart = bounded - mean;
        self.mean = mean + (1.0 - memory) * apart;
        self.variance = memory * (variance + (1.0 - memory) * apart * apart);
        self.seen = seen.saturating_add(1);
        is_spike.then_some(Spike { loss, usual: mean })
    }
}

#[cfg(test)]
mod tests {
    use ternary_core::noise::Noise;

    use super::*;

    /// A loss that falls from 6 to 1 with some noise.
    fn losses(n: usize) -> Vec<f64> {
        let mut noise = vec![0.0_f32; n];
        Noise::new(1, 0, 0).fill_normal(0, &mut noise);
        let fall = |i: usize| 1.0 + 5.0 * (-(i as f64) / 100.0).exp();
        noise.iter().enumerate().map(|(i, z)| fall(i) * (1.0 + 0.02 * f64::from(*z))).collect()
    }

    #[test]
    fn a_loss_that_falls_with_noise_has_no_spike() {
        let mut watch = SpikeWatch::new(6.0);
        for (step, loss) in losses(2000).into_iter().enumerate() {
            assert_eq!(watch.observe(loss), None, "{step}");
        }
    }

    #[test]
    fn a_spike_is_told_with_the_usual_loss_and_so_is_the_next() {
        let mut watch = SpikeWatch::new(6.0);
        losses(1000).into_iter().for_each(|loss| assert_eq!(watch.observe(loss), None));
        for _ in 0..3 {
            let Spike { loss, usual } = watch.observe(3.0).unwrap();
            assert_eq!(loss, 3.0);
            assert!((0.95..1.2).contains(&usual), "{usual}");
        }
        assert_eq!(watch.observe(1.0), None);
    }

    #[test]
    fn a_loss_that_stays_up_becomes_the_usual_one() {
        let mut watch = SpikeWatch::new(6.0);
        losses(1000).into_iter().for_each(|loss| assert_eq!(watch.observe(loss), None));
        let told = (0..1000).filter(|_| watch.observe(3.0).is_some()).count();
        assert!((1..500).contains(&told), "{told}");
        assert_eq!(watch.observe(3.0), None);
    }

    #[test]
    fn small_deviations_early_losses_and_what_is_no_number_are_no_spikes() {
        let mut watch = SpikeWatch::new(6.0);
        assert!((0..100).all(|_| watch.observe(2.0).is_none()));
        assert_eq!(watch.observe(2.1), None);
        assert_eq!(watch.observe(f64::INFINITY), None);
        assert_eq!(watch.observe(f64::NAN), None);
        assert!(watch.observe(2.3).is_some());
        let mut early = SpikeWatch::new(6.0);
        assert_eq!([1.0, 1.0, 50.0].map(|loss| early.observe(loss)), [None; 3]);
        let mut off = SpikeWatch::new(0.0);
        assert!((0..100).all(|_| off.observe(1.0).is_none()) && off.observe(1e9).is_none());
    }

    #[test]
    fn a_restored_watch_goes_on_with_the_same_bits() {
        let mut watch = SpikeWatch::new(3.0);
        for loss in losses(100) {
            watch.observe(loss);
        }
        let json = serde_json::to_string(&watch).unwrap();
        let mut restored: SpikeWatch = serde_json::from_str(&json).unwrap();
        for loss in losses(200) {
            assert_eq!(restored.observe(loss), watch.observe(loss));
        }
        assert_eq!(restored, watch);
    }
}
