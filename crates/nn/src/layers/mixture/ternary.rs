//! [`TernaryExpert`] and [`TernaryMoe`]: mixtures of frozen packed trits.

use std::mem::size_of;

use ternary_core::{Packing, Quantizer, Scales, TernaryMatrix, Weights, mutant};

use super::BitMoe;
use crate::compute::Compute;
use crate::error::{InLayer, Result};
use crate::gradients::Gradients;
use crate::layers::{Context, FeedForward, FeedForwardProjections, Layer, Nonlinearity};
use crate::module::{Memory, Module, Values};
use crate::projection::{Activations, Projection, TernaryLinear};
use crate::tape::Tape;

/// Something for each projection of an expert: its trits, its matrix, its floats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpertWeights<W> {
    /// From the width to the inner width; none for a function without a gate.
    pub gate: Option<W>,
    /// From the width to the inner width.
    pub up: W,
    /// From the inner width to the width.
    pub down: W,
}

impl<W> ExpertWeights<W> {
    /// Calls `map` with each and with the shape that it has in an expert of these widths.
    fn try_map<V>(
        self,
        [width, inner]: [usize; 2],
        map: impl Fn(W, [usize; 2]) -> Result<V>,
    ) -> Result<ExpertWeights<V>> {
        Ok(ExpertWeights {
            gate: self.gate.map(|gate| map(gate, [inner, width])).transpose()?,
            up: map(self.up, [inner, width])?,
            down: map(self.down, [width, inner])?,
        })
    }
}

/// A mixture of frozen ternary experts, as they are kept for inference or between a shared expert that stays real
/// (MoTE, arXiv 2506.14435). Gradients flow to the inputs, the router and the shared expert.
pub type TernaryMoe<T> = BitMoe<T, TernaryExpert<T>>;

/// A [`FeedForward`] of frozen packed trits. Gradients flow through it; it has none of its own.
///
/// ```
/// use nn::{Activations, ExpertWeights, Layer, Nonlinearity, Sequences, Tape, TernaryExpert};
/// use ternary_core::{Packing, Scales};
///
/// let half = || Scales::tensor(0.5);
/// let weights = ExpertWeights {
///     gate: Some((&[1, 0][..], half()?)),
///     up: (&[0, 1][..], half()?),
///     down: (&[1, -1][..], half()?),
/// };
/// let relu = Nonlinearity::ReluSquared;
/// let expert =
///     TernaryExpert::<f32>::from_trits("expert", relu, [2, 1], weights, Packing::TwoBit, Activations::Real)?;
/// let one = Sequences { count: 1, length: 1 }.into();
/// // relu(0.5 · 4)² · (0.5 · 2) = 4, and ±0.5 of it.
/// assert_eq!(expert.forward(vec![4.0, 2.0], one, &mut Tape::inference())?, [2.0, -2.0]);
/// assert_eq!(expert.to_f32().down, [0.5, -0.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TernaryExpert<T> {
    name: String,
    net: FeedForward<T>,
}

impl<T: Compute> TernaryExpert<T> {
    /// Takes matrices, whose projections are called `{name}.gate_proj`, `{name}.up_proj` and `{name}.down_proj`.
    ///
    /// # Errors
    /// As [`FeedForward::new`].
    pub fn new(
        name: &str,
        nonlinearity: Nonlinearity,
        weights: ExpertWeights<TernaryMatrix>,
        activations: Activations,
    ) -> Result<Self> {
        let project = |part: &str, matrix| -> Box<dyn Projection<T>> {
            let projection = TernaryLinear::new(&format!("{name}.{part}"), matrix);
            Box::new(projection.with_activations(activations))
        };
        let ExpertWeights { gate, up, down } = weights;
        let projections = FeedForwardProjections {
            gate: gate.map(|gate| project("gate_proj", gate)),
            up: project("up_proj", up),
            down: project("down_proj", down),
        };
        let net = FeedForward::new(name, nonlinearity, projections, None)?;
        Ok(Self { name: name.to_owned(), net })
    }

