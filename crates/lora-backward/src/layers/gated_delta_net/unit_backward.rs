//! The backward of a key head with its value heads, block by block from the last.

use std::ops::Range;

use nn::ops::Gain;
use nn::ternary_core::mutant;
use nn::{Compute, Gradients, Result};

use super::GatedDeltaNet;
use super::places::{Places, Rows};
use super::unit::{Block, Unit};
use crate::ops::{
    ConvInputs, DecayParameterGradients, DeltaGradients, decay_gates_backward, delta_rule_backward,
    short_conv_backward,
};

/// A unit on its way back.
#[derive(Debug)]
pub(super) struct UnitBackward<'a, T> {
    pub(super) unit: Unit<'a, T>,
    /// The gradients of the last columns of what is left to do.
    pub(super) d_columns: [Vec<T>; 3],
    pub(super) learned: Learned<T>,
}

/// The gradients of what a layer learns beside its projections: nothing where it is frozen.
#[derive(Debug)]
pub(super) struct Learned<T> {
    /// Of the taps of q, k and v.
    pub(super) taps: Option<[Vec<T>; 3]>,
    /// Of ln A, and of what is added to a.
    pub(super) gates: Option<[Vec<T>; 2]>,
    pub(super) gain: Option<Vec<T>>,
}

/// The gradients of the rows of a block.
#[derive(Debug)]
pub(super) struct BlockGradients<T> {
    /// Of q, k and v before the convolution.
    pub(super) mixed: [Vec<T>; 3],
    pub(super) z: Vec<T>,
    pub(super) b: Vec<T>,
    pub(super) a: Vec<T>,
}

impl<T: Compute> GatedDeltaNet<T> {
    /// Adds what a unit found.
    pub(super) fn add_learned(
        &self,
        places: Places,
        learned: Learned<T>,
        gradients: &mut Gradients<T>,
    ) {
        let Learned { taps, gates, gain } = learned;
        let kernel = self.options.kernel;
        for (own, first) in taps.into_iter().flatten().zip(places.channels) {
            add(gradients.get_mut(self.conv.id), first * kernel, &own);
        }
        let ids = [self.a_log.id, self.dt_bias.id];
        let first = mutant!(
            "GatedDeltaNet/heads tiled instead of repeated",
            places.value_head,
            places.value_head / self.options.group()
        );
        for (own, id) in gates.into_iter().flatten().zip(ids) {
            add(gradients.get_mut(id), first, &own);
        }
        gain.into_iter().for_each(|own| add(gradients.get_mut(self.gain.id), 0, &own));
    }
}

/// Adds to the numbers from `first` on, if they are wanted.
fn add<T: Compute>(to: Option<&mut [T]>, first: usize, own: &[T]) {
    let to = to.map_or(&mut [][..], |to| &mut to[first..]);
    to.iter_mut().zip(own).for_each(|(to, &own)| *to += own);
}

/// What a block's backward reads beside its unit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Saved<'a, T> {
    /// What the input projections gave; behind the block, their gradients.
    pub(super) arrays: &'a [Rows<T>],
    /// The outputs of the recurrence.
    pub(super) outputs: &'a Rows<T>,
    /// The gradients of what went into the output projection.
    pub(super) d_gated: &'a Rows<T>,
}

impl<'a, T: Compute> UnitBackward<'a, T> {
    pub(super) fn new(unit: Unit<'a, T>, d_columns: [Vec<T>; 3]) -> Self {
        let layer = unit.layer;
        let zeros = |count: usize| vec![T::ZERO; count];
        let is_learned = [layer.a_log.id, layer.dt_bias.id].iter().any(|id| !id.is_frozen());
        let heads = layer.options.group();
        let learned = Learned {
            taps: (!layer.conv.id.is_frozen())
                .then(|| [0, 1, 2].map(|which| zeros(unit.taps(which).len()))),
            gates: is_learned.then(|| [zeros(heads), zeros(heads)]),
            gain: (!layer.gain.id.is_frozen()).then(|| zeros(layer.gain.values.len())),
        };
        Self { unit, d_columns, learned }
    }

