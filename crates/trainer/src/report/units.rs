//! The unit in which the losses of several runs stand beside each other.

use super::history::History;
use crate::run::Unit;

/// How losses of several runs are shown: those for a byte and those for a token are different numbers, and so are those
/// for tokens of two tokenizers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Units {
    /// As they are: all for the same unit.
    Same(Unit),
    /// In bits for each byte, which all runs know.
    BitsPerByte,
    /// As they are, though they cannot be compared.
    Unlike,
}

impl Units {
    pub(super) fn of<'a>(runs: impl IntoIterator<Item = &'a History>) -> Self {
        let mut measures = runs.into_iter().map(History::measure);
        let Some(first) = measures.next() else { return Self::Same(Unit::Byte) };
        let (mut are_same, mut are_known) = (true, first.bits_per_byte(1.0).is_some());
        for measure in measures {
            are_same &= measure == first;
            are_known &= measure.bits_per_byte(1.0).is_some();
        }
        match (are_same, are_known) {
            (true, _) => Self::Same(first.unit),
            (false, true) => Self::BitsPerByte,
            (false, false) => Self::Unlike,
        }
    }

    /// A loss of a run, in nats, as it is shown.
    pub(super) fn show(self, run: &History, nats: f64) -> f64 {
        match self {
            Self::BitsPerByte => run.measure().bits_per_byte(nats).unwrap_or(f64::NAN),
            Self::Same(_) | Self::Unlike => nats,
        }
    }

    /// What the axis of losses tells, which begins a sentence, and a sentence after it where that is not all.
    pub(super) fn in_words(self) -> (String, &'static str) {
        match self {
            Self::Same(unit) => (format!("Nats per {}", unit.name()), ""),
            Self::BitsPerByte => ("Bits per byte".to_owned(), ""),
            Self::Unlike => (
                "Nats per byte or token of each run".to_owned(),
                " The runs have different units: their losses are not comparable.",
            ),
        }
    }
}

/// The floor that all runs share, in nats.
pub(super) fn shared_floor<'a>(runs: impl IntoIterator<Item = &'a History>) -> Option<f64> {
    let mut floors = runs.into_iter().map(History::floor);
    let first = floors.next()??;
    floors.all(|floor| floor == Some(first)).then_some(first)
}
