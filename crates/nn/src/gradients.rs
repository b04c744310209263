//! The gradients of a model's parameters, in one flat store.

use std::ops::Range;

use rayon::prelude::*;
use ternary_core::Real;
use ternary_core::profile::span;

use crate::error::{Error, Result};
use crate::parameters::{ParameterId, Parameters};

/// Numbers that one task adds.
const RUN: usize = 1 << 14;

/// One number for each number of the parameters. Backwards **add** to it; whoever begins a step clears it.
///
/// Between a backward and [`Module::finish_gradients`](crate::Module::finish_gradients) the entries of
/// a quantised weight are dL/dq, so that gradients of several batches add up exactly; afterwards they are
/// those of the latent weight.
///
/// A parameter is *touched* once a backward asked for its gradient to add to ([`Gradients::get_mut`]). One that is
/// not (those of an expert without rows) has a gradient of exactly zero, and is to be left as it is: no decay, no
/// moments.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients<T> {
    values: Vec<T>,
    ranges: Vec<Range<usize>>,
    is_touched: Vec<bool>,
}

impl<T: Real> Gradients<T> {
    /// Zeros for these parameters.
    pub fn zeros(parameters: &Parameters) -> Self {
        let ranges = parameters.ids().map(|id| parameters.range(id)).collect();
        let is_touched = vec![false; parameters.len()];
        Self { values: vec![T::ZERO; parameters.numbers()], ranges, is_touched }
    }

    /// Sets every number to zero; no parameter is touched then.
    pub fn clear(&mut self) {
        let _span = span("zeros");
        self.values.fill(T::ZERO);
        self.is_touched.fill(false);
    }

    /// The gradient of one parameter: no numbers where it is frozen.
    ///
    /// # Panics
    /// For an identity of other parameters, as are the others.
    pub fn get(&self, id: ParameterId) -> &[T] {
        &self.values[self.ranges[id.index()].clone()]
    }

    /// The gradient of one parameter, to add to: it is touched from then on. None where it is frozen.
    pub fn get_mut(&mut self, id: ParameterId) -> Option<&mut [T]> {
        if id.is_frozen() {
            return None;
        }
        self.is_touched[id.index()] = true;
        Some(&mut self.values[self.ranges[id.index()].clone()])
    }

    /// Whether a backward has added to the gradient of this parameter.
    pub fn is_touched(&self, id: ParameterId) -> bool {
        self.is_touched[id.index()]
    }

    /// All numbers, parameter after parameter.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// All numbers, to be scaled or added up.
    pub fn values_mut(&mut self) -> &mut [T] {
        &mut self.values
    }

    /// Adds those of another pass over the same parameters, which touched what either did.
    ///
    /// # Panics
    /// For gradients of other parameters.
    pub fn add(&mut self, other: &Self) {
        let _span = span("add units");
        assert_eq!(self.ranges, other.ranges, "gradients of the same parameters");
        self.values
            .par_chunks_mut(RUN)
            .zip(other.values.par_chunks(RUN))
            .for_each(|(sum, more)| sum.iter_mut().zip(more).for_each(|(sum, &more)| *sum += more));
        for (touched, &more) in self.is_touched.iter_mut().zip(&other.is_touched) {
            *touched |= more;
        }
    }

    /// √Σg² over all parameters, by [`sum_of_squares`].
    pub fn norm(&self) -> f64 {
        let _span = span("norm of gradients");
        sum_of_squares(&self.values).sqrt()
    }

    /// Checks that every number is finite.
    ///
    /// # Errors
    /// [`Error::NonFinite`] naming the last parameter that has a NaN or an infinity, the first that a backward reaches:
    /// from there they spread to all before it.
    pub fn check_finite(&self, parameters: &Parameters) -> Result<()> {
        let _span = span("finite gradients");
        let Some(last) = self.values.iter().rposition(|g| !g.is_finite()) else {
            return Ok(());
        };
        let owner = self.ranges.iter().find(|range| range.contains(&last)).cloned();
        let start = owner.map_or(last, |range| range.start);
        let first = self.values[start..].iter().position(|g| !g.is_finite());
        let index = start + first.unwrap_or(0);
        let owner = parameters.ids().find(|&id| parameters.range(id).contains(&index));
        let (layer, start) = owner.map_or_else(
            || ("gradients".to_owned(), 0),
            |id| (parameters.name(id).to_owned(), parameters.range(id).start),
        );
        let value = self.values[index].to_f64();
        Err(Error::NonFinite { layer, what: "gradient", index: index - start, value })
    }
}

