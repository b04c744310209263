//! What the tokens of a model stand for.

use std::path::Path;

use crate::error::{Error, Result};

/// Bytes there are.
const BYTES: usize = 256;

/// How texts become tokens, and tokens texts.
#[derive(Debug)]
pub(crate) enum Vocabulary {
    /// By the `tokenizer.json` of the model.
    Tokenizer(interop::Tokenizer),
    /// A token for each byte.
    Bytes,
    /// Nobody knows: tokens are numbers.
    Ids,
}

impl Vocabulary {
    /// That of a model with so many tokens: its tokenizer, or bytes where they all have a token.
    ///
    /// # Errors
    /// A tokenizer that cannot be read.
    pub(crate) fn open(model: &Path, tokens: usize) -> Result<Self> {
        Ok(match interop::Tokenizer::open(model)? {
            Some(tokenizer) => Self::Tokenizer(tokenizer),
            None if tokens >= BYTES => Self::Bytes,
            None => Self::Ids,
        })
    }

    /// The tokens of a text.
    ///
    /// # Errors
    /// A text that is no UTF-8 for a tokenizer, or any where tokens are numbers.
    pub(crate) fn encode(&self, text: &[u8], model: &Path) -> Result<Vec<u32>> {
        match self {
            Self::Tokenizer(tokenizer) => {
                let text = std::str::from_utf8(text).map_err(|error| Error::NotUtf8 {
                    model: model.to_owned(),
                    position: error.valid_up_to(),
                })?;
                Ok(tokenizer.encode(text)?)
            }
            Self::Bytes => Ok(text.iter().map(|&byte| byte.into()).collect()),
            Self::Ids => Err(Error::NoTokenizer { model: model.to_owned() }),
        }
    }
}

/// The numbers of a list, between spaces, commas or lines.
///
/// # Errors
/// [`Error::Ids`] with the first that is none.
pub(crate) fn read_ids(what: &str, list: &str) -> Result<Vec<u32>> {
    let words = list.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    let number = |(index, word): (usize, &str)| {
        word.parse().map_err(|_| Error::Ids {
            what: what.to_owned(),
            index,
            found: word.chars().take(40).collect(),
        })
    };
    words.enumerate().map(number).collect()
}

/// Tokens to text one by one: a piece is told once later tokens cannot change it.
#[derive(Debug)]
pub(crate) struct Pieces<'a> {
    vocabulary: &'a Vocabulary,
    /// Bytes that are no character yet.
    bytes: Vec<u8>,
    tokens: Vec<u32>,
    /// The tokens that were told last begin here, and end where those begin that were not told.
    told: [usize; 2],
}

/// What stands for bytes that are no text.
const REPLACEMENT: char = '\u{FFFD}';

/// Tokens of the prompt that decide how the first piece is spelt: whether a space comes before it, say.
const BEFORE: usize = 6;

impl<'a> Pieces<'a> {
    /// What comes after a prompt.
    pub(crate) fn after(prompt: &[u32], vocabulary: &'a Vocabulary) -> Self {
        let tokens = prompt[prompt.len().saturating_sub(BEFORE)..].to_vec();
        let told = [0, tokens.len()];
        Self { vocabulary, bytes: Vec::new(), tokens, told }
    }

    /// The text that a token adds.
    ///
    /// # Errors
    /// A token that the tokenizer does not have.
    pub(crate) fn next(&mut self, token: u32) -> Result<String> {
        match self.vocabulary {
            Vocabulary::Ids => Ok(format!("{token} ")),
            Vocabulary::Bytes => {
                // Tokens beyond the bytes stand for nothing that could be shown.
                self.bytes.extend(u8::try_from(token));
                Ok(self.whole())
            }
            Vocabulary::Tokenizer(tokenizer) => {
                self.tokens.push(token);
                let piece = self.untold(tokenizer)?;
                // Half a character, which the next token may complete.
                if piece.is_empty() || piece.ends_with(REPLACEMENT) {
                    return Ok(String::new());
                }
                self.told = [self.told[1], self.tokens.len()];
                Ok(piece)
            }
        }
    }

    /// What is left at the end: bytes that are no text.
    ///
    /// # Errors
    /// As [`Pieces::next`].
    pub(crate) fn rest(mut self) -> Result<String> {
        match self.vocabulary {
            Vocabulary::Tokenizer(tokenizer) => self.untold(tokenizer),
            _ => Ok(String::from_utf8_lossy(&std::mem::take(&mut self.bytes)).into_owned()),
        }
    }

    /// What the tokens that were not told add to those before them.
    fn untold(&self, tokenizer: &interop::Tokenizer) -> Result<String> {
        let [start, end] = self.told;
        let before = tokenizer.decode(&self.tokens[start..end])?;
        let after = tokenizer.decode(&self.tokens[start..])?;
        Ok(after.get(before.len()..).unwrap_or_default().to_owned())
    }

    /// Takes the characters off the bytes that are complete; bytes that can be no part of any are replaced.
    fn whole(&mut self) -> String {
        let mut text = String::new();
        loop {
            match std::str::from_utf8(&self.bytes) {
                Ok(whole) => {
                    text.push_str(whole);
                    self.bytes.clear();
                    return text;
                }
                Err(error) => {
                    let valid = error.valid_up_to();
                    text.push_str(&String::from_utf8_lossy(&self.bytes[..valid]));
                    let Some(wrong) = error.error_len() else {
                        self.bytes.drain(..valid);
                        return text;
                    };
                    text.push(REPLACEMENT);
                    self.bytes.drain(..valid + wrong);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(vocabulary: &Vocabulary, tokens: &[u32]) -> Vec<String> {
        let mut pieces = Pieces::after(&[], vocabulary);
        let mut told: Vec<String> =
            tokens.iter().map(|&token| pieces.next(token).unwrap()).collect();
        told.push(pieces.rest().unwrap());
        told
    }

    #[test]
    fn bytes_are_told_as_soon_as_they_are_characters() {
        let tokens: Vec<u32> = "aé".bytes().map(u32::from).collect();
        assert_eq!(pieces(&Vocabulary::Bytes, &tokens), ["a", "", "é", ""]);
        assert_eq!(pieces(&Vocabulary::Bytes, &[0xC3, 97]), ["", "\u{FFFD}a", ""]);
        assert_eq!(pieces(&Vocabulary::Bytes, &[97, 0xC3]), ["a", "", "\u{FFFD}"]);
        assert_eq!(pieces(&Vocabulary::Bytes, &[97, 300]), ["a", "", ""]);
    }

    #[test]
    fn numbers_are_told_as_such() {
        assert_eq!(pieces(&Vocabulary::Ids, &[5, 17]), ["5 ", "17 ", ""]);
        let error = Vocabulary::Ids.encode(b"a", "m".as_ref()).unwrap_err().to_string();
        assert!(error.contains("--ids"), "{error}");
    }
}
