//! FOGZO: a gradient whose length and sign are measured.

use std::ops::Range;

use ternary_core::mutant;
use ternary_core::noise::Noise;

/// Index of the first random sign of a stream; the numbers u lie below it.
const SIGNS: u64 = 1 << 63;

/// First-order-guided zeroth-order gradients (Yang and Aamodt, NeurIPS 2025, arXiv 2510.23926): the
/// estimator's gradient g says where to look, and two losses on the same batch say what is there.
///
/// Every weight θᵢ has a step εᵢ, from the scale of its quantiser. With D = diag(ε) the weights are
/// θ = D·z, and everything is estimated for z, where one step has the length 1 in all layers:
///
/// ```text
/// ĝ = D·g / ‖D·g‖                            over all perturbed weights together
/// v = √β·s·ĝ + √(1 − β)·u                    s = ±1;  u uniform on (−√3, √3), of variance 1
/// m = (L(θ + D·v) − L(θ − D·v)) / 2          the measured slope along v
/// G = D⁻¹ · (mean of m·v over n directions)
/// ```
///
/// With one ε for all weights that is the paper's G = (L(θ + ε·v) − L(θ − ε·v)) / 2ε · v; how it treats
/// several is not told there, and this is the choice made here. To first order G = D⁻¹·v·vᵀ·D·∇L, so
/// E\[G\] = β·D⁻¹·ĝ·ĝᵀ·D·∇L + (1 − β)·∇L. At β = 1 the line is the estimator's, and only sign and length are
/// measured. As ‖u‖² ≈ d beside ‖ĝ‖ = 1, noise drowns ĝ unless 1 − β is about 1/d for d weights: β goes
/// from 1 down to 1 − c/d over the phase.
///
/// G is the derivative of nothing: it is held to a plain loop, and on a quadratic loss to v·vᵀ·∇L.
///
/// ```
/// use ste::{Fogzo, Span};
/// use ternary_core::noise::Noise;
///
/// // L = θ₀² + 3·θ₁ at θ = (1, 0); the estimator's gradient has the wrong sign and length.
/// let loss = |d: &[f32]| (1.0 + f64::from(d[0])).powi(2) + 3.0 * f64::from(d[1]);
/// let spans = [Span { range: 0..2, step: 0.5 }];
/// let mut gradient = [-4.0_f32, -6.0];
/// let fogzo = Fogzo::default();
/// fogzo.estimate(1.0, &spans, Noise::new(1, 0, 0), &mut gradient, |d| Ok::<_, ()>(loss(d)))?;
/// assert!((gradient[0] - 2.0).abs() < 1e-5 && (gradient[1] - 3.0).abs() < 1e-5);
/// # Ok::<(), ()>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fogzo {
    /// Directions n that are probed, at two losses each.
    pub directions: u32,
    /// c of 1 − β = c/d at the end of the phase.
    pub noise: f64,
}

/// Weights that share a step, in a flat store of gradients. Those with a step of 0 are not perturbed.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Where they lie.
    pub range: Range<usize>,
    /// ε.
    pub step: f32,
}

impl Span {
    /// The ε̄ that ε = ε̄ · scale has under the straight-through estimator, 1/(2√3): ε·u is then uniform
    /// on half a scale each way, the noise that makes a rounding the identity on average.
    pub const STRAIGHT_THROUGH: f32 = 0.288_675_13;

    fn is_perturbed(&self) -> bool {
        self.step > 0.0
    }
}

/// What the probes of an estimate found: slopes in z, along √β·ĝ + s·√(1 − β)·u, averaged over the
/// directions.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Slopes {
    /// What the estimator's gradient promised, vᵀ·D·g.
    pub promised: f64,
    /// What the losses showed, m.
    pub measured: f64,
}

impl Default for Fogzo {
    fn default() -> Self {
        Self { directions: 1, noise: 1.0 }
    }
}

impl Fogzo {
    /// β for `progress` through the phase, 0 to 1, with `weights` perturbed: from 1 to 1 − c/d on a line.
    pub fn beta(&self, progress: f64, weights: usize) -> f64 {
        let end = (self.noise / weights.max(1) as f64).clamp(0.0, 1.0);
        1.0 - progress.clamp(0.0, 1.0) * end
    }

