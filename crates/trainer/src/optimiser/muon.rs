//! Muon: momentum whose singular values are made equal.

use rayon::prelude::*;

use super::adamw::{AdamWOptions, MOMENTS, begin as begin_adamw};
use super::orthogonal::{Scratch, orthogonalise};
use super::{Moment, Optimiser, RUN, State, TensorStep};

/// The constants of Muon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MuonOptions {
    /// μ, what is kept of the momentum from step to step.
    pub momentum: f64,
    /// Whether a weight moves by the momentum that the next step would have with the same gradient.
    pub nesterov: bool,
    /// What the tensors that are no hidden matrices are trained with.
    pub adamw: AdamWOptions,
}

/// Muon (Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024) with the size of steps
/// and the weight decay of Moonlight (Liu et al., "Muon is scalable for LLM training", 2025, arXiv 2502.16982):
///
/// ```text
/// M ← μ·M + G
/// O = the orthogonal matrix next to G + μ·M (with Nesterov's momentum), or to M
/// W ← W − η·λ·W − η·0.2·√max(rows, columns)·O
/// ```
///
/// The entries of a step then have a root mean square of about 0.2·η, as AdamW's have, and AdamW's learning rate
/// and decay suit both.
///
/// That is for hidden matrices. Embeddings, heads, routers and gates, and everything of one dimension are trained
/// with [`AdamW`](super::AdamW).
#[derive(Debug, Clone)]
pub struct Muon {
    options: MuonOptions,
    /// By tensor: rows and columns, where it is a hidden matrix.
    matrices: Vec<Option<[usize; 2]>>,
    state: State,
    scratch: Scratch<f32>,
    /// The direction of the matrix that is being updated.
    direction: Vec<f32>,
}

/// Parts of names whose tensors are no hidden matrices.
const NOT_HIDDEN: [&str; 5] = ["embed", "lm_head", "norm", "scale", "threshold"];

/// Projections to a number for each expert or head, not to features: routers and gates.
const ROUTERS: [&str; 5] = ["gate", "shared_expert_gate", "in_proj_a", "in_proj_b", "in_proj_ba"];

fn hidden_matrix(name: &str, shape: &[usize]) -> Option<[usize; 2]> {
    let &[rows, cols] = shape else { return None };
    let is_router = name.split('.').any(|part| ROUTERS.contains(&part));
    let is_other = is_router || NOT_HIDDEN.iter().any(|part| name.contains(part));
    (rows > 1 && cols > 1 && !is_other).then_some([rows, cols])
}

impl Muon {
    /// A fresh state for tensors of these names and shapes.
    pub fn new<'a>(
        options: MuonOptions,
        tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>,
    ) -> Self {
        let mut matrices = Vec::new();
        let kept = tensors.into_iter().map(|(name, shape)| {
            let matrix = hidden_matrix(name, shape);
            matrices.push(matrix);
            let names = if matrix.is_some() { &["momentum"] } else { MOMENTS };
            (name.to_owned(), shape.iter().product(), names)
        });
        let state = State::new(kept);
        let (scratch, direction) = Default::default();
        Self { options, matrices, state, scratch, direction }
    }
}

impl Optimiser for Muon {
    fn begin<'a>(&'a mut self, moment: Moment<'a, '_>) -> Box<dyn TensorStep + 'a> {
        let Self { options, matrices, state, scratch, direction } = self;
        let Some([rows, cols]) = matrices[moment.tensor] else {
            return Box::new(begin_adamw(state, options.adamw, moment));
        };
        let Moment { learning_rate, weight_decay, gradient, gradient_factor, .. } = moment;
        let (_, [momentum]) = state.advance(moment.tensor);
        assert_eq!(momentum.len(), gradient.len(), "one gradient for each weight");
        direction.resize(momentum.len(), 0.0);
        let (mu, factor) = (options.momentum as f32, gradient_factor as f32);
        let by_gradient = if options.nesterov { factor } else { 0.0 };
        let by_momentum = if options.nesterov { mu } else { 1.0 };
        let runs = gradient.par_chunks(RUN).zip(momentum.par_chunks_mut(RUN));
        runs.zip(direction.par_chunks_mut(RUN)).for_each(|((gradient, momentum), direction)| {
            for ((&g, m), d) in gradient.iter().zip(momentum).zip(direction) {
                *m = mu * *m + factor * g;
                *d = by_gradient * g + by_momentum * *m;
            }
        });
        orthogonalise(direction, rows, cols, scratch)
            .expect("a matrix of its own shape, and the kernels that its gradient came from");
        let size = 0.2 * (rows.max(cols) as f64).sqrt();
        Box::new(MuonStep {
            direction,
            step: (learning_rate * size) as f32,
            keep: (1.0 - learning_rate * weight_decay) as f32,
        })
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

struct MuonStep<'a> {
    /// O.
    direction: &'a [f32],
    /// η·0.2·√max(rows, columns).
    step: f32,
    /// 1 − η·λ.
    keep: f32,
}

