//! [`Example`]: what a model reads at a time, and what it should say.

use nn::Sequences;
use nn::ops::IGNORED;

/// A window of a run: sequences of one length, none of which sees another, and for each token the one that should come
/// next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// How the tokens divide into sequences.
    pub sequences: Sequences,
    /// What the model reads, sequence after sequence.
    pub tokens: Vec<u32>,
    /// For each of them its successor, or [`IGNORED`] where that is not learnt, and where the token only fills a sequence
    /// up.
    pub targets: Vec<u32>,
    /// Tokens that only fill sequences up.
    pub filling: usize,
}

impl Default for Example {
    fn default() -> Self {
        Self {
            sequences: Sequences { count: 0, length: 0 },
            tokens: Vec::new(),
            targets: Vec::new(),
            filling: 0,
        }
    }
}

impl Example {
    /// A text of which each token but the first is predicted from those before it.
    pub(crate) fn of_text(text: &[u32]) -> Self {
        let mut example = Self::default();
        example.set_text(text);
        example
    }

    /// The same in the place of what it was.
    pub(crate) fn set_text(&mut self, text: &[u32]) {
        let Self { sequences, tokens, targets, filling } = self;
        *filling = 0;
        tokens.clear();
        targets.clear();
        tokens.extend(&text[..text.len().saturating_sub(1)]);
        targets.extend(text.iter().skip(1));
        *sequences = Sequences { count: 1, length: tokens.len() };
    }

    /// Leaves the first `count` predictions out.
    pub(crate) fn ignore_first(&mut self, count: usize) {
        self.targets.iter_mut().take(count).for_each(|target| *target = IGNORED);
    }

    /// The tokens that the first prediction is made from.
    pub(crate) fn before_learnt(&self) -> &[u32] {
        let first = self.targets.iter().position(|&target| target != IGNORED);
        &self.tokens[..first.map_or(self.tokens.len(), |first| first + 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_predicted_but_for_its_first_token_and_what_is_left_out() {
        let mut example = Example::of_text(&[5, 6, 7, 8]);
        assert_eq!(example.sequences, Sequences { count: 1, length: 3 });
        assert_eq!((&*example.tokens, &*example.targets), (&[5, 6, 7][..], &[6, 7, 8][..]));
        assert_eq!(example.before_learnt(), [5]);
        example.ignore_first(2);
        assert_eq!(example.targets, [IGNORED, IGNORED, 8]);
        assert_eq!(example.before_learnt(), [5, 6, 7]);
        example.set_text(&[]);
        assert_eq!(example, Example { sequences: example.sequences, ..Example::default() });
    }
}