    /// Weights that these spans perturb.
    pub fn weights(spans: &[Span]) -> usize {
        spans.iter().filter(|span| span.is_perturbed()).map(|span| span.range.len()).sum()
    }

    /// Replaces the gradient of the weights in `spans` by G; all others keep theirs.
    ///
    /// `probe` is called with what is to be added to the weights, as long as `gradient` and 0 where
    /// nothing is perturbed, and returns the loss there: first for D·v, then for −D·v. `noise` is u at the
    /// index of a weight, plus `gradient.len()` for each direction before.
    ///
    /// # Errors
    /// The first error of `probe`; the gradient is unchanged then.
    ///
    /// # Panics
    /// For a span outside the gradient.
    pub fn estimate<E>(
        &self,
        beta: f64,
        spans: &[Span],
        noise: Noise,
        gradient: &mut [f32],
        mut probe: impl FnMut(&[f32]) -> Result<f64, E>,
    ) -> Result<Slopes, E> {
        let norm = scaled_norm(spans, gradient);
        let length = mutant!("Fogzo/guide of its own length", norm, 1.0);
        let guide = if norm > 0.0 { beta.sqrt() / length } else { 0.0 };
        // A centred number has the variance 1/12.
        let spread = mutant!("Fogzo/variance of the noise", 12.0 * (1.0 - beta), 1.0 - beta).sqrt();
        let count = self.directions.max(1);
        let mut slopes = Slopes::default();
        let mut estimate = vec![0.0_f32; gradient.len()];
        let mut direction = vec![0.0_f32; gradient.len()];
        let mut perturbation = vec![0.0_f32; gradient.len()];
        for index in 0..u64::from(count) {
            let sign = f64::from(noise.sign(SIGNS + index));
            let start = index * gradient.len() as u64;
            let mut promised = 0.0;
            for (span, step) in perturbed(spans) {
                let v = &mut direction[span.clone()];
                noise.fill_centred(start + span.start as u64, v);
                let added = &mut perturbation[span.clone()];
                for ((v, added), &g) in v.iter_mut().zip(added).zip(&gradient[span]) {
                    let (scaled, step) = (f64::from(step) * f64::from(g), f64::from(step));
                    let exact = sign * guide * scaled + spread * f64::from(*v);
                    promised += exact * scaled;
                    *v = exact as f32;
                    *added = (step * exact) as f32;
                }
            }
            let above = probe(&perturbation)?;
            perturbation.iter_mut().for_each(|added| *added = -*added);
            let below = probe(&perturbation)?;
            let measured = (above - below) * mutant!("Fogzo/factor 2", 0.5, 1.0);
            slopes.promised += sign * promised / f64::from(count);
            slopes.measured += sign * measured / f64::from(count);
            for (span, step) in perturbed(spans) {
                let step = mutant!("Fogzo/step left out of the way back", f64::from(step), 1.0);
                let factor = measured / (f64::from(count) * step);
                let v = &direction[span.clone()];
                for (estimate, &v) in estimate[span].iter_mut().zip(v) {
                    *estimate += (factor * f64::from(v)) as f32;
                }
            }
        }
        for (span, _) in perturbed(spans) {
            gradient[span.clone()].copy_from_slice(&estimate[span]);
        }
        Ok(slopes)
    }
}

/// The spans that are perturbed, with their ε.
fn perturbed(spans: &[Span]) -> impl Iterator<Item = (Range<usize>, f32)> {
    spans.iter().filter(|span| span.is_perturbed()).map(|span| (span.range.clone(), span.step))
}

/// ‖D·g‖ over the perturbed weights.
fn scaled_norm(spans: &[Span], gradient: &[f32]) -> f64 {
    let square = |(span, step): (Range<usize>, f32)| {
        gradient[span].iter().map(|&g| (f64::from(step) * f64::from(g)).powi(2)).sum::<f64>()
    };
    perturbed(spans).map(square).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests;
