//! AdamW: Adam with decoupled weight decay.

use rayon::prelude::*;
use ternary_core::Real;

use super::{Moment, Optimiser, RUN, State, TensorStep};

/// The constants of AdamW.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWOptions {
    /// β₁, the decay of the mean of gradients.
    pub beta1: f64,
    /// β₂, the decay of the mean of squared gradients.
    pub beta2: f64,
    /// ε, added to the root of the mean square.
    pub epsilon: f64,
}

/// AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019), a state and a
/// time t for each tensor:
///
/// ```text
/// m ← β₁·m + (1 − β₁)·g          m̂ = m / (1 − β₁ᵗ)
/// v ← β₂·v + (1 − β₂)·g²         v̂ = v / (1 − β₂ᵗ)
/// w ← w − η·λ·w − η·m̂ / (√v̂ + ε)
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AdamW<T = f32> {
    options: AdamWOptions,
    state: State<T>,
}

/// What is kept of a tensor.
pub(super) const MOMENTS: &[&str] = &["mean", "square"];

impl<T: Real> AdamW<T> {
    /// A fresh state for tensors of these names and shapes.
    pub fn new<'a>(
        options: AdamWOptions,
        tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>,
    ) -> Self {
        let kept =
            |(name, shape): (&str, &[usize])| (name.to_owned(), shape.iter().product(), MOMENTS);
        Self { options, state: State::new(tensors.into_iter().map(kept)) }
    }
}

impl<T: Real> Optimiser<T> for AdamW<T> {
    fn begin<'a>(&'a mut self, moment: Moment<'a, '_, T>) -> Box<dyn TensorStep<T> + 'a> {
        Box::new(begin(&mut self.state, self.options, moment))
    }

    fn state(&self) -> &State<T> {
        &self.state
    }

    fn state_mut(&mut self) -> &mut State<T> {
        &mut self.state
    }
}

/// AdamW's update of a tensor of which [`MOMENTS`] are kept.
pub(super) fn begin<'a, T: Real>(
    state: &'a mut State<T>,
    options: AdamWOptions,
    moment: Moment<'a, '_, T>,
) -> AdamWStep<'a, T> {
    let (time, [means, squares]) = state.advance(moment.tensor);
    assert_eq!(means.len(), moment.gradient.len(), "one gradient for each weight");
    let coefficients = Coefficients::new(options, time, &moment);
    AdamWStep { coefficients, gradient: moment.gradient, means, squares }
}

/// The update of one tensor in one step: one pass over everything, as it is bound by memory.
pub(super) struct AdamWStep<'a, T> {
    coefficients: Coefficients<T>,
    gradient: &'a [T],
    means: &'a mut [T],
    squares: &'a mut [T],
}

impl<T: Real> TensorStep<T> for AdamWStep<'_, T> {
    fn apply(&mut self, start: usize, weights: &mut [T]) {
        let range = start..start + weights.len();
        let gradient = &self.gradient[range.clone()];
        let (means, squares) = (&mut self.means[range.clone()], &mut self.squares[range]);
        let coefficients = &self.coefficients;
        weights
            .par_chunks_mut(RUN)
            .zip(gradient.par_chunks(RUN))
            .zip(means.par_chunks_mut(RUN))
            .zip(squares.par_chunks_mut(RUN))
            .for_each(|(((w, g), m), v)| coefficients.update(w, g, m, v));
    }
}

/// The numbers of a step that are the same for all weights of a tensor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coefficients<T> {
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
    /// 1 / (1 − β₁ᵗ).
    mean_correction: T,
    /// 1 / √(1 − β₂ᵗ).
    root_correction: T,
}

impl<T: Real> Coefficients<T> {
    pub(super) fn new(options: AdamWOptions, time: u32, moment: &Moment<'_, '_, T>) -> Self {
        let AdamWOptions { beta1, beta2, epsilon } = options;
        let correction = |beta: f64| 1.0 - beta.powf(f64::from(time));
        Self {
            beta1: T::from_f64(beta1),
            beta2: T::from_f64(beta2),
            one_minus_beta1: T::from_f64(1.0 - beta1),
            one_minus_beta2: T::from_f64(1.0 - beta2),
            epsilon: T::from_f64(epsilon),
            gradient_factor: T::from_f64(moment.gradient_factor),
            keep: T::from_f64(1.0 - moment.learning_rate * moment.weight_decay),
            step: T::from_f64(moment.learning_rate / correction(beta1)),
            mean_correction: T::from_f64(1.0 / correction(beta1)),
            root_correction: T::from_f64(1.0 / correction(beta2).sqrt()),
        }
    }

