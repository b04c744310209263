//! What a [`GatedDeltaNet`](super::GatedDeltaNet) is made of.

use nn::ternary_core::Real;
use nn::{Error, ParameterId, Parameters, Projection, Result, check_size};

/// The projections of a [`GatedDeltaNet`](super::GatedDeltaNet).
#[derive(Debug)]
pub struct DeltaNetProjections<T> {
    /// From the width to all that the recurrence takes.
    pub input: DeltaNetInputs<T>,
    /// From the value heads to the width.
    pub output: Box<dyn Projection<T>>,
}

/// The input projections, in one of two layouts; with nk key heads of dk numbers and nv value heads of dv.
#[derive(Debug)]
pub enum DeltaNetInputs<T> {
    /// One for each purpose, as in Qwen3.5.
    Separate {
        /// To the queries of all heads, then the keys of all heads, then the values of all heads.
        qkv: Box<dyn Projection<T>>,
        /// To the gates of the outputs.
        z: Box<dyn Projection<T>>,
        /// To what becomes β.
        b: Box<dyn Projection<T>>,
        /// To what becomes the decay.
        a: Box<dyn Projection<T>>,
    },
    /// Two, key head by key head, as in Qwen3-Next.
    Fused {
        /// To q (dk), k (dk), v and z (nv/nk · dv each) of a key head, then those of the next.
        qkvz: Box<dyn Projection<T>>,
        /// To b and a (nv/nk each) of a key head, then those of the next.
        ba: Box<dyn Projection<T>>,
    },
}

impl<T> DeltaNetInputs<T> {
    /// The projections in their order, with what each is called in errors.
    pub(super) fn named(&self) -> Vec<(&'static str, &dyn Projection<T>)> {
        match self {
            Self::Separate { qkv, z, b, a } => vec![
                ("outputs of the query, key and value projection", &**qkv),
                ("outputs of the gate projection", &**z),
                ("outputs of the projection to β", &**b),
                ("outputs of the projection to the decay", &**a),
            ],
            Self::Fused { qkvz, ba } => vec![
                ("outputs of the query, key, value and gate projection", &**qkvz),
                ("outputs of the projection to β and the decay", &**ba),
            ],
        }
    }

    pub(super) fn each_mut(&mut self) -> Vec<&mut Box<dyn Projection<T>>> {
        match self {
            Self::Separate { qkv, z, b, a } => vec![qkv, z, b, a],
            Self::Fused { qkvz, ba } => vec![qkvz, ba],
        }
    }
}

/// The sizes of a [`GatedDeltaNet`](super::GatedDeltaNet).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeltaNetOptions {
    /// nk, heads of queries and keys.
    pub key_heads: usize,
    /// nv, heads of values, a multiple of the key heads: value head i has key head ⌊i / (nv/nk)⌋.
    pub value_heads: usize,
    /// dk, numbers of a query or key.
    pub key_width: usize,
    /// dv, numbers of a value.
    pub value_width: usize,
    /// K, taps of the convolution.
    pub kernel: usize,
    /// ε of the norm of the outputs.
    pub epsilon: f64,
}

impl DeltaNetOptions {
    /// nv/nk, value heads of a key head.
    pub(super) fn group(self) -> usize {
        self.value_heads / self.key_heads
    }

    /// Numbers of the keys of all heads.
    pub(super) fn key_row(self) -> usize {
        self.key_heads * self.key_width
    }

    /// Numbers of the values of all heads.
    pub(super) fn value_row(self) -> usize {
        self.value_heads * self.value_width
    }

    /// C, numbers that go through the convolution.
    pub(super) fn channels(self) -> usize {
        2 * self.key_row() + self.value_row()
    }

    /// Numbers of the recurrent states of a sequence.
    pub(super) fn recurrent_numbers(self) -> usize {
        self.value_row() * self.key_width
    }

    /// Numbers of the columns of a sequence.
    pub(super) fn column_numbers(self) -> usize {
        self.channels() * (self.kernel - 1)
    }

    /// Outputs of the input projections.
    pub(super) fn outputs<T>(self, inputs: &DeltaNetInputs<T>) -> Vec<usize> {
        let (values, heads) = (self.value_row(), self.value_heads);
        match inputs {
            DeltaNetInputs::Separate { .. } => vec![self.channels(), values, heads, heads],
            DeltaNetInputs::Fused { .. } => vec![self.channels() + values, 2 * heads],
        }
    }

    /// Checks what no layer can have.
    pub(super) fn check(self, layer: &str) -> Result<()> {
        let setting = |what, expected, found| {
            Err(Error::Setting { layer: layer.to_owned(), what, expected, found })
        };
        let sizes = [
            ("key heads", self.key_heads),
            ("width of a key", self.key_width),
            ("width of a value", self.value_width),
            ("taps of the convolution", self.kernel),
        ];
        if let Some((what, size)) = sizes.into_iter().find(|&(_, size)| size == 0) {
            return setting(what, "at least 1", size.to_string());
        }
        if self.value_heads == 0 || !self.value_heads.is_multiple_of(self.key_heads) {
            let found = format!("{} for {} key heads", self.value_heads, self.key_heads);
            return setting("value heads", "a multiple of the key heads", found);
        }
        let largest =
            [self.value_heads, self.key_width, self.value_width, self.kernel, 8 * size_of::<f64>()];
        if largest.iter().try_fold(1_usize, |product, &size| product.checked_mul(size)).is_none() {
            return setting("sizes", "as many as memory can hold", format!("{self:?}"));
        }
        if !(self.epsilon.is_finite() && self.epsilon >= 0.0) {
            return setting("epsilon", "a finite number, at least 0", self.epsilon.to_string());
        }
        Ok(())
    }
}

/// What a [`GatedDeltaNet`](super::GatedDeltaNet) learns beside its projections.
#[derive(Debug, Clone, PartialEq)]
pub struct DeltaNetWeights<T> {
    /// Taps of the convolution, `[C, 1, K]`, the last for the token itself.
    pub conv: Vec<T>,
    /// ln A, for each value head.
    pub a_log: Vec<T>,
    /// What is added to a, for each value head.
    pub dt_bias: Vec<T>,
    /// The gain of the norm of the outputs, `[dv]`.
    pub gain: Vec<T>,
}

/// What a [`GatedDeltaNet`](super::GatedDeltaNet) carries from one piece of each sequence to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct DeltaNetState<T> {
    /// S, `[sequences, nv, dk, dv]`.
    pub recurrent: Vec<T>,
    /// The last K − 1 rows before the convolution, `[sequences, C, K − 1]`, oldest first.
    pub conv: Vec<T>,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Vector<T> {
    pub(super) name: String,
    pub(super) id: ParameterId,
    pub(super) values: Vec<T>,
}

impl<T: Real> Vector<T> {
    pub(super) fn declare(
        layer: &str,
        (name, shape): (&str, &[usize]),
        values: Vec<T>,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        let name = format!("{layer}.{name}");
        check_size(&name, "numbers", shape.iter().product(), values.len())?;
        let id = parameters.declare(name.clone(), shape)?;
        Ok(Self { name, id, values })
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.values.capacity() * size_of::<T>() + self.name.capacity()
    }
}
