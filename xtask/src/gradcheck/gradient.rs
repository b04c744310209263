//! The first kind of case: a backward against the derivative of its forward.
//!
//! The backward computes, for an upstream gradient u, the contraction Jᵀu with the Jacobian J of the
//! forward. Every entry of every array is moved by itself and the outputs are differenced:
//!
//! ```text
//! |analytic − numeric| ≤ 1e-6·|numeric| + 1e-8·max|array|     the larger maximum of the two arrays
//! ```
//!
//! with the numeric derivative's own error estimate below that bound. A gradient that is exactly zero
//! must be declared; it then must be exactly zero, and the numeric one at most 1e-9·max|u|.

use super::case::{Case, Kind, Outcome, Row, largest};
use super::numeric::{Estimate, contracted_difference, derivative};
use super::values::signed;

/// How large a step is, as a share of the largest entry of an array.
const STEP: f64 = 1.0 / 32.0;
const RELATIVE: f64 = 1e-6;
const OF_LARGEST: f64 = 1e-8;
const ZERO_OF_UPSTREAM: f64 = 1e-9;

/// An input or a parameter that a case differentiates by.
pub(crate) struct Array {
    name: String,
    values: Vec<f64>,
    step: f64,
    is_zero: bool,
}

impl Array {
    /// An array with its shape, in which no two dimensions may be equal: a transposed operand would
    /// go unnoticed.
    pub(crate) fn new(name: &str, shape: &[usize], values: Vec<f64>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}: shape {shape:?}");
        let distinct = (1..shape.len()).all(|i| !shape[..i].contains(&shape[i]));
        assert!(distinct && !values.is_empty(), "{name}: {shape:?} is symmetric or empty");
        let scale = largest(&values);
        let step = STEP * if scale > 0.0 { scale } else { 1.0 };
        Self { name: name.to_owned(), values, step, is_zero: false }
    }

    /// Random numbers of both signs, away from 0; the case's name makes them its own.
    pub(crate) fn random(case: &str, name: &str, shape: &[usize]) -> Self {
        Self::new(name, shape, signed(&format!("{case}/{name}"), shape.iter().product()))
    }

    /// The largest step, where a kink or a selection is nearer than the usual one.
    pub(crate) fn step(mut self, step: f64) -> Self {
        self.step = step;
        self
    }

    /// Declares that the gradient is exactly zero.
    pub(crate) fn zero(mut self) -> Self {
        self.is_zero = true;
        self
    }
}

type Forward = dyn Fn(&[Vec<f64>]) -> Outcome<Vec<Vec<f64>>> + Send + Sync;
type Backward = dyn Fn(&[Vec<f64>], &[Vec<f64>], &mut [Vec<f64>]) -> Outcome + Send + Sync;
type Selections = dyn Fn(&[Vec<f64>]) -> Outcome<Vec<i64>> + Send + Sync;

/// A case that checks a backward.
pub(crate) struct Gradient {
    name: String,
    covers: Vec<&'static str>,
    arrays: Vec<Array>,
    forward: Box<Forward>,
    backward: Box<Backward>,
    selections: Option<Box<Selections>>,
}

