//! Texts that a model goes on with.

mod sampling;
mod speaker;

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::vocabulary::{Pieces, check_ids};

pub use crate::vocabulary::IdsError;
pub use sampling::Sampling;
pub(crate) use speaker::Speaker;

/// What a model is to go on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// A text.
    Text(String),
    /// The numbers of its tokens.
    Ids(Vec<u32>),
}

/// Tokens at most where nothing else is asked for.
pub const TOKENS: usize = 200;

/// What `ternary generate` is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationRequest {
    /// The folder of the model.
    pub model: PathBuf,
    /// The folder of the adapters beside it, if there are any.
    pub adapter: Option<PathBuf>,
    /// What it goes on with.
    pub prompt: Prompt,
    /// Tokens at most; otherwise [`TOKENS`], or fewer where the model has no more positions.
    pub tokens: Option<usize>,
    /// How they are drawn.
    pub sampling: Sampling,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// The tokens of the prompt.
    pub prompt: Vec<u32>,
    /// The tokens that were drawn.
    pub tokens: Vec<u32>,
    /// What they are as a text, if they are one.
    pub text: String,
    /// Whether the model ended the text itself.
    pub is_ended: bool,
    /// Seconds for the prompt.
    pub prompt_seconds: f64,
    /// Seconds for all tokens after the first.
    pub seconds: f64,
}

impl Generation {
    /// The same as a JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "prompt_tokens": self.prompt.len(),
            "tokens": self.tokens,
            "text": self.text,
            "is_ended": self.is_ended,
            "prompt_seconds": self.prompt_seconds,
            "seconds": self.seconds,
        })
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prompt, tokens) = (self.prompt.len(), self.tokens.len());
        write!(f, "{prompt} tokens of the prompt in {:.2} s, ", self.prompt_seconds)?;
        let rate = tokens.saturating_sub(1) as f64 / self.seconds.max(1e-9);
        write!(f, "then {tokens} in {:.2} s ({rate:.1} tokens/s)", self.seconds)?;
        if self.is_ended { write!(f, "; the model ended the text") } else { Ok(()) }
    }
}

/// Loads a model and has it go on with a prompt; `tell` gets the text piece by piece.
///
/// # Errors
/// A model that cannot be read; a prompt that is empty, has tokens that the model does not have, or is a text for
/// a model that only knows numbers; more tokens than the model has positions; scores that are not finite; what
/// `tell` fails with.
pub fn generate(
    request: &GenerationRequest,
    mut tell: impl FnMut(&str) -> Result<()>,
) -> Result<Generation> {
    let mut speaker = Speaker::open(&request.model, request.adapter.as_deref())?;
    let prompt = match &request.prompt {
        Prompt::Text(text) => speaker.encode(text, &request.model)?,
        Prompt::Ids(ids) => {
            check_ids("--ids", 0, ids, speaker.vocabulary())?;
            ids.clone()
        }
    };
    if prompt.is_empty() {
        return Err(Error::EmptyPrompt);
    }
    let positions = speaker.positions();
    // The last token that is drawn is never read.
    let room = (positions + 1).saturating_sub(prompt.len());
    let limit = request.tokens.unwrap_or(TOKENS.min(room).max(1));
    if limit > room {
        return Err(Error::TextTooLong { positions, prompt: prompt.len(), tokens: limit });
    }
    let (mut tokens, mut text, mut is_ended) = (Vec::new(), String::new(), false);
    let start = Instant::now();
    speaker.hear(&prompt);
    speaker.read()?;
    let prompt_seconds = start.elapsed().as_secs_f64();
    let mut pieces = Pieces::after(&prompt);
    let mut add = |piece: String| {
        text.push_str(&piece);
        tell(&piece)
    };
    while tokens.len() < limit {
        let Some(token) = speaker.draw(&request.sampling)? else {
            is_ended = true;
            break;
        };
        tokens.push(token);
        add(pieces.next(token, speaker.tokenizer())?)?;
    }
    add(pieces.rest(speaker.tokenizer())?)?;
    let seconds = start.elapsed().as_secs_f64() - prompt_seconds;
    Ok(Generation { prompt, tokens, text, is_ended, prompt_seconds, seconds })
}
