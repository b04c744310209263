//! A model that goes on with what it has read.

use std::path::Path;

use interop::tokenizer::Tokenizer;
use models::{Cache, Decoder};
use nn::Tape;

use super::Sampling;
use crate::adapters;
use crate::error::{Error, Result};

/// A loaded model with its tokenizer, and what it has read so far. Each token runs once: what is read stays in
/// the cache, and the last token that was drawn is only run when something comes after it.
#[derive(Debug)]
pub(crate) struct Speaker {
    model: Decoder<f32>,
    tokenizer: Option<Tokenizer>,
    /// The tokens that end a text.
    ends: Vec<u32>,
    cache: Cache<f32>,
    tape: Tape<f32>,
    /// What is in the cache.
    read: Vec<u32>,
    /// What comes next, and is not in it yet.
    unread: Vec<u32>,
    /// The scores after the last token of the cache; empty before the first.
    scores: Vec<f32>,
    /// Tokens that were dropped so that others had room.
    forgotten: usize,
}

impl Speaker {
    /// Loads the model of a folder, with the adapters of another if there is one.
    ///
    /// # Errors
    /// A model, adapters, a tokenizer or end tokens that cannot be read.
    pub(crate) fn open(folder: &Path, adapter: Option<&Path>) -> Result<Self> {
        let model = adapters::open(folder, adapter)?;
        let tokenizer = Tokenizer::open(folder, model.config().vocabulary)?;
        Ok(Self {
            ends: interop::end_tokens(folder)?,
            tokenizer,
            cache: model.cache(1),
            model,
            tape: Tape::inference(),
            read: Vec::new(),
            unread: Vec::new(),
            scores: Vec::new(),
            forgotten: 0,
        })
    }

    /// Tokens that the model has.
    pub(crate) fn vocabulary(&self) -> usize {
        self.model.config().vocabulary
    }

    /// Positions that the model has: tokens that it can look back on.
    pub(crate) fn positions(&self) -> usize {
        self.model.config().positions
    }

    pub(crate) fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
    }

    /// The tokens of a text that begins.
    ///
    /// # Errors
    /// A text that the tokenizer cannot read, and any where there is none.
    pub(crate) fn encode(&self, text: &str, folder: &Path) -> Result<Vec<u32>> {
        match self.tokenizer() {
            Some(tokenizer) => Ok(tokenizer.encode(text.as_bytes())?),
            None => {
                let (model, vocabulary) = (folder.to_owned(), self.vocabulary());
                Err(Error::NoTokenizer { model, vocabulary })
            }
        }
    }

    /// The tokens of a text that comes after another: without those that a tokenizer puts before every text.
    ///
    /// # Errors
    /// As [`Speaker::encode`].
    pub(crate) fn encode_more(&self, text: &str, folder: &Path) -> Result<Vec<u32>> {
        let mut tokens = self.encode(text, folder)?;
        let around = self.encode("", folder)?;
        if tokens.starts_with(&around) {
            tokens.drain(..around.len());
        }
        Ok(tokens)
    }

    /// Adds tokens to what comes next.
    pub(crate) fn hear(&mut self, tokens: &[u32]) {
        self.unread.extend_from_slice(tokens);
    }

    /// Whether it has read or heard nothing.
    pub(crate) fn is_blank(&self) -> bool {
        self.len() == 0
    }

    /// Tokens that it has read or heard.
    pub(crate) fn len(&self) -> usize {
        self.read.len() + self.unread.len()
    }

    /// Whether everything that it heard has a position.
    pub(crate) fn has_room(&self) -> bool {
        self.len() <= self.positions()
    }

    /// The last tokens, read or heard.
    pub(crate) fn last(&self, count: usize) -> Vec<u32> {
        let all: Vec<u32> = self.read.iter().chain(&self.unread).copied().collect();
        all[all.len().saturating_sub(count)..].to_vec()
    }

    /// Runs what it heard.
    ///
    /// # Errors
    /// More tokens than positions, tokens that the model does not have, numbers that are not finite.
    pub(crate) fn read(&mut self) -> Result<()> {
        if self.unread.is_empty() {
            return Ok(());
        }
        self.tape.give(std::mem::take(&mut self.scores));
        self.scores = self.model.advance(&self.unread, &mut self.cache, &mut self.tape)?;
        self.read.append(&mut self.unread);
        Ok(())
    }

    /// Runs what it heard and draws the token that comes next, which it then has heard; none where the model ends
    /// the text.
    ///
    /// # Errors
    /// As [`Speaker::read`], and where it has read nothing.
    pub(crate) fn draw(&mut self, sampling: &Sampling) -> Result<Option<u32>> {
        self.read()?;
        if self.read.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        let token = sampling.draw(&self.scores, self.forgotten + self.read.len())?;
        if self.ends.contains(&token) {
            return Ok(None);
        }
        self.unread.push(token);
        Ok(Some(token))
    }

    /// Forgets everything but the newest `count` tokens, which are to be read again: their positions have changed.
    pub(crate) fn keep_newest(&mut self, count: usize) {
        let kept = self.last(count);
        self.forgotten += self.len() - kept.len();
        self.restart(kept);
    }

    /// Forgets everything.
    pub(crate) fn forget(&mut self) {
        self.forgotten = 0;
        self.restart(Vec::new());
    }

    fn restart(&mut self, unread: Vec<u32>) {
        self.cache = self.model.cache(1);
        self.read.clear();
        self.unread = unread;
        self.scores.clear();
    }
}
