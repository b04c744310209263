//! The tokens that end a text.

use std::path::Path;

use crate::decoder::CONFIG;
use crate::error::{Problem, Result, io_error};
use crate::json::{Json, Object};
use crate::text::read_text;

/// What a model's own library reads first.
const GENERATION: &str = "generation_config.json";
const KEY: &str = "eos_token_id";

/// The tokens by which a model says that its text is at its end: `eos_token_id`, one or several, of
/// `generation_config.json`, or else of `config.json`, where it may stand in `text_config`. None where there are none.
///
/// # Errors
/// [`Error::File`](crate::Error::File) for files that are no JSON, and for what is no token; [`Error::Io`](crate::Error::Io).
pub fn end_tokens(directory: &Path) -> Result<Vec<u32>> {
    for name in [GENERATION, CONFIG] {
        let path = directory.join(name);
        if !path.try_exists().map_err(io_error(&path, "find the file"))? {
            continue;
        }
        let bytes = read_text(&path)?;
        let found = || -> Result<_, Problem> {
            let document = Json::read(&bytes, "configuration")?;
            let root = document.object("configuration")?;
            let nested = root.object("text_config")?;
            for object in [Some(&root), nested.as_ref()].into_iter().flatten() {
                if let Some(ends) = tokens(object)? {
                    return Ok(Some(ends));
                }
            }
            Ok(None)
        };
        if let Some(ends) = found().map_err(|problem| problem.in_file(&path))? {
            return Ok(ends);
        }
    }
    Ok(Vec::new())
}

/// One number, or several.
fn tokens(object: &Object<'_>) -> Result<Option<Vec<u32>>, Problem> {
    let Some(value) = object.get(KEY) else { return Ok(None) };
    let values = match value {
        Json::List(values) => values.as_slice(),
        one => std::slice::from_ref(one),
    };
    let token = |value: &Json| match value {
        Json::Count(count) => u32::try_from(*count).ok(),
        _ => None,
    };
    let tokens: Option<Vec<u32>> = values.iter().map(token).collect();
    match tokens {
        Some(tokens) => Ok(Some(tokens)),
        None => Err(object.refuse(KEY, "a token or a list of tokens", value)),
    }
}
