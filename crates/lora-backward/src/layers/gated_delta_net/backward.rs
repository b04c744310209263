//! The backward: projections, and between them block after block from the last.

use nn::ternary_core::mutant;
use nn::{Compute, Context, Gradients, Result, Tape};
use rayon::prelude::*;

use super::forward::blocks;
use super::places::Rows;
use super::unit_backward::{BlockGradients, Saved, UnitBackward};
use super::{DeltaNetState, GatedDeltaNet, clear_padding};

impl<T: Compute> GatedDeltaNet<T> {
    /// The backward of [`GatedDeltaNet::forward_from`]: `d_state` goes from the gradients of the last states to
    /// those of the first.
    ///
    /// # Errors
    /// As [`Layer::backward`](nn::Layer::backward), and for states of another size.
    pub fn backward_from(
        &self,
        dy: Vec<T>,
        context: Context<'_>,
        d_state: &mut DeltaNetState<T>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<Vec<T>> {
        self.check("gradients of outputs", &dy, context, d_state)?;
        let (sequences, output) = (context.sequences, &self.projections.output);
        let input = tape.restore_input(&self.name)?;
        let width = self.options.value_row();
        let mut d_gated = Rows { width, values: tape.zeros(sequences.rows() * width) };
        output.backward(&input, &dy, Some(&mut d_gated.values), tape, gradients)?;
        tape.recycle(input);
        tape.give(dy);

        let conv = tape.restore(&self.name)?;
        let outputs = Rows { width, values: tape.restore(&self.name)? };
        let projections = self.projections.input.named();
        let mut arrays = Vec::new();
        for (_, projection) in projections.iter().rev() {
            let values = tape.restore(&self.name)?;
            arrays.insert(0, Rows { width: projection.outputs(), values });
        }
        let each = self.options.group() * self.options.key_width * self.options.value_width;
        let mut units: Vec<UnitBackward<'_, T>> = Vec::new();
        let d_columns = self.units(sequences, &d_state.conv).into_iter().map(|unit| unit.columns);
        for (unit, d_columns) in self.units(sequences, &conv).into_iter().zip(d_columns) {
            units.push(UnitBackward::new(unit, d_columns));
        }
        tape.give(conv);
        for tokens in blocks(sequences).rev() {
            let starts = tape.restore(&self.name)?;
            let states = starts.par_chunks(each).zip(d_state.recurrent.par_chunks_mut(each));
            let saved = Saved { arrays: &arrays, outputs: &outputs, d_gated: &d_gated };
            let run = |(unit, (start, d_state)): (&mut UnitBackward<'_, T>, (&[T], &mut [T]))| {
                unit.backward(saved, &tokens, start, d_state)
            };
            let found: Vec<BlockGradients<T>> =
                units.par_iter_mut().zip(states).map(run).collect::<Result<_>>()?;
            for (units, found) in self.by_sequence(&units).zip(self.by_sequence(&found)) {
                for (index, rows) in arrays.iter_mut().enumerate() {
                    rows.scatter(units[0].unit.rows(&tokens), &pieces(index, units, found));
                }
            }
            tape.give(starts);
            mutant!("GatedDeltaNet/a block's states cut off", { d_state.recurrent.fill(T::ZERO) });
            mutant!("GatedDeltaNet/a block's columns cut off", {
                units.iter_mut().flat_map(|unit| &mut unit.d_columns).for_each(|d| d.fill(T::ZERO))
            });
        }
        let columns = units.iter().map(|unit| &unit.d_columns);
        self.collect_columns(columns, &mut d_state.conv);
        mutant!("GatedDeltaNet/gradient of the first state lost", {
            d_state.recurrent.fill(T::ZERO)
        });
        mutant!("GatedDeltaNet/gradient of the first columns lost", { d_state.conv.fill(T::ZERO) });
        for (unit, UnitBackward { learned, .. }) in units.into_iter().enumerate() {
            self.add_learned(self.places(unit % self.options.key_heads), learned, gradients);
        }
        [outputs, d_gated].into_iter().for_each(|rows| tape.give(rows.values));

        let input = tape.restore_input(&self.name)?;
        let mut dx = tape.zeros(sequences.rows() * output.outputs());
        for ((_, projection), d) in projections.iter().zip(&arrays).rev() {
            projection.backward(&input, &d.values, Some(&mut dx), tape, gradients)?;
        }
        tape.recycle(input);
        arrays.into_iter().for_each(|rows| tape.give(rows.values));
        let mask = mutant!("GatedDeltaNet/mask forgotten", context.mask, None);
        clear_padding(&mut dx, output.outputs(), mask);
        Ok(dx)
    }
}

/// What goes into array `index`, from its first columns on.
fn pieces<'a, T>(
    index: usize,
    units: &[UnitBackward<'_, T>],
    found: &'a [BlockGradients<T>],
) -> Vec<(usize, &'a [T])> {
    let mut pieces = Vec::new();
    for (UnitBackward { unit, .. }, BlockGradients { mixed: [q, k, v], z, b, a }) in
        units.iter().zip(found)
    {
        let places = unit.places;
        let [of_q, of_k, of_v] = places.mixed;
        let b = mutant!(
            "GatedDeltaNet/gate width taken from key heads",
            &b[..],
            &b[..b.len() / places.b.count]
        );
        let of_gates = [(places.z, &z[..]), (places.b, b), (places.a, &a[..])];
        let own = [(of_q, &q[..]), (of_k, k), (of_v, v)].into_iter().chain(of_gates);
        let own = own.filter(|(columns, _)| columns.array == index);
        pieces.extend(own.map(|(columns, values)| (columns.first, values)));
    }
    pieces
}
