//! Stochastic gradient descent, with momentum.

use rayon::prelude::*;
use ternary_core::Real;

use super::{Moment, Optimiser, RUN, State, TensorStep};

/// The constants of SGD.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdOptions {
    /// μ, what is kept of the momentum from step to step. With 0 there is none, and no memory for it.
    pub momentum: f64,
    /// Whether a weight moves by the momentum that the next step would have with the same gradient.
    pub nesterov: bool,
}

/// Stochastic gradient descent with momentum (Sutskever et al., "On the importance of initialization and
/// momentum in deep learning", ICML 2013), and weight decay that is decoupled as AdamW's is:
///
/// ```text
/// m ← μ·m + g
/// u = g + μ·m with Nesterov's momentum, m without
/// w ← w − η·λ·w − η·u
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Sgd {
    options: SgdOptions,
    state: State,
}

impl Sgd {
    /// A fresh state for tensors of these names and shapes.
    pub fn new<'a>(
        options: SgdOptions,
        tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>,
    ) -> Self {
        let names: &[&str] = if options.momentum == 0.0 { &[] } else { &["momentum"] };
        let kept =
            |(name, shape): (&str, &[usize])| (name.to_owned(), shape.iter().product(), names);
        Self { options, state: State::new(tensors.into_iter().map(kept)) }
    }
}

impl Optimiser for Sgd {
    fn begin<'a>(&'a mut self, moment: Moment<'a, '_>) -> Box<dyn TensorStep + 'a> {
        let coefficients = Coefficients::new(self.options, &moment);
        let momentum = if self.options.momentum == 0.0 {
            self.state.advance::<0>(moment.tensor);
            None
        } else {
            let (_, [momentum]) = self.state.advance(moment.tensor);
            assert_eq!(momentum.len(), moment.gradient.len(), "one gradient for each weight");
            Some(momentum)
        };
        Box::new(SgdStep { coefficients, gradient: moment.gradient, momentum })
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

struct SgdStep<'a> {
    coefficients: Coefficients<f32>,
    gradient: &'a [f32],
    momentum: Option<&'a mut [f32]>,
}

impl TensorStep for SgdStep<'_> {
    fn apply(&mut self, start: usize, weights: &mut [f32]) {
        let range = start..start + weights.len();
        let gradient = &self.gradient[range.clone()];
        let coefficients = &self.coefficients;
        let runs = weights.par_chunks_mut(RUN).zip(gradient.par_chunks(RUN));
        match &mut self.momentum {
            Some(momentum) => runs
                .zip(momentum[range].par_chunks_mut(RUN))
                .for_each(|((w, g), m)| coefficients.update(w, g, m)),
            None => runs.for_each(|(w, g)| coefficients.update_plainly(w, g)),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Coefficients<T> {
    momentum: T,
    gradient_factor: T,
    /// 1 − η·λ.
    keep: T,
    /// What of η the gradient moves a weight by, beside the momentum: η with Nesterov's, 0 without.
    by_gradient: T,
    /// What of η the momentum does: η·μ, or η.
    by_momentum: T,
    /// η.
    step: T,
}

impl<T: Real> Coefficients<T> {
    fn new(options: SgdOptions, moment: &Moment<'_, '_>) -> Self {
        let SgdOptions { momentum, nesterov } = options;
        let rate = moment.learning_rate;
        let (by_gradient, by_momentum) =
            if nesterov { (rate, rate * momentum) } else { (0.0, rate) };
        Self {
            momentum: T::from_f64(momentum),
            gradient_factor: T::from_f64(moment.gradient_factor),
            keep: T::from_f64(1.0 - rate * moment.weight_decay),
            by_gradient: T::from_f64(by_gradient),
            by_momentum: T::from_f64(by_momentum),
            step: T::from_f64(rate),
        }
    }

    fn update(&self, weights: &mut [T], gradients: &[T], momentum: &mut [T]) {
        for ((w, &g), m) in weights.iter_mut().zip(gradients).zip(momentum) {
            let g = g * self.gradient_factor;
            *m = self.momentum * *m + g;
            *w = self.keep * *w - (self.by_gradient * g + self.by_momentum * *m);
        }
    }

    fn update_plainly(&self, weights: &mut [T], gradients: &[T]) {
        for (w, &g) in weights.iter_mut().zip(gradients) {
            *w = self.keep * *w - self.step * (g * self.gradient_factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normals, on_threads, run, single, step};
    use super::*;

    fn options(momentum: f64, nesterov: bool) -> SgdOptions {
        SgdOptions { momentum, nesterov }
    }

    #[test]
    fn two_steps_are_those_worked_out_by_hand() {
        // m: 2, then ½·2 + 4 = 5. Steps of ¼, no decay; then the same with decay of 1.
        for (momentum, nesterov, decay, expected) in [
            (0.5, false, 0.0, [0.5, -0.75]),
            // u: 2 + ½·2 = 3, then 4 + ½·5 = 6.5.
            (0.5, true, 0.0, [0.25, -1.375]),
            (0.0, false, 0.0, [0.5, -0.5]),
            (0.0, true, 0.0, [0.5, -0.5]),
            (0.5, false, 1.0, [0.25, -1.0625]),
        ] {
            let mut sgd = Sgd::new(options(momentum, nesterov), [("w", &[1][..])]);
            let mut weights = [1.0_f32];
            for (gradient, expected) in [2.0, 4.0].into_iter().zip(expected) {
                step(&mut sgd, single(0.25, decay, &[gradient]), &mut weights, 1);
                assert_eq!(weights, [expected], "{momentum} {nesterov} {decay}");
            }
            assert_eq!(sgd.state().arrays().len(), usize::from(momentum != 0.0));
        }
    }

    #[test]
    fn over_many_steps_it_stays_by_the_formula_in_double_precision() {
        for nesterov in [false, true] {
            let n = 100;
            let mut sgd = Sgd::new(options(0.9, nesterov), [("w", &[n][..])]);
            let mut weights = normals(0, n);
            let mut wide: Vec<f64> = weights.iter().map(|&w| f64::from(w)).collect();
            let mut momentum = vec![0.0; n];
            for time in 1..=20 {
                let gradient = normals(time, n);
                let moment = Moment { gradient_factor: 0.5, ..single(0.01, 0.1, &gradient) };
                step(&mut sgd, moment, &mut weights, 7);
                for i in 0..n {
                    let g = 0.5 * f64::from(gradient[i]);
                    momentum[i] = 0.9 * momentum[i] + g;
                    let u = if nesterov { g + 0.9 * momentum[i] } else { momentum[i] };
                    wide[i] = wide[i] - 0.01 * 0.1 * wide[i] - 0.01 * u;
                }
            }
            for (found, expected) in weights.iter().zip(&wide) {
                assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} and {expected}");
            }
        }
    }

    #[test]
    fn runs_and_threads_do_not_change_a_bit() {
        let n = 2 * RUN + 100;
        for momentum in [0.0, 0.9] {
            let fresh = || Sgd::new(options(momentum, true), [("first", &[n][..])]);
            let alone = on_threads(1, || run(fresh(), n, n));
            assert_eq!(on_threads(3, || run(fresh(), n, n)), alone);
            assert_eq!(on_threads(2, || run(fresh(), n, 512)), alone);
        }
    }
}
