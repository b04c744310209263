//! What a model that trains writes.

use models::Decoder;
use nn::Tape;

use crate::data::{Corpus, Example};
use crate::error::Result;
use crate::generate::Sampling;
use crate::randomness::Purpose;

/// Tokens of a held-out text that are gone on with, at most; a prompt is gone on with as a whole.
const PROMPT: usize = 64;

/// Tokens of a sample, at most.
const TOKENS: usize = 256;

/// The beginning of a held-out window, or the prompt of a sample, and what a model writes after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) prompt: String,
    pub(super) text: String,
}

impl Sample {
    /// The same tokens are drawn whenever the same model is asked; none where no window is long enough for a prompt.
    ///
    /// # Errors
    /// Scores that are not finite, and tokens that are no text.
    pub(super) fn draw(model: &Decoder<f32>, corpus: &Corpus, seed: u64) -> Result<Option<Self>> {
        let Some(example) = corpus.held_out().next().transpose()? else { return Ok(None) };
        let prompt = prompt(&example);
        if prompt.is_empty() {
            return Ok(None);
        }
        let seed = Purpose::Sampling.seed(seed);
        let sampling = Sampling { temperature: 0.8, top_k: 0, top_p: 1.0, seed };
        let room = model.config().positions.saturating_sub(prompt.len());
        let (mut cache, mut tape) = (model.cache(1), Tape::inference());
        let mut tokens = Vec::new();
        let mut scores = model.advance(prompt, &mut cache, &mut tape)?;
        while tokens.len() < TOKENS.min(room) {
            let token = sampling.draw(&scores, tokens.len())?;
            tokens.push(token);
            tape.give(scores);
            scores = model.advance(&[token], &mut cache, &mut tape)?;
        }
        let whole = corpus.decode(&[prompt, &tokens].concat())?;
        let prompt = corpus.decode(prompt)?;
        // Where a character spans both, the prompt keeps its broken half.
        let text = whole.strip_prefix(&*prompt).unwrap_or(&whole).to_owned();
        Ok(Some(Self { prompt, text }))
    }
}

/// What a model goes on with: what stands before the first token that is learnt, or, where that is the first of a text,
/// a quarter of it.
fn prompt(example: &Example) -> &[u32] {
    let before = example.before_learnt();
    if before.len() > 1 {
        return before;
    }
    // Of a text one token more is known than is read.
    let text = example.tokens.len() + 1;
    &example.tokens[..PROMPT.min(text / 4)]
}
