//! An op as both kinds of case: its backward in `f64` against its forward, and `f32` against `f64`.

use nn::Compute;

use crate::gradcheck::case::{Case, Outcome};
use crate::gradcheck::comparison::{Comparison, Pair};
use crate::gradcheck::gradient::{Array, Gradient};
use crate::gradcheck::values::signed;

/// What a forward gives.
pub(super) struct Forward<T> {
    /// The output.
    pub(super) output: Vec<T>,
    /// What else the backward needs.
    pub(super) saved: Vec<T>,
}

/// An op of `N` arrays that are differentiated by. Everything else is part of the op.
pub(super) trait Op<const N: usize>: Clone + Send + Sync + 'static {
    /// The forward.
    fn forward<T: Compute>(&self, arrays: [&[T]; N]) -> Outcome<Forward<T>>;

    /// The backward, which adds to the gradients.
    fn backward<T: Compute>(
        &self,
        arrays: [&[T]; N],
        forward: &Forward<T>,
        upstream: &[T],
        gradients: [&mut [T]; N],
    ) -> Outcome;
}

/// Adds what a backward writes over whatever its gradients held: it is handed NaN, of which nothing may be left.
pub(super) fn add_written<T: Compute, const N: usize>(
    gradients: [&mut [T]; N],
    write: impl FnOnce([&mut [T]; N]) -> Outcome,
) -> Outcome {
    let mut written =
        gradients.each_ref().map(|gradient| vec![T::from_f64(f64::NAN); gradient.len()]);
    write(written.each_mut().map(Vec::as_mut_slice))?;
    for (gradient, written) in gradients.into_iter().zip(written) {
        gradient.iter_mut().zip(written).for_each(|(sum, more)| *sum += more);
    }
    Ok(())
}

/// Names and shapes of the arrays of an op.
pub(super) type Shapes<'a, const N: usize> = [(&'a str, &'a [usize]); N];

/// The backward of an op on random arrays.
pub(super) fn gradient<const N: usize>(
    name: &str,
    item: &'static str,
    shapes: Shapes<'_, N>,
    op: impl Op<N>,
) -> Box<dyn Case> {
    let arrays = shapes.map(|(array, shape)| Array::random(name, array, shape));
    let forward_op = op.clone();
    let forward = move |arrays: [&[f64]; N]| Ok([forward_op.forward(arrays)?.output]);
    let backward = move |arrays: [&[f64]; N], [u]: [&[f64]; 1], d: [&mut [f64]; N]| {
        op.backward(arrays, &op.forward(arrays)?, u, d)
    };
    Box::new(Gradient::new(name, &[item], arrays, forward, backward))
}

/// How far a sum in `f32` may be off: the number of roundings between the inputs and an entry, and a
/// bound on the magnitude of what is summed, Σ|terms|, for inputs in (−1, 1).
#[derive(Clone, Copy)]
pub(super) struct Sum {
    /// The length of the sums, one after the other, and the single operations around them.
    pub(super) roundings: usize,
    /// Σ|terms|.
    pub(super) magnitude: f64,
}

/// Short for a [`Sum`].
pub(super) const fn sum(roundings: usize, magnitude: f64) -> Sum {
    Sum { roundings, magnitude }
}

/// What bounds of single entries are derived from.
pub(super) struct Exact<'a, const N: usize> {
    /// The arrays.
    pub(super) arrays: [&'a [f64]; N],
    /// The output.
    pub(super) output: &'a [f64],
    /// The upstream gradient.
    pub(super) upstream: &'a [f64],
}

/// Bounds of an output and of the gradients of `N` arrays: the roundings, and Σ|terms| of each entry.
pub(super) struct Bounds<const N: usize> {
    /// Of the output.
    pub(super) output: (usize, Vec<f64>),
    /// Of each gradient, without what the buffer held.
    pub(super) gradients: [(usize, Vec<f64>); N],
}

/// `f32` against `f64` on the same random arrays: the output, and the gradients added to buffers that
/// hold something. One bound serves all entries of an array.
pub(super) fn single<const N: usize>(
    name: &str,
    item: &'static str,
    shapes: Shapes<'_, N>,
    op: impl Op<N>,
    output: Sum,
    gradients: [Sum; N],
) -> Box<dyn Case> {
    let everywhere = |sum: Sum, count| (sum.roundings, vec![sum.magnitude; count]);
    single_by_entries(name, item, shapes, op, move |exact| Bounds {
        output: everywhere(output, exact.output.len()),
        gradients: std::array::from_fn(|i| everywhere(gradients[i], exact.arrays[i].len())),
    })
}

/// The same with a bound for each entry.
pub(super) fn single_by_entries<const N: usize>(
    name: &str,
    item: &'static str,
    shapes: Shapes<'_, N>,
    op: impl Op<N>,
    bounds: impl Fn(Exact<'_, N>) -> Bounds<N> + Send + Sync + 'static,
) -> Box<dyn Case> {
    let case = name.to_owned();
    let random = move |array: &str, count| narrow(&signed(&format!("{case}/{array}"), count));
    let names = shapes.map(|(array, _)| array.to_owned());
    let arrays = shapes.map(|(array, shape)| random(array, shape.iter().product()));
    let compute = move || {
        let fast = arrays.each_ref().map(Vec::as_slice);
        let wide = arrays.each_ref().map(|array| widen(array));
        let exact = wide.each_ref().map(Vec::as_slice);
        let (fast_forward, exact_forward) = (op.forward(fast)?, op.forward(exact)?);
        let upstream = random("upstream", fast_forward.output.len());
        let wide_upstream = widen(&upstream);

        let mut fast_gradients: [_; N] =
            std::array::from_fn(|i| random(&format!("{} held", names[i]), arrays[i].len()));
        let mut exact_gradients = fast_gradients.each_ref().map(|gradient| widen(gradient));
        op.backward(fast, &fast_forward, &upstream, fast_gradients.each_mut().map(|d| &mut d[..]))?;
        let d = exact_gradients.each_mut().map(|d| &mut d[..]);
        op.backward(exact, &exact_forward, &wide_upstream, d)?;

        let (found, expected) = (&fast_forward.output, &exact_forward.output);
        let exact = Exact { arrays: exact, output: expected, upstream: &wide_upstream };
        let Bounds { output: (roundings, magnitude), gradients } = bounds(exact);
        let mut pairs = vec![Pair::sums("output", found, expected, roundings, |i| magnitude[i])];
        for (i, (roundings, magnitude)) in gradients.into_iter().enumerate() {
            let (found, expected) = (&fast_gradients[i], &exact_gradients[i]);
            // What the buffer held, up to 1, takes part in the last sum alone.
            let magnitude = |entry: usize| magnitude[entry] + 2.0 / (roundings + 1) as f64;
            pairs.push(Pair::sums(
                format!("d {}", names[i]),
                found,
                expected,
                roundings,
                magnitude,
            ));
        }
        Ok(pairs)
    };
    Box::new(Comparison::new(name, &[item], compute))
}

/// The nearest numbers in `f32`.
pub(super) fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

/// The same numbers in `f64`.
pub(super) fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}
