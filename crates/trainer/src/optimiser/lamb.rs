//! LAMB: AdamW with steps as long as each tensor is large.

use nn::sum_of_squares;
use rayon::prelude::*;

use super::adamw::{AdamWOptions, Coefficients, MOMENTS};
use super::{Moment, Optimiser, RUN, State, TensorStep};

/// LAMB (You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", ICLR 2020,
/// arXiv 1904.00962), with the moments m̂ and v̂ of [`AdamW`](super::AdamW):
///
/// ```text
/// u = m̂ / (√v̂ + ε) + λ·w
/// w ← w − η·(‖w‖ / ‖u‖)·u
/// ```
///
/// The ratio of the norms is 1 where either is zero, and for tensors of one dimension (gains, biases, scales), as
/// in the code of the authors. A pull of the weights in the same step comes after w was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Lamb {
    options: AdamWOptions,
    /// By tensor: whether its steps are as long as it is large.
    is_adapted: Vec<bool>,
    state: State,
}

impl Lamb {
    /// A fresh state for tensors of these names and shapes.
    pub fn new<'a>(
        options: AdamWOptions,
        tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>,
    ) -> Self {
        let mut is_adapted = Vec::new();
        let kept = tensors.into_iter().map(|(name, shape)| {
            is_adapted.push(shape.len() > 1);
            (name.to_owned(), shape.iter().product(), MOMENTS)
        });
        let state = State::new(kept);
        Self { options, is_adapted, state }
    }
}

impl Optimiser for Lamb {
    fn begin<'a>(&'a mut self, moment: Moment<'a, '_>) -> Box<dyn TensorStep + 'a> {
        let Moment { tensor, learning_rate, weight_decay, gradient, .. } = moment;
        let (time, [means, squares]) = self.state.advance(tensor);
        assert_eq!(means.len(), gradient.len(), "one gradient for each weight");
        let coefficients = Coefficients::new(self.options, time, &moment);
        coefficients.accumulate_all(gradient, means, squares);
        let direction =
            Direction { coefficients, weight_decay: weight_decay as f32, means, squares };
        let ratio = if self.is_adapted[tensor] { direction.ratio(moment.weights) } else { 1.0 };
        Box::new(LambStep { step: (learning_rate * ratio) as f32, direction })
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

/// u, from moments that are those of this step already.
struct Direction<'a> {
    coefficients: Coefficients<f32>,
    /// λ.
    weight_decay: f32,
    means: &'a [f32],
    squares: &'a [f32],
}

impl Direction<'_> {
    /// ‖w‖ / ‖u‖.
    fn ratio(&self, weights: &super::ReadWeights<'_>) -> f64 {
        let (mut start, mut of_weights, mut of_directions) = (0, 0.0, 0.0);
        weights(&mut |run| {
            let block = |(index, weights): (usize, &[f32])| -> f64 {
                let directions =
                    (start + index * RUN..).zip(weights).map(|(at, &w)| self.at(at, w));
                directions.map(|u| f64::from(u) * f64::from(u)).sum()
            };
            // Blocks are added up in their order, on any number of threads.
            let blocks: Vec<f64> = run.par_chunks(RUN).enumerate().map(block).collect();
            of_directions += blocks.into_iter().sum::<f64>();
            of_weights += sum_of_squares(run);
            start += run.len();
        });
        if of_weights > 0.0 && of_directions > 0.0 {
            (of_weights / of_directions).sqrt()
        } else {
            1.0
        }
    }

    fn at(&self, index: usize, weight: f32) -> f32 {
        let adam = self.coefficients.direction(self.means[index], self.squares[index]);
        adam + self.weight_decay * weight
    }
}

struct LambStep<'a> {
    direction: Direction<'a>,
    /// η·‖w‖ / ‖u‖.
    step: f32,
}

