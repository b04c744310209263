//! A key head of one sequence with its value heads, block by block: all between the projections.

use std::ops::Range;

use nn::ops::Gain;
use nn::ternary_core::Real;
use nn::{Compute, Recurrence, Result, Sequences};

use super::GatedDeltaNet;
use super::places::{Columns, Places, Rows};
use crate::ops::{
    ConvShape, DecayParameters, DeltaRows, DeltaShape, decay_gates, delta_rule, delta_rule_tokens,
    short_conv,
};

/// ε under the root of the length of queries and keys.
const LENGTH_EPSILON: f64 = 1e-6;

/// What a key head carries from block to block beside its recurrent state.
#[derive(Debug)]
pub(super) struct Unit<'a, T> {
    pub(super) layer: &'a GatedDeltaNet<T>,
    pub(super) places: Places,
    /// The first row of the sequence.
    pub(super) start: usize,
    /// The last rows of q, k and v before the convolution, `[channels, K − 1]`; in a backward those before
    /// the first token.
    pub(super) columns: [Vec<T>; 3],
}

/// What enters the recurrence in a block, and what it is made of.
#[derive(Debug)]
pub(super) struct Block<T> {
    pub(super) shape: DeltaShape,
    /// q, k and v before the convolution, after it, and through SiLU.
    pub(super) mixed: [Vec<T>; 3],
    pub(super) convolved: [Vec<T>; 3],
    pub(super) activated: [Vec<T>; 3],
    /// q̂ and k̂, and √dk over the lengths that they are divided by.
    pub(super) unit: [Vec<T>; 2],
    pub(super) inverse: [Vec<T>; 2],
    pub(super) a: Vec<T>,
    pub(super) b: Vec<T>,
    pub(super) decay: Vec<T>,
    pub(super) write: Vec<T>,
}

impl<T: Real> Block<T> {
    pub(super) fn rows(&self) -> DeltaRows<'_, T> {
        DeltaRows {
            query: &self.unit[0],
            key: &self.unit[1],
            value: &self.activated[2],
            decay: &self.decay,
            write: &self.write,
        }
    }
}

impl<'a, T: Compute> Unit<'a, T> {
    /// The unit of a key head, with its part of the columns of all sequences.
    pub(super) fn new(
        layer: &'a GatedDeltaNet<T>,
        sequences: Sequences,
        (sequence, head): (usize, usize),
        conv: &[T],
    ) -> Self {
        let places = layer.places(head);
        let columns = layer.columns_of(places, sequence).map(|columns| conv[columns].to_vec());
        Self { layer, places, start: sequence * sequences.length, columns }
    }

    pub(super) fn conv_shape(&self, which: usize, tokens: usize) -> ConvShape {
        let sequences = Sequences { count: 1, length: tokens };
        let channels = self.places.mixed[which].count;
        ConvShape { sequences, channels, taps: self.layer.options.kernel }
    }