/// Numbers whose squares one task adds up.
const BLOCK: usize = 1 << 14;

/// Sums that run beside each other within a block.
const LANES: usize = 16;

/// Σx², in `f64`. The order of the additions depends on the length alone, not on threads: number i of a
/// block is added to sum i mod 16 of the block, then those sums to each other, then block after block. Squares of
/// `f32` cannot overflow it: it is finite when every number is.
pub fn sum_of_squares<T: Real>(values: &[T]) -> f64 {
    let blocks: Vec<f64> = values.par_chunks(BLOCK).map(block_of_squares).collect();
    blocks.into_iter().sum()
}

fn block_of_squares<T: Real>(values: &[T]) -> f64 {
    let mut sums = [0.0; LANES];
    let mut rows = values.chunks_exact(LANES);
    for row in &mut rows {
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum += x.to_f64() * x.to_f64();
        }
    }
    for (sum, x) in sums.iter_mut().zip(rows.remainder()) {
        *sum += x.to_f64() * x.to_f64();
    }
    sums.into_iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_squares_is_exact_to_its_last_digits_and_the_same_on_any_number_of_threads() {
        for n in [0, 1, 15, 16, 17, BLOCK, BLOCK + 1, 5 * BLOCK + 33] {
            let mut values = vec![0.0_f32; n];
            ternary_core::noise::Noise::new(1, 2, 3).fill_normal(0, &mut values);
            let on = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| sum_of_squares(&values))
            };
            let one = on(1);
            assert_eq!([on(2).to_bits(), on(3).to_bits()], [one.to_bits(); 2], "{n}");
            let expected: f64 = values.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            assert!((one - expected).abs() <= 1e-12 * expected, "{n}: {one} and {expected}");
        }
        assert!(sum_of_squares(&[f32::MAX; 100]).is_finite());
        assert!(!sum_of_squares(&[1.0, f32::NAN]).is_finite());
        assert!(!sum_of_squares(&[f32::NEG_INFINITY]).is_finite());
    }

    #[test]
    fn the_first_number_that_is_not_finite_of_the_last_parameter_is_named() {
        let mut parameters = Parameters::new();
        let a = parameters.declare("a", &[2]).unwrap();
        let b = parameters.declare("b", &[3]).unwrap();
        let mut gradients = Gradients::<f32>::zeros(&parameters);
        assert!(gradients.check_finite(&parameters).is_ok());
        gradients.get_mut(b).unwrap().copy_from_slice(&[3.0, 4.0, f32::NAN]);
        gradients.get_mut(a).unwrap()[1] = f32::INFINITY;
        let error = gradients.check_finite(&parameters).unwrap_err().to_string();
        assert_eq!(error, "b: gradient: expected finite numbers, found NaN at index 2");
        gradients.get_mut(a).unwrap()[1] = 0.0;
        gradients.get_mut(b).unwrap()[2] = 0.0;
        assert_eq!(gradients.norm(), 5.0);
        gradients.clear();
        assert_eq!(gradients.values(), [0.0; 5]);
    }

    #[test]
    fn a_parameter_is_touched_by_whoever_adds_to_it_until_the_next_step() {
        let mut parameters = Parameters::new();
        let [a, b] = ["a", "b"].map(|name| parameters.declare(name, &[2]).unwrap());
        let mut gradients = Gradients::<f32>::zeros(&parameters);
        gradients.get_mut(b).unwrap();
        gradients.values_mut()[0] = 1.0;
        assert!(!gradients.is_touched(a) && gradients.is_touched(b));
        gradients.clear();
        assert!(!gradients.is_touched(b));
    }

    #[test]
    fn sums_have_what_either_touched() {
        let mut parameters = Parameters::new();
        let ids = ["a", "b", "c"].map(|name| parameters.declare(name, &[RUN]).unwrap());
        let [mut sum, mut more] = [0, 1].map(|_| Gradients::<f64>::zeros(&parameters));
        sum.get_mut(ids[0]).unwrap().fill(1.0);
        sum.get_mut(ids[1]).unwrap().fill(2.0);
        more.get_mut(ids[1]).unwrap().fill(0.5);
        sum.add(&more);
        assert_eq!(ids.map(|id| sum.is_touched(id)), [true, true, false]);
        assert_eq!(ids.map(|id| sum.get(id)[RUN - 1]), [1.0, 2.5, 0.0]);
    }
}
