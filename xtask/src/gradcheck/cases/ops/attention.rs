//! Causal attention with grouped heads.

use nn::Compute;
use nn::ops::{AttentionShape, attention, attention_backward};

use crate::gradcheck::case::{Case, Outcome};
use crate::gradcheck::cases::op::{Bounds, Exact, Forward, Op, gradient, single_by_entries};

/// The cases of the op.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let mut cases = Vec::new();
    let shape = |[sequences, queries, keys]: [usize; 3],
                 [query_heads, key_heads, width]: [usize; 3]| {
        AttentionShape { sequences, queries, keys, query_heads, key_heads, width }
    };
    for (name, shape) in [
        ("attention", shape([3, 5, 5], [4, 2, 7])),
        ("attention, keys before the queries", shape([3, 2, 5], [8, 4, 7])),
        ("attention, a key head each", shape([1, 5, 5], [3, 3, 2])),
    ] {
        cases.push(gradient(
            name,
            "attention",
            shapes(shape, &mut [[0; 2]; 3]),
            Attention { shape },
        ));
    }
    for (name, shape) in [
        ("attention, f32", shape([2, 83, 83], [6, 2, 20])),
        ("attention, keys before the queries, f32", shape([1, 37, 150], [4, 1, 64])),
    ] {
        let (op, place) = (Attention { shape }, &mut [[0; 2]; 3]);
        let bounds = move |exact: Exact<'_, 3>| bounds(shape, &exact);
        cases.push(single_by_entries(name, "attention", shapes(shape, place), op, bounds));
    }
    cases
}

/// Σ|terms| of each entry, from the matrix of probabilities that the op never holds.
fn bounds(shape: AttentionShape, exact: &Exact<'_, 3>) -> Bounds<3> {
    let AttentionShape { sequences, queries, keys, query_heads, key_heads, width } = shape;
    let [q, k, v] = exact.arrays;
    let (out, d_out) = (exact.output, exact.upstream);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let size = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a * b).abs()).sum::<f64>();
    let scale = 1.0 / (width as f64).sqrt();
    let mut terms =
        [vec![0.0; out.len()], vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]];
    let mut largest_score = 0.0_f64;
    for row in 0..sequences * queries {
        let (sequence, position) = (row / queries, keys - queries + row % queries);
        for head in 0..query_heads {
            let i = (row * query_heads + head) * width..(row * query_heads + head + 1) * width;
            let key = |j: usize| {
                let start = (sequence * keys + j) * key_heads + head * key_heads / query_heads;
                start * width..(start + 1) * width
            };
            let mut p: Vec<f64> =
                (0..=position).map(|j| (scale * dot(&q[i.clone()], &k[key(j)])).exp()).collect();
            let total: f64 = p.iter().sum();
            p.iter_mut().for_each(|p| *p /= total);
            for (j, p) in p.into_iter().enumerate() {
                let j = key(j);
                largest_score = largest_score.max(scale * size(&q[i.clone()], &k[j.clone()]));
                let d = &d_out[i.clone()];
                let ds = scale * p * (size(d, &v[j.clone()]) + size(d, &out[i.clone()]));
                for (i, j) in i.clone().zip(j) {
                    terms[0][i] += p * v[j].abs();
                    terms[1][i] += ds * k[j].abs();
                    terms[2][j] += ds * q[i].abs();
                    terms[3][j] += p * d_out[i].abs();
                }
            }
        }
    }
    // What a score is off by, a sum of `width` terms, and the log-sum with it, is a relative error of
    // the exponential. It enters ds once more through D, a sum over `width` and over keys.
    let score = (2.0 * (width + 8) as f64 * largest_score).ceil() as usize + 16;
    let group = queries * query_heads / key_heads;
    let [out, dq, dk, dv] = terms;
    let (forward, ds) = (score + keys, 2 * score + 2 * width + keys);
    Bounds {
        output: (forward, out),
        gradients: [(ds + keys, dq), (ds + group, dk), (score + group, dv)],
    }
}

/// Rows and columns of q, k and v.
fn shapes(shape: AttentionShape, place: &mut [[usize; 2]; 3]) -> [(&str, &[usize]); 3] {
    let AttentionShape { sequences, queries, keys, query_heads, key_heads, width } = shape;
    *place = [
        [sequences * queries, query_heads * width],
        [sequences * keys, key_heads * width],
        [sequences * keys, key_heads * width],
    ];
    let [q, k, v] = &*place;
    [("q", q), ("k", k), ("v", v)]
}

#[derive(Clone, Copy)]
struct Attention {
    shape: AttentionShape,
}

impl Attention {
    fn scale<T: Compute>(self) -> T {
        T::ONE / T::from_usize(self.shape.width).sqrt()
    }
}

impl Op<3> for Attention {
    fn forward<T: Compute>(&self, arrays: [&[T]; 3]) -> Outcome<Forward<T>> {
        let mut output = vec![T::ZERO; arrays[0].len()];
        let mut saved = vec![T::ZERO; arrays[0].len() / self.shape.width];
        attention(self.shape, self.scale(), arrays, &mut output, &mut saved)?;
        Ok(Forward { output, saved })
    }

    fn backward<T: Compute>(
        &self,
        arrays: [&[T]; 3],
        Forward { output, saved }: &Forward<T>,
        upstream: &[T],
        gradients: [&mut [T]; 3],
    ) -> Outcome {
        let saved = [output, saved, upstream];
        Ok(attention_backward(self.shape, self.scale(), arrays, saved, gradients)?)
    }
}
