//! Asking a run to end early and to leave a checkpoint.

use std::sync::atomic::{AtomicU8, Ordering};

/// Nobody would hear.
const UNHEARD: u8 = 0;
/// A run is between its first step and its last.
const LISTENING: u8 = 1;
/// It was asked, and has not ended yet.
const ASKED: u8 = 2;

/// Asks a run to end after the step it is in: [`train`](super::train) then saves a checkpoint and returns
/// [`Error::Interrupted`](crate::Error::Interrupted). Another thread may hold it, as that of Ctrl-C does.
#[derive(Debug, Default)]
pub struct Interrupt(AtomicU8);

impl Interrupt {
    /// Asks; whether this is heard. It is not where it was asked already, nor where no run takes steps: one that still
    /// reads its text has nothing to save, and one that writes its model has its checkpoints.
    pub fn ask(&self) -> bool {
        let asked = self.0.compare_exchange(LISTENING, ASKED, Ordering::Relaxed, Ordering::Relaxed);
        asked.is_ok()
    }

    /// Hears what is asked until the value it returns is dropped.
    pub(super) fn listen(&self) -> Listening<'_> {
        self.0.store(LISTENING, Ordering::Relaxed);
        Listening(self)
    }
}

/// While it lives, a run hears an [`Interrupt`].
#[derive(Debug)]
pub(super) struct Listening<'a>(&'a Interrupt);

impl Listening<'_> {
    pub(super) fn is_asked(&self) -> bool {
        self.0.0.load(Ordering::Relaxed) == ASKED
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.0.0.store(UNHEARD, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_heard_once_and_only_while_a_run_listens() {
        let interrupt = Interrupt::default();
        assert!(!interrupt.ask());
        let listening = interrupt.listen();
        assert!(!listening.is_asked());
        assert!(interrupt.ask() && listening.is_asked());
        assert!(!interrupt.ask() && listening.is_asked());
        drop(listening);
        assert!(!interrupt.ask());
        assert!(!interrupt.listen().is_asked());
    }
}