impl TensorStep for MuonStep<'_> {
    fn apply(&mut self, start: usize, weights: &mut [f32]) {
        let Self { step, keep, .. } = *self;
        let direction = &self.direction[start..start + weights.len()];
        weights.par_chunks_mut(RUN).zip(direction.par_chunks(RUN)).for_each(
            |(weights, direction)| {
                for (w, &d) in weights.iter_mut().zip(direction) {
                    *w = keep * *w - step * d;
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::AdamW;
    use super::super::testing::{normals, on_threads, run, single, step};
    use super::*;

    const ADAMW: AdamWOptions = AdamWOptions { beta1: 0.9, beta2: 0.95, epsilon: 1e-8 };

    fn muon(nesterov: bool, name: &str, shape: &[usize]) -> Muon {
        let options = MuonOptions { momentum: 0.95, nesterov, adamw: ADAMW };
        Muon::new(options, [(name, shape)])
    }

    #[test]
    fn a_first_step_of_one_row_is_the_direction_of_its_gradient() {
        // One singular value: the norm, which becomes the polynomial of 1 five times over.
        let polynomial = |s: f64| 3.4445 * s - 4.775 * s.powi(3) + 2.0315 * s.powi(5);
        let value = (0..5).fold(1.0, |s, _| polynomial(s));
        for nesterov in [false, true] {
            let mut muon = muon(nesterov, "mlp.up_proj.weight", &[2, 2]);
            let mut weights = [1.0_f32; 4];
            step(&mut muon, single(0.1, 0.5, &[3.0, 4.0, 0.0, 0.0]), &mut weights, 3);
            let size = 0.1 * 0.2 * 2.0_f64.sqrt() * value;
            for (found, share) in weights.iter().zip([0.6, 0.8, 0.0, 0.0]) {
                let expected = 0.95 - size * share;
                assert!((f64::from(*found) - expected).abs() < 1e-6, "{weights:?}, {expected}");
            }
        }
    }

    #[test]
    fn over_many_steps_it_stays_by_the_formula_in_double_precision() {
        for (rows, cols) in [(6, 10), (10, 6)] {
            for nesterov in [false, true] {
                let n = rows * cols;
                let mut muon = muon(nesterov, "mlp.up_proj.weight", &[rows, cols]);
                let mut weights = normals(0, n);
                let mut wide: Vec<f64> = weights.iter().map(|&w| f64::from(w)).collect();
                let mut momentum = vec![0.0; n];
                for time in 1..=10 {
                    let gradient = normals(time, n);
                    let moment = Moment { gradient_factor: 0.5, ..single(0.02, 0.1, &gradient) };
                    step(&mut muon, moment, &mut weights, 7);
                    let mut direction = vec![0.0; n];
                    for i in 0..n {
                        let g = 0.5 * f64::from(gradient[i]);
                        momentum[i] = 0.95 * momentum[i] + g;
                        direction[i] = if nesterov { g + 0.95 * momentum[i] } else { momentum[i] };
                    }
                    orthogonalise(&mut direction, rows, cols, &mut Scratch::default()).unwrap();
                    let size = 0.2 * 10.0_f64.sqrt();
                    for (w, d) in wide.iter_mut().zip(direction) {
                        *w = *w - 0.02 * 0.1 * *w - 0.02 * size * d;
                    }
                }
                for (found, expected) in weights.iter().zip(&wide) {
                    assert!((f64::from(*found) - expected).abs() < 1e-4, "{found} and {expected}");
                }
            }
        }
    }

    #[test]
    fn a_step_is_about_as_long_as_one_of_adamw() {
        for shape in [[64, 64], [16, 64], [64, 16]] {
            let n = shape[0] * shape[1];
            let mut muon = muon(true, "mlp.up_proj.weight", &shape);
            let mut weights = vec![0.0; n];
            step(&mut muon, single(1.0, 0.0, &normals(1, n)), &mut weights, n);
            let mean = weights.iter().map(|w| w * w).sum::<f32>() / n as f32;
            assert!((0.14..0.26).contains(&mean.sqrt()), "{shape:?}: {}", mean.sqrt());
        }
    }

    #[test]
    fn only_hidden_matrices_are_orthogonalised_and_all_else_is_adamws() {
        for (name, shape, expected) in [
            ("model.layers.0.self_attn.q_proj.weight", &[4, 4][..], true),
            ("model.layers.0.mlp.gate_proj.weight", &[4, 4], true),
            ("model.layers.0.mlp.experts.3.down_proj.weight", &[4, 4], true),
            ("model.layers.0.linear_attn.in_proj_qkv.weight", &[4, 4], true),
            ("model.embed_tokens.weight", &[4, 4], false),
            ("model.layers.0.embed_tokens_per_layer.weight", &[4, 4], false),
            ("lm_head.weight", &[4, 4], false),
            ("model.layers.0.mlp.gate.weight", &[4, 4], false),
            ("model.layers.0.mlp.shared_expert_gate.weight", &[1, 4], false),
            ("model.layers.0.linear_attn.in_proj_ba.weight", &[4, 4], false),
            ("model.layers.0.linear_attn.conv1d.weight", &[4, 1, 4], false),
            ("model.layers.0.input_layernorm.weight", &[16], false),
            ("model.layers.0.mlp.up_proj.scale", &[4, 4], false),
            ("model.layers.0.mlp.up_proj.bias", &[16], false),
        ] {
            assert_eq!(hidden_matrix(name, shape).is_some(), expected, "{name}");
            let n = shape.iter().product();
            let [muon, adamw] =
                [run(muon(true, name, shape), n, n), run(AdamW::new(ADAMW, [(name, shape)]), n, n)];
            assert_eq!(muon != adamw, expected, "{name}");
        }
    }

    #[test]
    fn runs_and_threads_do_not_change_a_bit() {
        let (rows, cols) = (130, 257);
        let (fresh, n) = (|| muon(true, "mlp.up_proj.weight", &[rows, cols]), rows * cols);
        let alone = on_threads(1, || run(fresh(), n, n));
        assert_eq!(on_threads(3, || run(fresh(), n, n)), alone);
        assert_eq!(on_threads(2, || run(fresh(), n, 512)), alone);
    }
}