impl TensorStep for LambStep<'_> {
    fn apply(&mut self, start: usize, weights: &mut [f32]) {
        let Self { direction, step } = self;
        weights.par_chunks_mut(RUN).enumerate().for_each(|(index, weights)| {
            let start = start + index * RUN;
            for (index, w) in weights.iter_mut().enumerate() {
                *w -= *step * direction.at(start + index, *w);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normals, on_threads, run, single, step};
    use super::*;

    const OPTIONS: AdamWOptions = AdamWOptions { beta1: 0.9, beta2: 0.95, epsilon: 1e-6 };

    /// The algorithm of the paper, line by line.
    struct Oracle {
        weights: Vec<f64>,
        means: Vec<f64>,
        squares: Vec<f64>,
        time: i32,
    }

    impl Oracle {
        fn step(&mut self, rate: f64, decay: f64, gradient: &[f64]) {
            self.time += 1;
            let n = gradient.len();
            let mut directions = vec![0.0; n];
            for i in 0..n {
                self.means[i] = 0.9 * self.means[i] + 0.1 * gradient[i];
                self.squares[i] = 0.95 * self.squares[i] + 0.05 * gradient[i] * gradient[i];
                let mean = self.means[i] / (1.0 - 0.9_f64.powi(self.time));
                let square = self.squares[i] / (1.0 - 0.95_f64.powi(self.time));
                directions[i] = mean / (square.sqrt() + 1e-6) + decay * self.weights[i];
            }
            let norm = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>().sqrt();
            let ratio = norm(&self.weights) / norm(&directions);
            self.weights.iter_mut().zip(&directions).for_each(|(w, u)| *w -= rate * ratio * u);
        }
    }

    #[test]
    fn over_many_steps_it_stays_by_the_algorithm_of_the_paper() {
        let n = 60;
        let mut lamb = Lamb::new(OPTIONS, [("w", &[6, 10][..])]);
        let mut weights = normals(0, n);
        let mut oracle = Oracle {
            weights: weights.iter().map(|&w| f64::from(w)).collect(),
            means: vec![0.0; n],
            squares: vec![0.0; n],
            time: 0,
        };
        for time in 1..=20 {
            let gradient = normals(time, n);
            let moment = Moment { gradient_factor: 0.5, ..single(0.02, 0.1, &gradient) };
            step(&mut lamb, moment, &mut weights, 7);
            let gradient: Vec<f64> = gradient.iter().map(|&g| 0.5 * f64::from(g)).collect();
            oracle.step(0.02, 0.1, &gradient);
        }
        for (found, expected) in weights.iter().zip(&oracle.weights) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} and {expected}");
        }
    }

    #[test]
    fn a_first_step_is_the_learning_rate_times_the_norm_of_the_weights() {
        // u = (1, −1) at the first step, ‖u‖ = √2, ‖w‖ = 5.
        let mut lamb = Lamb::new(OPTIONS, [("w", &[1, 2][..])]);
        let mut weights = [3.0_f32, 4.0];
        step(&mut lamb, single(0.1, 0.0, &[8.0, -0.5]), &mut weights, 1);
        let length = 0.5 / 2.0_f32.sqrt();
        assert!((weights[0] - (3.0 - length)).abs() < 1e-5, "{weights:?}");
        assert!((weights[1] - (4.0 + length)).abs() < 1e-5, "{weights:?}");
    }

    #[test]
    fn vectors_and_weights_of_zero_take_steps_of_adamw() {
        for (shape, start) in [(&[2][..], 3.0_f32), (&[1, 2], 0.0)] {
            let mut lamb = Lamb::new(OPTIONS, [("w", shape)]);
            let mut weights = [start; 2];
            step(&mut lamb, single(0.125, 0.0, &[8.0, -0.5]), &mut weights, 2);
            assert!((weights[0] - (start - 0.125)).abs() < 1e-5, "{weights:?}");
            assert!((weights[1] - (start + 0.125)).abs() < 1e-5, "{weights:?}");
        }
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let n = 2 * RUN + 100;
        let fresh = || Lamb::new(OPTIONS, [("first", &[1, n][..])]);
        for length in [n, 512] {
            let alone = on_threads(1, || run(fresh(), n, length));
            assert_eq!(on_threads(3, || run(fresh(), n, length)), alone);
            assert_eq!(on_threads(2, || run(fresh(), n, length)), alone);
        }
    }
}
