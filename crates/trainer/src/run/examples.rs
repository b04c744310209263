//! What a step learns from.

use models::Batch;
use nn::Sequences;

/// Windows of tokens, each with the token that should come next. Before mining every target counts.
#[derive(Debug, Clone)]
pub(super) struct Examples {
    pub(super) sequences: Sequences,
    pub(super) tokens: Vec<u32>,
    pub(super) targets: Vec<u32>,
}

impl Examples {
    /// None yet.
    pub(super) fn none(sequences: Sequences) -> Self {
        Self { sequences, tokens: Vec::new(), targets: Vec::new() }
    }

    /// At most `windows` of them, from the window `first` on.
    pub(super) fn part(&self, first: usize, windows: usize) -> Batch<'_> {
        let Sequences { count, length } = self.sequences;
        let last = first.saturating_add(windows).min(count);
        let rows = first * length..last * length;
        Batch {
            sequences: Sequences { count: last - first, length },
            tokens: &self.tokens[rows.clone()],
            targets: &self.targets[rows],
        }
    }

    /// All of them, at most `windows` at a time.
    pub(super) fn parts(&self, windows: usize) -> impl Iterator<Item = Batch<'_>> {
        (0..self.sequences.count)
            .step_by(windows.max(1))
            .map(move |first| self.part(first, windows))
    }
}
