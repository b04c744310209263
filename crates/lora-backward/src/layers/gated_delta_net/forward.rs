//! The forward: projections, and between them block after block.

use std::ops::Range;

use nn::{Compute, Context, Input, Projection, Result, Sequences, Tape};
use rayon::prelude::*;

use super::places::Rows;
use super::unit::Unit;
use super::{DeltaNetState, GatedDeltaNet, clear_padding};
use crate::ops::CHUNK;

impl<T: Compute> GatedDeltaNet<T> {
    /// The forward from given states, which become those after the last tokens.
    ///
    /// # Errors
    /// As [`Layer::forward`](nn::Layer::forward), and for states of another size. They are not to be used
    /// after an error.
    pub fn forward_from(
        &self,
        mut x: Vec<T>,
        context: Context<'_>,
        state: &mut DeltaNetState<T>,
        tape: &mut Tape<T>,
    ) -> Result<Vec<T>> {
        self.check("inputs", &x, context, state)?;
        let (sequences, output) = (context.sequences, &self.projections.output);
        clear_padding(&mut x, output.outputs(), context.mask);
        let mut input = Input::new(&self.name, x, output.outputs())?;
        let mut arrays = Vec::new();
        for (_, projection) in self.projections.input.named() {
            arrays.push(project(projection, &mut input, tape)?);
        }
        tape.save_input(input);

        let first = tape.is_recording().then(|| {
            let mut first = tape.take(state.conv.len());
            first.copy_from_slice(&state.conv);
            first
        });
        let width = self.options.value_row();
        let rows = |tape: &mut Tape<T>| Rows { width, values: tape.take(sequences.rows() * width) };
        // Only a backward asks for what the recurrence gave.
        let mut outputs = tape.is_recording().then(|| rows(tape));
        let mut gated = rows(tape);
        let mut units = self.units(sequences, &state.conv);
        let each = self.options.group() * self.options.key_width * self.options.value_width;
        for tokens in blocks(sequences) {
            tape.save_copy(&state.recurrent);
            let states = state.recurrent.par_chunks_mut(each);
            let run = |(unit, state): (&mut Unit<'_, T>, &mut [T])| {
                unit.forward(&arrays, &tokens, context.recurrence, state)
            };
            let found: Vec<[Vec<T>; 2]> =
                units.par_iter_mut().zip(states).map(run).collect::<Result<_>>()?;
            for (units, found) in self.by_sequence(&units).zip(self.by_sequence(&found)) {
                let pieces = |part: usize| {
                    let columns = units.iter().map(|unit| self.first_value(unit));
                    columns.zip(found.iter().map(|found| &found[part][..])).collect::<Vec<_>>()
                };
                let rows = units[0].rows(&tokens);
                if let Some(outputs) = &mut outputs {
                    outputs.scatter(rows.clone(), &pieces(0));
                }
                gated.scatter(rows, &pieces(1));
            }
        }
        self.collect_columns(units.iter().map(|unit| &unit.columns), &mut state.conv);
        arrays.into_iter().chain(outputs).for_each(|rows| tape.save(rows.values));
        first.into_iter().for_each(|first| tape.save(first));
        let mut input = Input::new(&self.name, gated.values, width)?;
        let y = project(&**output, &mut input, tape)?;
        tape.save_input(input);
        Ok(y.values)
    }

    /// All key heads of all sequences.
    pub(super) fn units(&self, sequences: Sequences, conv: &[T]) -> Vec<Unit<'_, T>> {
        let heads = self.options.key_heads;
        let each = (0..sequences.count).flat_map(|sequence| (0..heads).map(move |h| (sequence, h)));
        each.map(|place| Unit::new(self, sequences, place, conv)).collect()
    }

    /// Of each sequence what its key heads have.
    pub(super) fn by_sequence<'a, U>(&self, units: &'a [U]) -> impl Iterator<Item = &'a [U]> {
        units.chunks(self.options.key_heads)
    }

    /// The first column of a key head among the values of all heads.
    pub(super) fn first_value(&self, unit: &Unit<'_, T>) -> usize {
        unit.places.value_head * self.options.value_width
    }

    /// Writes the columns of all units to their places.
    pub(super) fn collect_columns<'a>(
        &self,
        columns: impl Iterator<Item = &'a [Vec<T>; 3]>,
        conv: &mut [T],
    ) {
        let heads = self.options.key_heads;
        for (unit, columns) in columns.enumerate() {
            let places = self.places(unit % heads);
            for (range, columns) in self.columns_of(places, unit / heads).into_iter().zip(columns) {
                conv[range].copy_from_slice(columns);
            }
        }
    }
}

/// The tokens of each block in their order; of no sequences there are none.
pub(super) fn blocks(sequences: Sequences) -> impl DoubleEndedIterator<Item = Range<usize>> {
    let length = if sequences.count == 0 { 0 } else { sequences.length };
    (0..length.div_ceil(CHUNK)).map(move |block| block * CHUNK..length.min((block + 1) * CHUNK))
}

fn project<T: Compute>(
    projection: &dyn Projection<T>,
    input: &mut Input<T>,
    tape: &mut Tape<T>,
) -> Result<Rows<T>> {
    let width = projection.outputs();
    let mut values = tape.take(input.rows() * width);
    projection.forward(input, &mut values, tape)?;
    Ok(Rows { width, values })
}