    /// Takes the trits and scales of an expert of `[width, inner width]`, without a way through floats.
    ///
    /// # Errors
    /// [`Error::Core`](crate::Error::Core) when sizes do not fit or a number is no trit, and as
    /// [`FeedForward::new`].
    pub fn from_trits(
        name: &str,
        nonlinearity: Nonlinearity,
        widths: [usize; 2],
        weights: ExpertWeights<(&[i8], Scales)>,
        packing: Packing,
        activations: Activations,
    ) -> Result<Self> {
        let weights = weights.try_map(widths, |(trits, scales), [rows, cols]| {
            TernaryMatrix::from_trits(rows, cols, trits, scales, packing).in_layer(name)
        })?;
        Self::new(name, nonlinearity, weights, activations)
    }

    /// Quantises the weights of an expert of `[width, inner width]`; nothing of the floats is kept.
    ///
    /// # Errors
    /// [`Error::Core`](crate::Error::Core) when sizes do not fit or a weight is not finite, and as
    /// [`FeedForward::new`].
    pub fn quantize(
        name: &str,
        nonlinearity: Nonlinearity,
        widths: [usize; 2],
        weights: ExpertWeights<Weights<'_>>,
        quantizer: &dyn Quantizer,
        packing: Packing,
        activations: Activations,
    ) -> Result<Self> {
        let weights = weights.try_map(widths, |weights, [rows, cols]| {
            TernaryMatrix::quantize(rows, cols, weights, quantizer, packing).in_layer(name)
        })?;
        Self::new(name, nonlinearity, weights, activations)
    }

    /// The weights as floats, made when asked for, each row-major.
    pub fn to_f32(&self) -> ExpertWeights<Vec<f32>> {
        let mut floats = Vec::new();
        self.net.visit(&mut |tensor| {
            if let Values::Ternary { matrix, .. } = tensor.values {
                floats.push(matrix.to_f32());
            }
        });
        // In the order of a visit: the gate first, if there is one.
        let (down, up) = (floats.pop().unwrap_or_default(), floats.pop().unwrap_or_default());
        ExpertWeights { gate: floats.pop(), up, down }
    }
}

impl<T: Compute> Module<T> for TernaryExpert<T> {
    fn each_part(&self, visit: &mut dyn FnMut(&dyn Module<T>)) {
        visit(&self.net);
    }

    fn each_part_mut(&mut self, visit: &mut dyn FnMut(&mut dyn Module<T>)) {
        visit(&mut self.net);
    }

    fn memory(&self) -> Memory {
        let (mut memory, mut projections) = (self.net.memory(), 0);
        self.net.each_part(&mut |_| projections += 1);
        // The net has a copy of the name.
        memory.other += self.name.capacity() + self.name.len();
        memory.other += projections * size_of::<TernaryLinear>();
        memory
    }
}

impl<T: Compute> Layer<T> for TernaryExpert<T> {
    fn width(&self) -> usize {
        self.net.width()
    }

    fn each_projection(&self, visit: &mut dyn FnMut(&'static str, &dyn Projection<T>)) {
        self.net.each_projection(visit);
    }

    fn each_projection_mut(&mut self, visit: &mut dyn FnMut(&mut Box<dyn Projection<T>>)) {
        self.net.each_projection_mut(visit);
    }

    fn forward(&self, x: Vec<T>, context: Context<'_>, tape: &mut Tape<T>) -> Result<Vec<T>> {
        self.net.forward(x, context, tape)
    }

    fn backward(
        &self,
        dy: Vec<T>,
        context: Context<'_>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<Vec<T>> {
        let dx = self.net.backward(dy, context, tape, gradients)?;
        let dx = mutant!("TernaryExpert/dx lost", dx, vec![T::ZERO; dx.len()]);
        let dx = mutant!("TernaryExpert/dx doubled", dx, dx.iter().map(|&d| d + d).collect());
        let dx = mutant!("TernaryExpert/sign of dx", dx, dx.iter().map(|&d| -d).collect());
        Ok(dx)
    }
}
