//! AdamW: Adam with decoupled weight decay.

use std::ops::Range;

use rayon::prelude::*;
use ternary_core::Real;

/// The constants of AdamW.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWOptions {
    /// β₁, the decay of the mean of gradients.
    pub beta1: f64,
    /// β₂, the decay of the mean of squared gradients.
    pub beta2: f64,
    /// ε, added to the root of the mean square.
    pub epsilon: f64,
    /// λ, the weight decay of tensors that decay.
    pub weight_decay: f64,
}

/// AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019), a state and a
/// time t for each tensor:
///
/// ```text
/// m ← β₁·m + (1 − β₁)·g          m̂ = m / (1 − β₁ᵗ)
/// v ← β₂·v + (1 − β₂)·g²         v̂ = v / (1 − β₂ᵗ)
/// w ← w − η·λ·w − η·m̂ / (√v̂ + ε)
/// ```
///
/// t counts the updates that this tensor had, so that one which is unfrozen late is corrected as one at
/// its beginning.
///
/// ```
/// use trainer::optimiser::{AdamW, AdamWOptions};
///
/// let options = AdamWOptions { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.0 };
/// let mut adamw = AdamW::new(options, [("projection.weight", 2)]);
/// let mut weights = [1.0_f32, 1.0];
/// adamw.begin(0, 0.5, 1.0).apply(0, &mut weights, &[3.0, -0.1]);
/// // The first step of every weight is one learning rate long.
/// assert_eq!(weights, [0.5, 1.5]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AdamW {
    options: AdamWOptions,
    tensors: Vec<TensorState>,
    means: Vec<f32>,
    squares: Vec<f32>,
}

#[derive(Debug, Clone, PartialEq)]
struct TensorState {
    range: Range<usize>,
    weight_decay: f64,
    time: u32,
}

/// The update of one tensor in one step.
#[derive(Debug)]
pub struct TensorStep<'a> {
    coefficients: Coefficients<f32>,
    means: &'a mut [f32],
    squares: &'a mut [f32],
}

impl AdamW {
    /// A fresh state for tensors with these names and sizes; [`is_decayed`](super::is_decayed) says by
    /// the name which ones decay.
    pub fn new<'a>(
        options: AdamWOptions,
        tensors: impl IntoIterator<Item = (&'a str, usize)>,
    ) -> Self {
        let mut end = 0;
        let tensors: Vec<TensorState> = tensors
            .into_iter()
            .map(|(name, size)| {
                let start = end;
                end += size;
                let weight_decay = if super::is_decayed(name) { options.weight_decay } else { 0.0 };
                TensorState { range: start..end, weight_decay, time: 0 }
            })
            .collect();
        Self { options, tensors, means: vec![0.0; end], squares: vec![0.0; end] }
    }

    /// Begins the next update of a tensor with the learning rate η. Its gradients are multiplied by
    /// `gradient_factor` (the clip) as they are read.
    ///
    /// # Panics
    /// When there is no tensor of this index.
    pub fn begin(
        &mut self,
        tensor: usize,
        learning_rate: f64,
        gradient_factor: f64,
    ) -> TensorStep<'_> {
        let TensorState { range, weight_decay, time } = &mut self.tensors[tensor];
        *time += 1;
        let options = AdamWOptions { weight_decay: *weight_decay, ..self.options };
        TensorStep {
            coefficients: Coefficients::new(options, *time, learning_rate, gradient_factor),
            means: &mut self.means[range.clone()],
            squares: &mut self.squares[range.clone()],
        }
    }
}

/// Weights that one task updates.
const RUN: usize = 1 << 14;

