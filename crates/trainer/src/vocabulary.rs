//! What the tokens of a model stand for.

use interop::tokenizer::Tokenizer;

use crate::error::Result;

/// A list of tokens that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdsError {
    /// Something in it is no number.
    #[error(
        "{what}: expected whole numbers between spaces or commas, found {found:?} as number {index}"
    )]
    NoNumber {
        /// The list.
        what: String,
        /// How many stand before it.
        index: usize,
        /// What stands there.
        found: String,
    },
    /// The model does not have one of them.
    #[error(
        "{what}: expected tokens below the model's {vocabulary}, found {found} as number {index}"
    )]
    Unknown {
        /// The list.
        what: String,
        /// How many stand before it.
        index: usize,
        /// Tokens of the model.
        vocabulary: usize,
        /// What stands there.
        found: u32,
    },
}

/// The numbers of a list, between spaces, commas or lines.
///
/// # Errors
/// [`IdsError::NoNumber`] with the first that is none.
pub(crate) fn read_ids(what: &str, list: &str) -> Result<Vec<u32>> {
    let words = list.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    let number = |(index, word): (usize, &str)| {
        word.parse().map_err(|_| IdsError::NoNumber {
            what: what.to_owned(),
            index,
            found: word.chars().take(40).collect(),
        })
    };
    Ok(words.enumerate().map(number).collect::<Result<_, _>>()?)
}

/// Checks that a model has all tokens of a part of a list, before which are `first` others.
///
/// # Errors
/// [`IdsError::Unknown`] with the first that it does not have.
pub(crate) fn check_ids(what: &str, first: usize, ids: &[u32], vocabulary: usize) -> Result<()> {
    let Some(place) = ids.iter().position(|&id| id as usize >= vocabulary) else { return Ok(()) };
    let (index, found) = (first + place, ids[place]);
    Err(IdsError::Unknown { what: what.to_owned(), index, vocabulary, found }.into())
}

/// Tokens to text one by one: a piece is told once later tokens cannot change it. Without a tokenizer they are
/// told as numbers.
#[derive(Debug)]
pub(crate) struct Pieces {
    tokens: Vec<u32>,
    /// Where the tokens begin that were told last, and where those that were not.
    told: [usize; 2],
}

/// What stands for bytes that are no text.
const REPLACEMENT: char = '\u{FFFD}';

/// Tokens of the prompt that decide how the first piece is spelt: whether a space comes before it, say.
const BEFORE: usize = 6;

/// Tokens that a character has at most.
const LONGEST: usize = 4;

impl Pieces {
    /// What comes after a prompt.
    pub(crate) fn after(prompt: &[u32]) -> Self {
        let tokens = prompt[prompt.len().saturating_sub(BEFORE)..].to_vec();
        let told = [0, tokens.len()];
        Self { tokens, told }
    }

    /// The text that a token adds.
    ///
    /// # Errors
    /// A tokenizer that fails.
    pub(crate) fn next(&mut self, token: u32, tokenizer: Option<&Tokenizer>) -> Result<String> {
        let Some(tokenizer) = tokenizer else { return Ok(format!("{token} ")) };
        self.tokens.push(token);
        let piece = self.untold(tokenizer)?;
        let is_whole = match std::str::from_utf8(&piece) {
            Ok(text) => !text.is_empty() && !text.ends_with(REPLACEMENT),
            Err(error) => error.error_len().is_some(),
        };
        if !is_whole && self.tokens.len() - self.told[1] < LONGEST {
            return Ok(String::new());
        }
        self.told = [self.told[1], self.tokens.len()];
        Ok(String::from_utf8_lossy(&piece).into_owned())
    }

    /// What is left at the end: bytes that are no text.
    ///
    /// # Errors
    /// As [`Pieces::next`].
    pub(crate) fn rest(self, tokenizer: Option<&Tokenizer>) -> Result<String> {
        let Some(tokenizer) = tokenizer else { return Ok(String::new()) };
        Ok(String::from_utf8_lossy(&self.untold(tokenizer)?).into_owned())
    }

    /// What the tokens that were not told add to those before them.
    fn untold(&self, tokenizer: &Tokenizer) -> Result<Vec<u8>> {
        let [start, end] = self.told;
        let before = tokenizer.decode(&self.tokens[start..end])?;
        let mut after = tokenizer.decode(&self.tokens[start..])?;
        Ok(after.split_off(before.len().min(after.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(tokenizer: Option<&Tokenizer>, tokens: &[u32]) -> Vec<String> {
        let mut pieces = Pieces::after(&[97, 98]);
        let next = |&token: &u32| pieces.next(token, tokenizer).unwrap();
        let mut told: Vec<String> = tokens.iter().map(next).collect();
        told.push(pieces.rest(tokenizer).unwrap());
        told
    }

    #[test]
    fn bytes_are_told_as_soon_as_they_are_characters() {
        let bytes = Tokenizer::open("no such folder".as_ref(), 256).unwrap();
        let told = |tokens: &[u32]| pieces(bytes.as_ref(), tokens);
        let tokens: Vec<u32> = "aé🙂".bytes().map(u32::from).collect();
        assert_eq!(told(&tokens), ["a", "", "é", "", "", "", "🙂", ""]);
        assert_eq!(told(&[0xC3, 97]), ["", "\u{FFFD}a", ""]);
        assert_eq!(told(&[97, 0xC3]), ["a", "", "\u{FFFD}"]);
        // A token that stands for no byte.
        assert_eq!(told(&[299, 97]), ["", "\u{FFFD}a", ""]);
    }

    #[test]
    fn numbers_are_told_as_such() {
        assert_eq!(pieces(None, &[5, 17]), ["5 ", "17 ", ""]);
        assert_eq!(read_ids("list", "3, 4\n5,,").unwrap(), [3, 4, 5]);
        let error = check_ids("list", 5, &[39, 40], 40).unwrap_err().to_string();
        assert_eq!(error, "list: expected tokens below the model's 40, found 40 as number 6");
        let error = read_ids("list", "3 -4").unwrap_err().to_string();
        let expected =
            "list: expected whole numbers between spaces or commas, found \"-4\" as number 1";
        assert_eq!(error, expected);
    }
}