    /// The taps of q, k or v.
    pub(super) fn taps(&self, which: usize) -> &'a [T] {
        let (layer, kernel) = (self.layer, self.layer.options.kernel);
        let first = self.places.channels[which] * kernel;
        &layer.conv.values[first..][..self.places.mixed[which].count * kernel]
    }

    pub(super) fn gate_parameters(&self) -> DecayParameters<'a, T> {
        let (layer, first) = (self.layer, self.places.value_head);
        let own = first..first + layer.options.group();
        DecayParameters {
            a_log: &layer.a_log.values[own.clone()],
            dt_bias: &layer.dt_bias.values[own],
        }
    }

    /// Rows of the batch, of tokens of the sequence.
    pub(super) fn rows(&self, tokens: &Range<usize>) -> Range<usize> {
        self.start + tokens.start..self.start + tokens.end
    }

    /// The numbers in some columns.
    pub(super) fn gather(
        &self,
        arrays: &[Rows<T>],
        tokens: &Range<usize>,
        Columns { array, first, count }: Columns,
    ) -> Vec<T> {
        arrays[array].gather(self.rows(tokens), first, count)
    }

    /// What enters the recurrence. `columns` go from those before the block to its last ones.
    pub(super) fn enter(
        &self,
        arrays: &[Rows<T>],
        tokens: &Range<usize>,
        columns: &mut [Vec<T>; 3],
    ) -> Result<Block<T>> {
        let (options, places, count) = (self.layer.options, self.places, tokens.len());
        let mixed = places.mixed.map(|columns| self.gather(arrays, tokens, columns));
        let mut convolved = mixed.each_ref().map(|mixed| vec![T::ZERO; mixed.len()]);
        for which in 0..3 {
            let (shape, taps) = (self.conv_shape(which, count), self.taps(which));
            let (columns, y) = (&mut columns[which], &mut convolved[which]);
            short_conv(shape, taps, &mixed[which], columns, y)?;
        }
        let activated = convolved.each_ref().map(|convolved| {
            let mut activated = vec![T::ZERO; convolved.len()];
            T::silu_numbers(convolved, &mut activated);
            activated
        });
        let (mut unit, mut inverse) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        for which in 0..2 {
            let x = &activated[which];
            (unit[which], inverse[which]) = (vec![T::ZERO; x.len()], vec![T::ZERO; count]);
            let (gain, epsilon) = self.layer.length();
            let gain = Gain::Plain(&gain);
            T::rms_norm_rows(x, gain, epsilon, &mut unit[which], &mut inverse[which]);
        }
        let [a, b] = [places.a, places.b].map(|columns| self.gather(arrays, tokens, columns));
        let (mut decay, mut write) = (vec![T::ZERO; a.len()], vec![T::ZERO; a.len()]);
        decay_gates(self.gate_parameters(), [&a, &b], [&mut decay, &mut write])?;
        let shape = DeltaShape {
            sequences: Sequences { count: 1, length: count },
            key_heads: 1,
            value_heads: options.group(),
            key_width: options.key_width,
            value_width: options.value_width,
        };
        Ok(Block { shape, mixed, convolved, activated, unit, inverse, a, b, decay, write })
    }

    /// The outputs of the recurrence in a block, and those that are normed and gated.
    pub(super) fn forward(
        &mut self,
        arrays: &[Rows<T>],
        tokens: &Range<usize>,
        recurrence: Recurrence,
        state: &mut [T],
    ) -> Result<[Vec<T>; 2]> {
        let mut columns = std::mem::take(&mut self.columns);
        let block = self.enter(arrays, tokens, &mut columns)?;
        self.columns = columns;
        let mut output = vec![T::ZERO; block.activated[2].len()];
        match recurrence {
            Recurrence::Chunks => {
                delta_rule(block.shape, block.rows(), state, None, &mut output)?;
            }
            Recurrence::Tokens => {
                delta_rule_tokens(block.shape, block.rows(), state, &mut output)?;
            }
        }
        let z = self.gather(arrays, tokens, self.places.z);
        let (normed, _) = self.layer.normed(&output);
        let mut gated = vec![T::ZERO; output.len()];
        T::swiglu_numbers(&z, &normed, &mut gated);
        Ok([output, gated])
    }
}

impl<T: Compute> GatedDeltaNet<T> {
    /// Where a key head has its numbers.
    pub(super) fn places(&self, head: usize) -> Places {
        Places::new(self.options, &self.projections.input, head)
    }

    /// Where the columns of q, k and v of a key head lie among those of all sequences.
    pub(super) fn columns_of(&self, places: Places, sequence: usize) -> [Range<usize>; 3] {
        let (before, start) = (self.options.kernel - 1, sequence * self.options.channels());
        std::array::from_fn(|which| {
            let first = start + places.channels[which];
            first * before..(first + places.mixed[which].count) * before
        })
    }

    /// x / √(Σx² + ε) is the norm of x / √(mean(x²) + ε/dk) times 1/√dk: that gain, and ε/dk.
    pub(super) fn length(&self) -> (Vec<T>, T) {
        let width = self.options.key_width;
        let gain = T::ONE / T::from_usize(width).sqrt();
        (vec![gain; width], T::from_f64(LENGTH_EPSILON) / T::from_usize(width))
    }

    /// The norm of the outputs of the recurrence, and 1/rms of each.
    pub(super) fn normed(&self, output: &[T]) -> (Vec<T>, Vec<T>) {
        let mut normed = vec![T::ZERO; output.len()];
        let mut inverse = vec![T::ZERO; output.len() / self.options.value_width];
        let (gain, epsilon) = (Gain::Plain(&self.gain.values), T::from_f64(self.options.epsilon));
        T::rms_norm_rows(output, gain, epsilon, &mut normed, &mut inverse);
        (normed, inverse)
    }
}