    /// Moves the moments of one weight on.
    fn accumulate(&self, gradient: T, mean: &mut T, square: &mut T) {
        let g = gradient * self.gradient_factor;
        *mean = self.beta1 * *mean + self.one_minus_beta1 * g;
        *square = self.beta2 * *square + self.one_minus_beta2 * g * g;
    }

    /// The same of all weights of a tensor.
    pub(super) fn accumulate_all(&self, gradients: &[T], means: &mut [T], squares: &mut [T]) {
        let states = means.par_chunks_mut(RUN).zip(squares.par_chunks_mut(RUN));
        gradients.par_chunks(RUN).zip(states).for_each(|(gradients, (means, squares))| {
            let states = means.iter_mut().zip(squares);
            gradients.iter().zip(states).for_each(|(&g, (m, v))| self.accumulate(g, m, v));
        });
    }

    /// m̂ / (√v̂ + ε).
    pub(super) fn direction(&self, mean: T, square: T) -> T {
        self.mean_correction * mean / self.root(square)
    }

    /// √v̂ + ε.
    fn root(&self, square: T) -> T {
        square.sqrt() * self.root_correction + self.epsilon
    }

    fn update(&self, weights: &mut [T], gradients: &[T], means: &mut [T], squares: &mut [T]) {
        let states = means.iter_mut().zip(squares);
        for ((w, &g), (m, v)) in weights.iter_mut().zip(gradients).zip(states) {
            self.accumulate(g, m, v);
            *w = self.keep * *w - self.step * *m / self.root(*v);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normals, on_threads, run, single, step};
    use super::*;

    const OPTIONS: AdamWOptions = AdamWOptions { beta1: 0.9, beta2: 0.95, epsilon: 1e-8 };

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
        let wide = |step| -> Vec<f64> { normals(step, 33).into_iter().map(f64::from).collect() };
        let (start, steps) = (wide(0), (1..8).map(wide).collect::<Vec<_>>());
        let mut adamw = AdamW::new(OPTIONS, [("a.weight", &[33][..])]);
        let mut w = start.clone();
        for g in &steps {
            let moment = Moment { gradient_factor: 0.5, ..single(0.01, 0.1, g) };
            step(&mut adamw, moment, &mut w, 33);
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
        let mut adamw = AdamW::new(OPTIONS, [("a.weight", &[n][..])]);
        let mut of_wide = AdamW::new(OPTIONS, [("a.weight", &[n][..])]);
        let mut weights = normals(0, n);
        let mut wide: Vec<f64> = weights.iter().map(|&w| f64::from(w)).collect();
        for time in 1..=10 {
            let g = normals(time, n);
            step(&mut adamw, single(0.01, 0.1, &g), &mut weights, n);
            let g: Vec<f64> = g.into_iter().map(f64::from).collect();
            step(&mut of_wide, single(0.01, 0.1, &g), &mut wide, n);
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
        let fresh = || AdamW::new(OPTIONS, [("first", &[n][..])]);
        let alone = on_threads(1, || run(fresh(), n, n));
        assert_eq!(on_threads(3, || run(fresh(), n, n)), alone);
        assert_eq!(on_threads(2, || run(fresh(), n, 512)), alone);
    }

    #[test]
    fn each_tensor_has_a_time_of_its_own() {
        let mut adamw = AdamW::new(OPTIONS, [("norm", &[1][..]), ("other norm", &[1])]);
        let mut weights = [0.0_f32];
        for _ in 0..50 {
            step(&mut adamw, single(0.1, 0.0, &[1.0]), &mut weights, 1);
        }
        let mut late = [0.0_f32];
        let moment = Moment { tensor: 1, ..single(0.1, 0.0, &[0.003]) };
        step(&mut adamw, moment, &mut late, 1);
        assert!((late[0] + 0.1).abs() < 1e-6, "{late:?}");
        assert_eq!(adamw.state().times(), [50, 1]);
    }

    #[test]
    fn decay_is_apart_from_the_gradient() {
        let mut adamw = AdamW::new(OPTIONS, [("a.weight", &[1][..])]);
        let mut weights = [2.0_f32];
        step(&mut adamw, single(0.5, 0.1, &[0.0]), &mut weights, 1);
        assert_eq!(weights, [2.0 * (1.0 - 0.5 * 0.1)]);
    }
}