impl Gradient {
    /// `forward` maps the arrays to the outputs, `backward` takes the arrays, the upstream gradient of
    /// each output, and a gradient of each array that it must add to.
    pub(crate) fn new<const N: usize, const M: usize>(
        name: impl Into<String>,
        covers: &[&'static str],
        arrays: [Array; N],
        forward: impl Fn([&[f64]; N]) -> Outcome<[Vec<f64>; M]> + Send + Sync + 'static,
        backward: impl Fn([&[f64]; N], [&[f64]; M], [&mut [f64]; N]) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Self::of_arrays(
            name,
            covers,
            arrays.into(),
            move |arrays| Ok(forward(slices(arrays))?.into()),
            move |arrays, upstream, gradients| {
                let mut gradients = gradients.iter_mut();
                let gradients = std::array::from_fn(|_| gradients.next().unwrap().as_mut_slice());
                backward(slices(arrays), slices(upstream), gradients)
            },
        )
    }

    /// The same for as many arrays as a layer has parameters.
    pub(crate) fn of_arrays(
        name: impl Into<String>,
        covers: &[&'static str],
        arrays: Vec<Array>,
        forward: impl Fn(&[Vec<f64>]) -> Outcome<Vec<Vec<f64>>> + Send + Sync + 'static,
        backward: impl Fn(&[Vec<f64>], &[Vec<f64>], &mut [Vec<f64>]) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            covers: covers.to_vec(),
            arrays,
            forward: Box::new(forward),
            backward: Box::new(backward),
            selections: None,
        }
    }

    /// What the forward selects (codes, ranks, an absolute maximum), as integers that must be the
    /// same at every point the differences visit.
    pub(crate) fn selecting<const N: usize>(
        self,
        selections: impl Fn([&[f64]; N]) -> Outcome<Vec<i64>> + Send + Sync + 'static,
    ) -> Self {
        self.selecting_of_arrays(move |arrays| selections(slices(arrays)))
    }

    /// The same for as many arrays as there are.
    pub(crate) fn selecting_of_arrays(
        mut self,
        selections: impl Fn(&[Vec<f64>]) -> Outcome<Vec<i64>> + Send + Sync + 'static,
    ) -> Self {
        self.selections = Some(Box::new(selections));
        self
    }

    fn points(&self) -> Vec<Vec<f64>> {
        self.arrays.iter().map(|array| array.values.clone()).collect()
    }

    /// Outputs at a point that selects what `selected` says.
    fn outputs(&self, point: &[Vec<f64>], selected: Option<&[i64]>) -> Outcome<Vec<Vec<f64>>> {
        if let (Some(selections), Some(selected)) = (&self.selections, selected)
            && selections(point)? != selected
        {
            return Err("the differences cross from one selection to another".into());
        }
        (self.forward)(point)
    }

    /// Jᵀ`upstream`, added to `gradients`.
    fn analytic(&self, upstream: &[Vec<f64>], gradients: &mut [Vec<f64>]) -> Outcome {
        (self.backward)(&self.points(), upstream, gradients)
    }

    /// The numeric ⟨u, J·direction⟩, where `direction` fills a point with x + h·direction.
    fn along(
        &self,
        upstream: &[Vec<f64>],
        selected: Option<&[i64]>,
        step: f64,
        direction: impl Fn(f64, &mut [Vec<f64>]),
    ) -> Outcome<Estimate> {
        let mut point = self.points();
        derivative(step, |h| {
            direction(h, &mut point);
            let above = self.outputs(&point, selected)?;
            direction(-h, &mut point);
            let below = self.outputs(&point, selected)?;
            Ok(contracted_difference(upstream, &above, &below))
        })
    }

    /// The numeric derivative by every entry of the array `index`.
    fn numeric(
        &self,
        index: usize,
        upstream: &[Vec<f64>],
        selected: Option<&[i64]>,
    ) -> Outcome<Vec<Estimate>> {
        let Array { values, step, .. } = &self.arrays[index];
        (0..values.len())
            .map(|entry| {
                self.along(upstream, selected, *step, |h, point| {
                    point[index][entry] = values[entry] + h;
                })
            })
            .collect()
    }

    fn compare(&self, array: &Array, analytic: &[f64], numeric: &[Estimate], upstream: f64) -> Row {
        let expected: Vec<f64> = numeric.iter().map(|estimate| estimate.value).collect();
        let scale = largest(analytic).max(largest(&expected));
        if array.is_zero {
            let allowed = ZERO_OF_UPSTREAM * upstream;
            let zeros = vec![0.0; expected.len()];
            let row =
                Row::compare(&array.name, Kind::Zero, &expected, &zeros, |_| allowed, |_| 0.0);
            return match analytic.iter().position(|&gradient| gradient != 0.0) {
                Some(entry) => row.fail(format!(
                    "entry {entry}: declared to be exactly zero, found {:e}",
                    analytic[entry]
                )),
                None => row,
            };
        }
        let row = Row::compare(
            &array.name,
            Kind::Gradient,
            analytic,
            &expected,
            |i| RELATIVE * expected[i].abs() + OF_LARGEST * scale,
            |i| numeric[i].error,
        );
        if scale == 0.0 {
            return row.fail("is zero everywhere, and not declared to be".into());
        }
        row
    }

    /// The analytic gradient once more, on top of numbers that must survive.
    fn compare_added(&self, upstream: &[Vec<f64>], analytic: &[Vec<f64>]) -> Outcome<Vec<Row>> {
        let before: Vec<Vec<f64>> = (self.arrays.iter().zip(analytic))
            .map(|(array, gradient)| {
                let scale = Some(largest(gradient)).filter(|&scale| scale > 0.0).unwrap_or(1.0);
                let held = signed(&format!("{}/{} held", self.name, array.name), gradient.len());
                held.into_iter().map(|value| value * scale).collect()
            })
            .collect();
        let mut after = before.clone();
        self.analytic(upstream, &mut after)?;
        let mut rows = Vec::new();
        for (index, array) in self.arrays.iter().enumerate() {
            let added: Vec<f64> =
                after[index].iter().zip(&before[index]).map(|(after, held)| after - held).collect();
            let expected = &analytic[index];
            let scale = largest(expected);
            let allowed = |i: usize| RELATIVE * expected[i].abs() + OF_LARGEST * scale;
            rows.push(Row::compare(&array.name, Kind::Added, &added, expected, allowed, |_| 0.0));
        }
        Ok(rows)
    }

    /// ⟨u, Jv⟩ = ⟨Jᵀu, v⟩ for a random u and a random v over all arrays at once.
    fn compare_transpose(&self, outputs: &[Vec<f64>], selected: Option<&[i64]>) -> Outcome<Row> {
        let upstream = self.upstream("transpose", outputs);
        let mut gradients = self.zeros();
        self.analytic(&upstream, &mut gradients)?;
        // Steps differ from array to array, so the direction is stretched by them and h counts steps.
        let direction: Vec<Vec<f64>> = (self.arrays.iter())
            .map(|array| {
                let name = format!("{}/{} direction", self.name, array.name);
                let values = signed(&name, array.values.len());
                values.into_iter().map(|value| value * array.step).collect()
            })
            .collect();
        let numeric = self.along(&upstream, selected, 1.0, |h, point| {
            for ((point, array), direction) in point.iter_mut().zip(&self.arrays).zip(&direction) {
                for ((x, &centre), &v) in point.iter_mut().zip(&array.values).zip(direction) {
                    *x = centre + h * v;
                }
            }
        })?;
        let terms: Vec<f64> = gradients
            .iter()
            .flatten()
            .zip(direction.iter().flatten())
            .map(|(gradient, v)| gradient * v)
            .collect();
        let allowed = RELATIVE * numeric.value.abs() + OF_LARGEST * largest(&terms);
        Ok(Row::compare(
            "⟨u, Jv⟩",
            Kind::Transpose,
            &[terms.iter().sum()],
            &[numeric.value],
            |_| allowed,
            |_| numeric.error,
        ))
    }

    fn upstream(&self, purpose: &str, outputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let name = |index| format!("{}/{purpose} of output {index}", self.name);
        outputs.iter().enumerate().map(|(i, output)| signed(&name(i), output.len())).collect()
    }

    fn zeros(&self) -> Vec<Vec<f64>> {
        self.arrays.iter().map(|array| vec![0.0; array.values.len()]).collect()
    }
}

impl Case for Gradient {
    fn name(&self) -> &str {
        &self.name
    }