impl TensorStep<'_> {
    /// Updates a run of weights, the first of which is the tensor's weight `start`. Every weight is
    /// updated once in a step; each on its own, so the bits do not depend on runs or threads.
    ///
    /// # Panics
    /// When the run exceeds the tensor, or there is not one gradient for each weight.
    pub fn apply(&mut self, start: usize, weights: &mut [f32], gradients: &[f32]) {
        assert_eq!(weights.len(), gradients.len(), "one gradient for each weight");
        let range = start..start + weights.len();
        let (means, squares) = (&mut self.means[range.clone()], &mut self.squares[range]);
        let coefficients = &self.coefficients;
        weights
            .par_chunks_mut(RUN)
            .zip(gradients.par_chunks(RUN))
            .zip(means.par_chunks_mut(RUN))
            .zip(squares.par_chunks_mut(RUN))
            .for_each(|(((w, g), m), v)| coefficients.update(w, g, m, v));
    }
}

/// The numbers of a step that are the same for all weights of a tensor.
#[derive(Debug, Clone, Copy)]
struct Coefficients<T> {
    beta1: T,
    beta2: T,
    one_minus_beta1: T,
    one_minus_beta2: T,
    epsilon: T,
    gradient_factor: T,
    /// 1 − η·λ.
    keep: T,
    /// η / (1 − β₁ᵗ).
    step: T,
    /// 1 / √(1 − β₂ᵗ).
    root_correction: T,
}

impl<T: Real> Coefficients<T> {
    fn new(options: AdamWOptions, time: u32, learning_rate: f64, gradient_factor: f64) -> Self {
        let AdamWOptions { beta1, beta2, epsilon, weight_decay } = options;
        let correction = |beta: f64| 1.0 - beta.powf(f64::from(time));
        Self {
            beta1: T::from_f64(beta1),
            beta2: T::from_f64(beta2),
            one_minus_beta1: T::from_f64(1.0 - beta1),
            one_minus_beta2: T::from_f64(1.0 - beta2),
            epsilon: T::from_f64(epsilon),
            gradient_factor: T::from_f64(gradient_factor),
            keep: T::from_f64(1.0 - learning_rate * weight_decay),
            step: T::from_f64(learning_rate / correction(beta1)),
            root_correction: T::from_f64(1.0 / correction(beta2).sqrt()),
        }
    }

