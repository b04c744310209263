//! What a step learns from.

use models::Batch;
use nn::Sequences;

use crate::data::Example;

/// Windows of tokens, each with the token that should come next. Before mining every target counts that is not left out
/// by the data.
#[derive(Debug, Clone, Default)]
pub(super) struct Examples {
    /// How each window divides into sequences.
    pub(super) windows: Vec<Sequences>,
    pub(super) tokens: Vec<u32>,
    pub(super) targets: Vec<u32>,
    /// Rows that only fill sequences up.
    pub(super) filling: usize,
}

/// A part of a step that runs at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    /// Rows of the step before it.
    pub(super) first_row: usize,
    pub(super) batch: Batch<'a>,
}

impl Examples {
    /// Takes all windows out.
    pub(super) fn clear(&mut self) {
        self.windows.clear();
        self.tokens.clear();
        self.targets.clear();
        self.filling = 0;
    }

    /// Adds a window.
    pub(super) fn add(&mut self, example: &Example) {
        self.windows.push(example.sequences);
        self.tokens.extend(&example.tokens);
        self.targets.extend(&example.targets);
        self.filling += example.filling;
    }

    /// Tokens of all windows, without what fills up sequences.
    pub(super) fn tokens(&self) -> usize {
        self.rows() - self.filling
    }

    /// Rows of all windows.
    pub(super) fn rows(&self) -> usize {
        self.tokens.len()
    }

    /// At most `windows` of them, from the window `first` on, in as few batches as their sequences allow: those of
    /// windows next to each other are one where they are of the same length.
    pub(super) fn batches(&self, first: usize, windows: usize) -> impl Iterator<Item = Part<'_>> {
        let last = first.saturating_add(windows).min(self.windows.len());
        let first = first.min(last);
        let rows_of = |windows: &[Sequences]| windows.iter().map(|window| window.rows()).sum();
        let mut start: usize = rows_of(&self.windows[..first]);
        self.windows[first..last].chunk_by(|a, b| a.length == b.length).map(move |alike| {
            let (rows, first_row) = (start..start + rows_of(alike), start);
            start = rows.end;
            let sequences = Sequences {
                count: alike.iter().map(|window| window.count).sum(),
                length: alike.first().map_or(0, |window| window.length),
            };
            let (tokens, targets) = (&self.tokens[rows.clone()], &self.targets[rows]);
            Part { first_row, batch: Batch { sequences, tokens, targets } }
        })
    }

    /// All of them, at most `windows` at a time.
    pub(super) fn parts(&self, windows: usize) -> impl Iterator<Item = Batch<'_>> {
        let firsts = (0..self.windows.len()).step_by(windows.max(1));
        firsts.flat_map(move |first| self.batches(first, windows)).map(|part| part.batch)
    }

    /// All of them where they are of one length, as those of a text.
    #[cfg(test)]
    pub(super) fn whole(&self) -> Batch<'_> {
        let mut batches = self.batches(0, usize::MAX);
        let whole = batches.next().unwrap().batch;
        assert!(batches.next().is_none());
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(count: usize, length: usize) -> Sequences {
        Sequences { count, length }
    }

    #[test]
    fn windows_next_to_each_other_are_one_batch_where_their_sequences_are_of_one_length() {
        let windows = vec![window(1, 4), window(2, 4), window(3, 2), window(1, 4), window(1, 1)];
        let tokens: Vec<u32> = (0..23).collect();
        let targets = tokens.iter().map(|token| token + 1).collect();
        let examples = Examples { windows, tokens, targets, filling: 0 };
        let found = |first: usize, windows: usize| -> Vec<(usize, Sequences, u32)> {
            let batches = examples.batches(first, windows);
            batches
                .map(|Part { first_row, batch }| {
                    assert_eq!(batch.tokens.len(), batch.sequences.rows());
                    assert_eq!(batch.targets[0], batch.tokens[0] + 1);
                    (first_row, batch.sequences, batch.tokens[0])
                })
                .collect()
        };
        let all = [
            (0, window(3, 4), 0),
            (12, window(3, 2), 12),
            (18, window(1, 4), 18),
            (22, window(1, 1), 22),
        ];
        assert_eq!(found(0, usize::MAX), all);
        assert_eq!(found(1, 2), [(4, window(2, 4), 4), (12, window(3, 2), 12)]);
        assert_eq!(found(5, 2), []);
        let parts: Vec<Sequences> = examples.parts(2).map(|batch| batch.sequences).collect();
        assert_eq!(parts, [window(3, 4), window(3, 2), window(1, 4), window(1, 1)]);
    }
}
