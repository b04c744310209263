//! Attention with the whole matrix of scores, in `f64`, and what rounding may make of it.

use super::{Case, Results};

pub(super) struct Oracle {
    pub(super) results: Results<f64>,
    case: Case<f64>,
    /// Largest Σ |q · k| · scale of a pair.
    score: f64,
    /// Largest Σ |d_out · v| or Σ |d_out · out| of a pair.
    d_weight: f64,
    /// Largest sum of a key's weights over queries and heads.
    mass: f64,
}

/// Largest errors allowed.
pub(super) struct Bounds {
    pub(super) out: f64,
    pub(super) log_sums: f64,
    pub(super) dq: f64,
    pub(super) dk: f64,
    pub(super) dv: f64,
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

impl Oracle {
    pub(super) fn of(case: &Case<f64>) -> Self {
        let shape = case.shape;
        let (keys, heads, width) = (shape.keys, shape.query_heads, shape.width);
        let mut results = Results {
            out: vec![0.0; case.q.len()],
            log_sums: vec![0.0; case.q.len() / width],
            dq: vec![1.0; case.q.len()],
            dk: vec![1.0; case.k.len()],
            dv: vec![1.0; case.v.len()],
        };
        let mut masses = vec![0.0; case.k.len() / width];
        let (mut score, mut d_weight) = (0.0_f64, 0.0_f64);
        for index in 0..results.log_sums.len() {
            let (row, head) = (index / heads, index % heads);
            let (sequence, query) = (row / shape.queries, row % shape.queries);
            let key_head = head * shape.key_heads / heads;
            let key = |j: usize| (sequence * keys + j) * shape.key_heads + key_head;
            let visible = keys - shape.queries + query + 1;
            let dot = |a: &[f64], i: usize, b: &[f64], j: usize| -> (f64, f64) {
                let products = (0..width).map(|d| a[i * width + d] * b[j * width + d]);
                products.fold((0.0, 0.0), |(sum, size), p| (sum + p, size + p.abs()))
            };
            let scores: Vec<_> =
                (0..visible).map(|j| dot(&case.q, index, &case.k, key(j))).collect();
            score = scores.iter().fold(score, |largest, s| largest.max(s.1 * case.scale));
            let top = scores.iter().fold(f64::MIN, |top, s| top.max(s.0 * case.scale));
            let sum: f64 = scores.iter().map(|s| (s.0 * case.scale - top).exp()).sum();
            results.log_sums[index] = top + sum.ln();
            let weights: Vec<_> =
                scores.iter().map(|s| (s.0 * case.scale - results.log_sums[index]).exp()).collect();
            for d in 0..width {
                let products =
                    weights.iter().enumerate().map(|(j, p)| p * case.v[key(j) * width + d]);
                results.out[index * width + d] = products.sum();
            }
            let delta = dot(&case.d_out, index, &results.out, index);
            d_weight = d_weight.max(delta.1);
            for (j, p) in weights.into_iter().enumerate() {
                let dp = dot(&case.d_out, index, &case.v, key(j));
                d_weight = d_weight.max(dp.1);
                let ds = p * (dp.0 - delta.0) * case.scale;
                masses[key(j)] += p;
                for d in 0..width {
                    let (own, other) = (index * width + d, key(j) * width + d);
                    results.dq[own] += ds * case.k[other];
                    results.dk[other] += ds * case.q[own];
                    results.dv[other] += p * case.d_out[own];
                }
            }
        }
        Self { results, case: case.clone(), score, d_weight, mass: largest(&masses) }
    }

    /// Bounds for a type whose roundings are within `unit`, to first order and doubled for the rest.
    ///
    /// A chain of n terms errs by n · unit · Σ |term|. A score errs by δ = (width + 2) · unit · score,
    /// and so does a log-sum, but for the roundings of its sum, n, of exp and of ln. A weight errs by
    /// both, relative to itself; weights of a query sum to 1, those of a key to the mass.
    pub(super) fn bounds(&self, unit: f64) -> Bounds {
        let shape = self.case.shape;
        let (n, width) = (shape.keys as f64 + 8.0, shape.width as f64 + 2.0);
        let score = width * unit * self.score;
        let log_sum = score + unit * (n + largest(&self.results.log_sums));
        let weight = score + log_sum + 8.0 * unit;
        let out = (weight + n * unit) * largest(&self.case.v);
        // ⟨d_out, v⟩ and ⟨d_out, out⟩, whose difference is multiplied by the weight.
        let d_out = largest(&self.case.d_out);
        let d_weight = 2.0 * width * unit * self.d_weight + width * d_out * out;
        let d_score = self.case.scale * (2.0 * self.d_weight * weight + d_weight);
        let term = 2.0 * self.case.scale * self.d_weight * unit;
        let queries = (shape.queries * shape.query_heads / shape.key_heads) as f64 + 8.0;
        // The gradients are added to 1, which rounds once more.
        let added = |error: f64, largest: f64| 2.0 * error + 4.0 * unit * (1.0 + largest);
        let (q, k) = (largest(&self.case.q), largest(&self.case.k));
        Bounds {
            out: 2.0 * out,
            log_sums: 2.0 * log_sum,
            dq: added((d_score + n * term) * k, largest(&self.results.dq)),
            dk: added((d_score + queries * term) * q * self.mass, largest(&self.results.dk)),
            dv: added((weight + queries * unit) * d_out * self.mass, largest(&self.results.dv)),
        }
    }
}
