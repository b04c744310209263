//! [`Dropout`]: which inputs adapters drop in a forward, as numbers that a tape carries.

use ternary_core::Real;
use ternary_core::noise::Noise;

use crate::tape::Tape;

/// What decides which inputs are dropped: whether number i of row n is, is a function of these, of who asks, of n and
/// of i. It does not depend on how the rows of an update are split, nor on threads.
///
/// A tape has none unless it is given some ([`Tape::set_dropout`]); without, as in any evaluation, nothing is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dropout {
    /// Seed of the run.
    pub seed: u64,
    /// The update.
    pub step: u32,
    /// The number of the first row of the batch among the rows of the whole update: that of its first example, times
    /// the length of one.
    pub first_row: u64,
}

impl Dropout {
    /// Keys these numbers, apart from all other uses of a seed.
    const PURPOSE: u32 = 0x4472_6f70;

    /// The random numbers of whoever has this seed of its own.
    pub fn noise(self, own: u64) -> Noise {
        let seed = Noise::new(self.seed, Self::PURPOSE, 0).wide_bits(0);
        Noise::new(Noise::new(seed, own as u32, (own >> 32) as u32).wide_bits(0), 0, self.step)
    }
}

/// What a tape knows of the rows at hand.
#[derive(Debug, Default)]
pub(crate) struct DroppedRows {
    dropout: Option<Dropout>,
    /// Which rows of the batch those at hand are; none where they are those of the batch in their order.
    numbers: Option<Vec<u32>>,
}

impl DroppedRows {
    /// The rows at hand are those of the batch again.
    pub(crate) fn reset(&mut self) {
        self.numbers = None;
    }
}

impl<T: Real> Tape<T> {
    /// Has adapters drop inputs in the forwards on this tape, or no longer.
    pub fn set_dropout(&mut self, dropout: Option<Dropout>) {
        *self.dropped_rows_mut() = DroppedRows { dropout, numbers: None };
    }

    /// What decides which inputs are dropped, if any are.
    pub fn dropout(&self) -> Option<Dropout> {
        self.dropped_rows().dropout
    }

    /// The number of a row at hand among the rows of the whole update.
    pub fn row_number(&self, row: usize) -> u64 {
        let DroppedRows { dropout, numbers } = self.dropped_rows();
        let row = numbers.as_ref().map_or(row as u64, |numbers| u64::from(numbers[row]));
        dropout.map_or(0, |dropout| dropout.first_row).wrapping_add(row)
    }

    /// Says which rows of the batch those of the next forwards are, until [`Tape::number_rows_in_order`]: for a layer
    /// that hands on some of its rows.
    pub fn number_rows(&mut self, numbers: impl Iterator<Item = u32>) {
        if self.dropout().is_some() {
            self.dropped_rows_mut().numbers = Some(numbers.collect());
        }
    }

    /// The rows of the next forwards are those of the batch, in their order.
    pub fn number_rows_in_order(&mut self) {
        self.dropped_rows_mut().reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DROPOUT: Dropout = Dropout { seed: 3, step: 5, first_row: 40 };

    #[test]
    fn rows_that_are_handed_on_keep_their_numbers_until_they_are_in_order_again() {
        let mut tape = Tape::<f32>::recording();
        tape.number_rows([7, 2].into_iter());
        assert_eq!((tape.dropout(), tape.row_number(1)), (None, 1));
        tape.set_dropout(Some(DROPOUT));
        tape.number_rows([7, 2].into_iter());
        assert_eq!([0, 1].map(|row| tape.row_number(row)), [47, 42]);
        tape.number_rows_in_order();
        assert_eq!([0, 1].map(|row| tape.row_number(row)), [40, 41]);
        tape.number_rows([7].into_iter());
        tape.clear();
        assert_eq!((tape.dropout(), tape.row_number(0)), (Some(DROPOUT), 40));
    }

    #[test]
    fn seeds_steps_and_askers_have_numbers_of_their_own() {
        let bits = |dropout: Dropout, own| dropout.noise(own).wide_bits(0);
        let first = bits(DROPOUT, 1);
        assert_eq!(bits(Dropout { first_row: 0, ..DROPOUT }, 1), first);
        for (dropout, own) in [
            (DROPOUT, 2),
            (DROPOUT, 1 << 32),
            (Dropout { seed: 4, ..DROPOUT }, 1),
            (Dropout { step: 6, ..DROPOUT }, 1),
        ] {
            assert_ne!(bits(dropout, own), first, "{dropout:?} {own}");
        }
    }
}