    /// One pass over everything: the update is bound by memory.
    fn update(&self, weights: &mut [T], gradients: &[T], means: &mut [T], squares: &mut [T]) {
        let states = means.iter_mut().zip(squares);
        for ((w, &g), (m, v)) in weights.iter_mut().zip(gradients).zip(states) {
            let g = g * self.gradient_factor;
            *m = self.beta1 * *m + self.one_minus_beta1 * g;
            *v = self.beta2 * *v + self.one_minus_beta2 * g * g;
            let root = v.sqrt() * self.root_correction + self.epsilon;
            *w = self.keep * *w - self.step * *m / root;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ternary_core::noise::Noise;

    const OPTIONS: AdamWOptions =
        AdamWOptions { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1 };

    fn normals(step: u32, n: usize) -> Vec<f32> {
        let mut values = vec![0.0; n];
        Noise::new(7, 0, step).fill_normal(0, &mut values);
        values
    }

    /// The formula of the paper, line by line, for one weight over several steps.
    fn oracle(mut w: f64, gradients: &[f64], rate: f64, decay: f64) -> f64 {
        let (mut m, mut v) = (0.0, 0.0);
        for (index, g) in gradients.iter().enumerate() {
            let t = index as i32 + 1;
            m = 0.9 * m + (1.0 - 0.9) * g;
            v = 0.95 * v + (1.0 - 0.95) * g * g;
            let (m_hat, v_hat) = (m / (1.0 - 0.9_f64.powi(t)), v / (1.0 - 0.95_f64.powi(t)));
            w = w - rate * decay * w - rate * m_hat / (v_hat.sqrt() + 1e-8);
        }
        w
    }

    #[test]
    fn in_double_precision_it_is_the_formula_of_the_paper() {
        let start: Vec<f64> = normals(0, 33).into_iter().map(f64::from).collect();
        let steps: Vec<Vec<f64>> =
            (1..8).map(|s| normals(s, 33).into_iter().map(f64::from).collect()).collect();
        let (mut w, mut m, mut v) = (start.clone(), vec![0.0; 33], vec![0.0; 33]);
        for (index, g) in steps.iter().enumerate() {
            let time = index as u32 + 1;
            Coefficients::<f64>::new(OPTIONS, time, 0.01, 0.5).update(&mut w, g, &mut m, &mut v);
        }
        for i in 0..33 {
            let gradients: Vec<f64> = steps.iter().map(|g| g[i] * 0.5).collect();
            let expected = oracle(start[i], &gradients, 0.01, 0.1);
            assert!((w[i] - expected).abs() <= 1e-13, "{i}: {} and {expected}", w[i]);
        }
    }

    #[test]
    fn in_single_precision_it_stays_within_rounding_of_the_double_one() {
        let n = 3 * RUN + 17;
        let mut adamw = AdamW::new(OPTIONS, [("a.weight", n)]);
        let mut weights = normals(0, n);
        let mut wide: Vec<f64> = weights.iter().map(|&w| f64::from(w)).collect();
        let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
        for time in 1..=10 {
            let g = normals(time, n);
            adamw.begin(0, 0.01, 1.0).apply(0, &mut weights, &g);
            let g: Vec<f64> = g.into_iter().map(f64::from).collect();
            Coefficients::<f64>::new(OPTIONS, time, 0.01, 1.0)
                .update(&mut wide, &g, &mut m, &mut v);
        }
        for (index, (&found, &expected)) in weights.iter().zip(&wide).enumerate() {
            // Ten steps, each rounding the weight (of magnitude below 6) and a step of 0.03 at most, whose
            // mean may have lost digits to cancellation.
            let bound = 10.0 * f64::from(f32::EPSILON) * (expected.abs() + 0.1);
            assert!((f64::from(found) - expected).abs() <= bound, "{index}: {found}, {expected}");
        }
    }

    #[test]
    fn runs_and_threads_do_not_change_a_bit() {
        let n = 2 * RUN + 100;
        let update = |threads: usize, runs: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut adamw = AdamW::new(OPTIONS, [("first", 5), ("second", n)]);
                let mut weights = normals(0, n);
                for step in 1..4 {
                    let g = normals(step, n);
                    let mut tensor = adamw.begin(1, 0.01, 0.7);
                    for start in (0..n).step_by(runs) {
                        let end = (start + runs).min(n);
                        tensor.apply(start, &mut weights[start..end], &g[start..end]);
                    }
                }
                (weights, adamw)
            })
        };
        let alone = update(1, n);
        assert_eq!(update(3, n), alone);
        assert_eq!(update(2, 512), alone);
    }

    #[test]
    fn each_tensor_has_a_time_of_its_own() {
        let mut adamw = AdamW::new(OPTIONS, [("norm", 1), ("other norm", 1)]);
        let mut weights = [0.0_f32];
        for _ in 0..50 {
            adamw.begin(0, 0.1, 1.0).apply(0, &mut weights, &[1.0]);
        }
        let mut late = [0.0_f32];
        adamw.begin(1, 0.1, 1.0).apply(0, &mut late, &[0.003]);
        assert!((late[0] + 0.1).abs() < 1e-6, "{late:?}");
    }

    #[test]
    fn decay_is_apart_from_the_gradient_and_spares_norms() {
        let mut adamw = AdamW::new(OPTIONS, [("a.weight", 1), ("a.norm.weight", 1)]);
        for (tensor, expected) in [(0, 2.0 * (1.0 - 0.5 * 0.1)), (1, 2.0)] {
            let mut weights = [2.0_f32];
            adamw.begin(tensor, 0.5, 1.0).apply(0, &mut weights, &[0.0]);
            assert_eq!(weights, [expected]);
        }
    }
}
