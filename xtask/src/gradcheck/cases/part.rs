//! A part of a model as both kinds of case: with every parameter as an array, in `f64` against its
//! forward, and in `f32` against `f64`.

use nn::{
    Compute, Context, Embedding, Gradients, Input, Layer, Module, ParameterId, Parameters,
    Projection, Tape, ValuesMut,
};
use ternary_core::Real;

use super::op::{narrow, widen};
use crate::gradcheck::case::{Case, Outcome, largest};
use crate::gradcheck::comparison::{Comparison, Pair};
use crate::gradcheck::gradient::{Array, Gradient};
use crate::gradcheck::values::signed;

/// A part, built, whatever trait it implements.
pub(super) trait Built<T: Compute>: Send + Sync {
    /// Its parameters.
    fn module(&mut self) -> &mut dyn Module<T>;

    /// Calls `visit` with each projection, to be replaced: of a part that has some.
    fn each_projection_mut(&mut self, _visit: &mut dyn FnMut(&mut Box<dyn Projection<T>>)) {}

    /// The output for `x`, which is empty for a part that takes tokens.
    fn forward(&self, x: &[T], tape: &mut Tape<T>) -> nn::Result<Vec<T>>;

    /// Adds to the gradients of the input and of the parameters.
    fn backward(
        &self,
        dy: &[T],
        dx: &mut [T],
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> nn::Result<()>;
}

/// How to build a part of a number type.
pub(super) trait Part: Clone + Send + Sync + 'static {
    /// Rows and columns of its input; none for a part that takes tokens.
    fn input(&self) -> Option<[usize; 2]>;

    /// The lengths of the sums on the longest way through it.
    fn sums(&self) -> Vec<usize>;

    /// The values of an array; `seed` makes random ones its own.
    fn values(&self, seed: &str, _array: &str, shape: &[usize]) -> Vec<f64> {
        signed(seed, shape.iter().product())
    }

    /// Whether the gradient of an array is exactly zero.
    fn is_zero(&self, _array: &str) -> bool {
        false
    }

    /// What the forward selects, which must be the same wherever the differences go.
    fn selections(&self, _arrays: &[Vec<f64>]) -> Outcome<Vec<i64>> {
        Ok(Vec::new())
    }

    /// Builds it with any values: the case sets them.
    fn build<T: Compute>(&self, parameters: &mut Parameters) -> nn::Result<Box<dyn Built<T>>>;
}

