//! Attention that goes on where it stopped: the keys and values of earlier rows are kept.

use super::projected::Projected;
use super::{Attention, check_rows};
use crate::compute::Compute;
use crate::error::{Error, Result, check_size};
use crate::layers::{Context, Sequences, State};
use crate::ops::attention;
use crate::tape::Tape;

impl<T: Compute> Attention<T> {
    /// The forward of rows that follow those in `state`, whose parts are the keys and the values of each sequence.
    pub(super) fn resume_from(
        &self,
        x: Vec<T>,
        context: Context<'_>,
        state: &mut State<T>,
        tape: &mut Tape<T>,
    ) -> Result<Vec<T>> {
        let (sequences, name) = (context.sequences, self.name.as_str());
        if tape.is_recording() {
            let (layer, found) = (name.to_owned(), "one that records");
            return Err(Error::Tape { layer, expected: "a tape for inference", found });
        }
        self.check(&x, context, state.position)?;
        if let Some(at) = context.mask.and_then(|mask| mask.iter().position(|&real| !real)) {
            // Rows to come would see it.
            let (layer, what, expected) = (name.to_owned(), "mask", "no padding in what is kept");
            return Err(Error::Setting {
                layer,
                what,
                expected,
                found: format!("padding in row {at}"),
            });
        }
        check_size(name, "keys and values of the state", 2 * sequences.count, state.parts.len())?;
        let key_row = self.options.key_heads * self.options.head_width;
        for part in &state.parts {
            check_size(name, "numbers in the state", state.position * key_row, part.len())?;
        }
        let Projected { queries, keys, values, gates } =
            self.project(x, sequences, state.position, tape)?;
        state.position += sequences.length;
        let mut mixed = tape.take(queries.len());
        let query_row = self.options.query_heads * self.options.head_width;
        let mut log_sums = tape.take(sequences.length * self.options.query_heads);
        let one = Sequences { count: 1, length: sequences.length };
        let shape = self.shape(one, state.position);
        for (sequence, past) in state.parts.chunks_exact_mut(2).enumerate() {
            let own = |row: usize| sequence * one.length * row..(sequence + 1) * one.length * row;
            past[0].extend_from_slice(&keys[own(key_row)]);
            past[1].extend_from_slice(&values[own(key_row)]);
            let inputs = [&queries[own(query_row)], &past[0], &past[1]];
            attention(shape, self.scale(), inputs, &mut mixed[own(query_row)], &mut log_sums)?;
        }
        for buffer in [queries, keys, values, log_sums] {
            tape.give(buffer);
        }
        self.output(mixed, gates, tape)
    }

    /// Checks the rows, the mask, and that there are angles for every position from `start` on.
    pub(super) fn check(&self, x: &[T], context: Context<'_>, start: usize) -> Result<()> {
        let sequences = context.sequences;
        check_rows(&self.name, "inputs", self.projections.query.inputs(), context, x)?;
        for (sequence, mask) in
            context.mask.iter().flat_map(|mask| mask.chunks(sequences.length.max(1)).enumerate())
        {
            if let Some(at) = mask.windows(2).position(|pair| !pair[0] && pair[1]) {
                let found = format!("padding before token {} of sequence {sequence}", at + 1);
                let (layer, what) = (self.name.clone(), "mask");
                let expected = "padding after the tokens alone";
                return Err(Error::Setting { layer, what, expected, found });
            }
        }
        let Some(table) = &self.options.rotary else { return Ok(()) };
        let end = start.saturating_add(sequences.length);
        if end <= table.positions() {
            return Ok(());
        }
        let (layer, what) = (self.name.clone(), "positions of the rotary table");
        Err(Error::Shape { layer, what, expected: end, found: table.positions() })
    }
}