    /// The gradients of a block, from the recurrent state at its start. `d_state` goes from the gradient of the
    /// state at its end to that of the one at its start.
    pub(super) fn backward(
        &mut self,
        saved: Saved<'_, T>,
        tokens: &Range<usize>,
        start: &[T],
        d_state: &mut [T],
    ) -> Result<BlockGradients<T>> {
        let before = self.columns_before(saved.arrays, tokens);
        let mut columns = before.clone();
        let block = self.unit.enter(saved.arrays, tokens, &mut columns)?;
        let [d_output, z] = self.gate_backward(saved, tokens);

        let [mut d_query, mut d_key] = block.unit.each_ref().map(|x| vec![T::ZERO; x.len()]);
        let mut d_value = vec![T::ZERO; block.activated[2].len()];
        let [mut d_decay, mut d_write] = [(); 2].map(|()| vec![T::ZERO; block.a.len()]);
        let gradients = DeltaGradients {
            query: &mut d_query,
            key: &mut d_key,
            value: &mut d_value,
            decay: &mut d_decay,
            write: &mut d_write,
        };
        delta_rule_backward(block.shape, block.rows(), start, &d_output, d_state, gradients)?;
        let d_activated = [
            self.length_backward(&block, 0, d_query),
            self.length_backward(&block, 1, d_key),
            d_value,
        ];
        let mut mixed = block.mixed.each_ref().map(|mixed| vec![T::ZERO; mixed.len()]);
        for which in 0..3 {
            let convolved = &block.convolved[which];
            let mut d_convolved = vec![T::ZERO; convolved.len()];
            T::silu_numbers_backward(convolved, &d_activated[which], &mut d_convolved);
            short_conv_backward(
                self.unit.conv_shape(which, tokens.len()),
                ConvInputs {
                    taps: self.unit.taps(which),
                    x: &block.mixed[which],
                    columns: &before[which],
                },
                &d_convolved,
                &mut self.d_columns[which],
                &mut mixed[which],
                self.learned.taps.as_mut().map(|taps| &mut taps[which][..]),
            )?;
        }
        let [mut a, mut b] = [(); 2].map(|()| vec![T::ZERO; block.a.len()]);
        decay_gates_backward(
            self.unit.gate_parameters(),
            [&block.a, &block.b],
            [&d_decay, &d_write],
            [&mut a, &mut b],
            self.learned
                .gates
                .as_mut()
                .map(|[a_log, dt_bias]| DecayParameterGradients { a_log, dt_bias }),
        )?;
        Ok(BlockGradients { mixed, z, b, a })
    }

    /// The gradients of the outputs of the recurrence, and of z.
    fn gate_backward(&mut self, saved: Saved<'_, T>, tokens: &Range<usize>) -> [Vec<T>; 2] {
        let (layer, places) = (self.unit.layer, self.unit.places);
        let (rows, width) = (self.unit.rows(tokens), layer.options.value_width);
        let (first, count) = (places.value_head * width, places.z.count);
        let [output, d_gated] =
            [saved.outputs, saved.d_gated].map(|of| of.gather(rows.clone(), first, count));
        let z = self.unit.gather(saved.arrays, tokens, places.z);
        let (normed, inverse) = layer.normed(&output);
        let [mut dz, mut d_normed, mut d_output] = [(); 3].map(|()| vec![T::ZERO; z.len()]);
        T::swiglu_numbers_backward(&z, &normed, &d_gated, &mut dz, &mut d_normed);
        let gain = Gain::Plain(&layer.gain.values);
        T::rms_norm_input_gradient(&output, gain, &inverse, &d_normed, &mut d_output);
        if let Some(d_gain) = &mut self.learned.gain {
            T::rms_norm_gain_gradient(&output, &inverse, &d_normed, width, 0, d_gain);
        }
        [d_output, dz]
    }

    /// The gradient of queries or keys before they were brought to length 1.
    fn length_backward(&self, block: &Block<T>, which: usize, d_unit: Vec<T>) -> Vec<T> {
        let (gain, _) = self.unit.layer.length();
        let (x, inverse) = (&block.activated[which], &block.inverse[which]);
        let mut dx = vec![T::ZERO; x.len()];
        T::rms_norm_input_gradient(x, Gain::Plain(&gain), inverse, &d_unit, &mut dx);
        mutant!("GatedDeltaNet/l2 Jacobian missing", dx, d_unit)
    }

    /// The rows of q, k and v before a block, as columns.
    fn columns_before(&self, arrays: &[Rows<T>], tokens: &Range<usize>) -> [Vec<T>; 3] {
        let (unit, before) = (&self.unit, self.unit.layer.options.kernel - 1);
        std::array::from_fn(|which| {
            let (place, first) = (unit.places.mixed[which], &unit.columns[which]);
            let mut columns = vec![T::ZERO; place.count * before];
            for i in 0..before {
                let places = columns.iter_mut().skip(i).step_by(before);
                if let Some(token) = (tokens.start + i).checked_sub(before) {
                    let row = unit.gather(arrays, &(token..token + 1), place);
                    places.zip(row).for_each(|(place, x)| *place = x);
                } else {
                    let earlier = first.iter().skip(tokens.start + i).step_by(before);
                    places.zip(earlier).for_each(|(place, &x)| *place = x);
                }
            }
            columns
        })
    }
}