/// A layer and what it knows of its rows.
pub(super) struct OfLayer<T>(pub(super) Box<dyn Layer<T>>, pub(super) Context<'static>);

impl<T: Compute> Built<T> for OfLayer<T> {
    fn module(&mut self) -> &mut dyn Module<T> {
        &mut *self.0
    }

    fn each_projection_mut(&mut self, visit: &mut dyn FnMut(&mut Box<dyn Projection<T>>)) {
        self.0.each_projection_mut(visit);
    }

    fn forward(&self, x: &[T], tape: &mut Tape<T>) -> nn::Result<Vec<T>> {
        self.0.forward(x.to_vec(), self.1, tape)
    }

    fn backward(
        &self,
        dy: &[T],
        dx: &mut [T],
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> nn::Result<()> {
        add_fresh(self.0.backward(dy.to_vec(), self.1, tape, gradients)?, dx, tape);
        Ok(())
    }
}

/// The same on a tape that recomputes.
pub(super) struct Recomputed<T>(pub(super) OfLayer<T>);

impl<T: Compute> Built<T> for Recomputed<T> {
    fn module(&mut self) -> &mut dyn Module<T> {
        self.0.module()
    }

    fn each_projection_mut(&mut self, visit: &mut dyn FnMut(&mut Box<dyn Projection<T>>)) {
        self.0.each_projection_mut(visit);
    }

    fn forward(&self, x: &[T], tape: &mut Tape<T>) -> nn::Result<Vec<T>> {
        *tape = std::mem::replace(tape, Tape::inference()).recomputing();
        self.0.forward(x, tape)
    }

    fn backward(
        &self,
        dy: &[T],
        dx: &mut [T],
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> nn::Result<()> {
        self.0.backward(dy, dx, tape, gradients)
    }
}

/// A layer gives the gradient of its input in a buffer of its own.
pub(super) fn add_fresh<T: Compute>(fresh: Vec<T>, dx: &mut [T], tape: &mut Tape<T>) {
    dx.iter_mut().zip(&fresh).for_each(|(dx, &fresh)| *dx += fresh);
    tape.give(fresh);
}

/// A projection.
pub(super) struct OfProjection<T>(pub(super) Box<dyn Projection<T>>);

impl<T: Compute> Built<T> for OfProjection<T> {
    fn module(&mut self) -> &mut dyn Module<T> {
        &mut *self.0
    }

    fn forward(&self, x: &[T], tape: &mut Tape<T>) -> nn::Result<Vec<T>> {
        let mut input = Input::new("case", x.to_vec(), self.0.inputs())?;
        let mut y = vec![T::ZERO; input.rows() * self.0.outputs()];
        self.0.forward(&mut input, &mut y, tape)?;
        tape.save_input(input);
        Ok(y)
    }

    fn backward(
        &self,
        dy: &[T],
        dx: &mut [T],
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> nn::Result<()> {
        let input = tape.restore_input("case")?;
        self.0.backward(&input, dy, Some(dx), tape, gradients)?;
        tape.recycle(input);
        Ok(())
    }
}

/// An embedding, with a head that shares its table or without.
pub(super) struct OfEmbedding<T> {
    pub(super) embedding: Embedding<T>,
    pub(super) tokens: &'static [u32],
    pub(super) is_tied: bool,
}

impl<T: Compute> Built<T> for OfEmbedding<T> {
    fn module(&mut self) -> &mut dyn Module<T> {
        &mut self.embedding
    }

    fn forward(&self, _: &[T], tape: &mut Tape<T>) -> nn::Result<Vec<T>> {
        let rows = self.embedding.forward(self.tokens, tape)?;
        if !self.is_tied {
            return Ok(rows);
        }
        let mut input = Input::new("case", rows, self.embedding.width())?;
        let mut scores = vec![T::ZERO; self.tokens.len() * self.embedding.vocabulary()];
        self.embedding.head().forward(&mut input, &mut scores, tape)?;
        tape.save_input(input);
        Ok(scores)
    }

    fn backward(
        &self,
        dy: &[T],
        _: &mut [T],
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> nn::Result<()> {
        if !self.is_tied {
            return self.embedding.backward(dy.to_vec(), tape, gradients);
        }
        let input = tape.restore_input("case")?;
        let mut d_rows = tape.zeros(self.tokens.len() * self.embedding.width());
        self.embedding.head().backward(&input, dy, Some(&mut d_rows), tape, gradients)?;
        tape.recycle(input);
        self.embedding.backward(d_rows, tape, gradients)
    }
}

/// A part, built with values for its arrays: the input, if it has one, and then its parameters in
/// their order.
struct Ready<'a, T: Compute> {
    built: Box<dyn Built<T>>,
    gradients: Gradients<T>,
    ids: Vec<ParameterId>,
    x: &'a [T],
}

impl<'a, T: Compute> Ready<'a, T> {
    fn new(part: &impl Part, arrays: &'a [Vec<T>]) -> Outcome<Self> {
        let mut parameters = Parameters::new();
        let mut built = part.build::<T>(&mut parameters)?;
        let (x, values) = match part.input() {
            Some(_) => arrays.split_first().map_or((&[][..], arrays), |(x, rest)| (x, rest)),
            None => (&[][..], arrays),
        };
        // What is frozen has the values that it was built with.
        let ids: Vec<ParameterId> = parameters.ids().filter(|id| !id.is_frozen()).collect();
        let mut set = 0;
        built.module().visit_mut(&mut |id, own| {
            let place = ids.iter().position(|&known| known == id);
            if let (Some(place), ValuesMut::Real(own)) = (place, own) {
                own.copy_from_slice(&values[place]);
                set += 1;
            }
        });
        if set != ids.len() || set != values.len() {
            return Err(format!("{set} of {} parameters could be set", ids.len()).into());
        }
        let gradients = Gradients::zeros(&parameters);
        Ok(Self { built, gradients, ids, x })
    }

    fn forward(&self, tape: &mut Tape<T>) -> Outcome<Vec<T>> {
        Ok(self.built.forward(self.x, tape)?)
    }

    /// Forward and backward, on a tape whose buffers an earlier step on other numbers left behind.
    fn backward(&mut self, upstream: &[T], gradients: &mut [Vec<T>]) -> Outcome<Vec<T>> {
        let mut tape = Tape::recording();
        let earlier: Vec<T> = self.x.iter().rev().map(|&x| x + T::HALF).collect();
        let y = self.built.forward(&earlier, &mut tape)?;
        self.built.backward(
            &y,
            &mut vec![T::ZERO; earlier.len()],
            &mut tape,
            &mut self.gradients,
        )?;

        let (dx, rest) = gradients.split_at_mut(gradients.len() - self.ids.len());
        for (&id, held) in self.ids.iter().zip(&*rest) {
            self.gradients.get_mut(id).expect("one that is not frozen").copy_from_slice(held);
        }
        let dx = dx.first_mut().map_or(&mut [][..], |dx| dx);
        let y = self.forward(&mut tape)?;
        self.built.backward(upstream, dx, &mut tape, &mut self.gradients)?;
        for (&id, gradient) in self.ids.iter().zip(rest) {
            gradient.copy_from_slice(self.gradients.get(id));
        }
        if !tape.is_empty() {
            return Err("the backward left something on the tape".into());
        }
        Ok(y)
    }
}

/// Names and shapes of the arrays of a part.
fn shapes(part: &impl Part) -> nn::Result<Vec<(String, Vec<usize>)>> {
    let mut parameters = Parameters::new();
    part.build::<f64>(&mut parameters)?;
    let input = part.input().map(|shape| ("x".to_owned(), shape.to_vec()));
    let learning = parameters.ids().filter(|id| !id.is_frozen());
    let own = learning.map(|id| (parameters.name(id).to_owned(), parameters.shape(id).to_vec()));
    Ok(input.into_iter().chain(own).collect())
}

/// A part in `f64` against its forward, and in `f32` against `f64`.
pub(super) fn both(name: &str, item: &'static str, part: impl Part) -> [Box<dyn Case>; 2] {
    match shapes(&part) {
        Ok(shapes) => {
            [gradient(name, item, &shapes, part.clone()), single(name, item, shapes, part)]
        }
        Err(error) => [(); 2].map(|()| {
            let error = error.clone();
            Box::new(Comparison::new(name, &[item], move || Err(error.clone().into()))) as _
        }),
    }
}

fn gradient(
    name: &str,
    item: &'static str,
    shapes: &[(String, Vec<usize>)],
    part: impl Part,
) -> Box<dyn Case> {
    let random = |(array, shape): &(String, Vec<usize>)| {
        let values = part.values(&format!("{name}/{array}"), array, shape);
        let array_of = Array::new(array, shape, values);
        if part.is_zero(array) { array_of.zero() } else { array_of }
    };
    let arrays = shapes.iter().map(random).collect();
    let (backward_part, selecting) = (part.clone(), part.clone());
    let forward = move |arrays: &[Vec<f64>]| {
        Ok(vec![Ready::new(&part, arrays)?.forward(&mut Tape::inference())?])
    };
    let backward = move |arrays: &[Vec<f64>], upstream: &[Vec<f64>], d: &mut [Vec<f64>]| {
        Ready::new(&backward_part, arrays)?.backward(&upstream[0], d).map(|_| ())
    };
    let case = Gradient::of_arrays(name, &[item], arrays, forward, backward);
    Box::new(case.selecting_of_arrays(move |arrays| selecting.selections(arrays)))
}

/// A sum of `k` terms of random signs is off by some √k roundings, of terms that add up to √k times the
/// sum: by k·2⁻²⁴ of it, with 16 more for the functions around it. What one stage is off by, the next
/// passes on in proportion. An entry may be off by this share of the largest of its array.
fn single(
    name: &str,
    item: &'static str,
    shapes: Vec<(String, Vec<usize>)>,
    part: impl Part,
) -> Box<dyn Case> {
    let sums = part.sums();
    // There and back again.
    let roundings = 2 * sums.iter().map(|k| k + 16).sum::<usize>();
    let name = format!("{name}, f32");
    let case = name.clone();
    let compute = move || {
        let values = |(array, shape): &(String, Vec<usize>)| {
            narrow(&part.values(&format!("{case}/{array} values"), array, shape))
        };
        let held = |(array, shape): &(String, Vec<usize>)| {
            narrow(&signed(&format!("{case}/{array} held"), shape.iter().product()))
        };
        let fast: Vec<Vec<f32>> = shapes.iter().map(values).collect();
        let held: Vec<Vec<f32>> = shapes.iter().map(held).collect();
        let exact: Vec<Vec<f64>> = fast.iter().map(|array| widen(array)).collect();
        let mut fast_gradients = held.clone();
        let mut exact_gradients: Vec<Vec<f64>> = held.iter().map(|array| widen(array)).collect();
        let count = Ready::new(&part, &fast)?.forward(&mut Tape::inference())?.len();
        let upstream = narrow(&signed(&format!("{case}/upstream"), count));
        let y = Ready::new(&part, &fast)?.backward(&upstream, &mut fast_gradients)?;
        let exact_y =
            Ready::new(&part, &exact)?.backward(&widen(&upstream), &mut exact_gradients)?;
        let pair = |array: String, found: &[f32], expected: &[f64]| {
            let scale = largest(expected);
            Pair::sums(array, found, expected, roundings, |_| scale)
        };
        let mut pairs = vec![pair("output".to_owned(), &y, &exact_y)];
        for (((array, _), found), expected) in
            shapes.iter().zip(&fast_gradients).zip(&exact_gradients)
        {
            pairs.push(pair(format!("d {array}"), found, expected));
        }
        Ok(pairs)
    };
    Box::new(Comparison::new(name, &[item], compute))
}

/// Zeros for values that a case sets.
pub(super) fn zeros<T: Real>(count: usize) -> Vec<T> {
    vec![T::ZERO; count]
}