    fn covers(&self) -> &[&'static str] {
        &self.covers
    }

    fn run(&self) -> Outcome<Vec<Row>> {
        let points = self.points();
        let selected = match &self.selections {
            Some(selections) => Some(selections(&points)?),
            None => None,
        };
        let selected = selected.as_deref();
        let outputs = self.outputs(&points, selected)?;
        let upstream = self.upstream("upstream", &outputs);
        let largest_upstream =
            upstream.iter().map(|upstream| largest(upstream)).fold(0.0, f64::max);
        let mut analytic = self.zeros();
        self.analytic(&upstream, &mut analytic)?;
        let mut rows = Vec::new();
        for (index, array) in self.arrays.iter().enumerate() {
            let numeric = self.numeric(index, &upstream, selected)?;
            rows.push(self.compare(array, &analytic[index], &numeric, largest_upstream));
        }
        rows.extend(self.compare_added(&upstream, &analytic)?);
        rows.push(self.compare_transpose(&outputs, selected)?);
        Ok(rows)
    }
}

/// The arrays as slices, by their fixed number.
fn slices<const N: usize>(arrays: &[Vec<f64>]) -> [&[f64]; N] {
    std::array::from_fn(|index| arrays[index].as_slice())
}

#[cfg(test)]
mod tests;
