//! The model that adapters train beside, and what a run leaves of them.

use std::path::{Path, PathBuf};

use interop::adapters::{Options, peft};
use models::{Decoder, DecoderConfig};

use super::folder::RunFolder;
use super::teacher::identity;
use super::used::model_folder;
use crate::adapters::attach;
use crate::config::Configuration;
use crate::data::VOCABULARY;
use crate::error::{Error, Result};

/// Where the model is that adapters are for, if there are to be any.
///
/// # Errors
/// A run that has left no model.
pub(crate) fn base_folder(configuration: &Configuration) -> Result<Option<PathBuf>> {
    configuration.lora.model.as_deref().map(model_folder).transpose()
}

/// What tells such models apart: a run that is resumed must find the same.
///
/// # Errors
/// As [`base_folder`], and files that cannot be read.
pub(super) fn base_identity(configuration: &Configuration) -> Result<Option<String>> {
    base_folder(configuration)?.as_deref().map(identity).transpose()
}

/// Reads the model in a folder, and puts the adapters beside it that a configuration asks for, as they are before they
/// train. `vocabulary` is that of the text.
///
/// # Errors
/// A folder that is no model; those of [`check_base`]; adapters that it cannot have.
pub(super) fn adapted(
    configuration: &Configuration,
    folder: &Path,
    vocabulary: usize,
) -> Result<Decoder<f32>> {
    check_base(configuration, folder, &interop::shape(folder)?, vocabulary)?;
    let mut model = interop::open_as(folder, configuration.lora.base)?;
    attach(configuration, &mut model)?;
    Ok(model)
}

/// Checks, before a model of this shape is read, that a run can be for it.
///
/// # Errors
/// A model of fewer tokens or positions than the run has, or whose tokens nothing is known of.
pub(crate) fn check_base(
    configuration: &Configuration,
    folder: &Path,
    model: &DecoderConfig,
    vocabulary: usize,
) -> Result<()> {
    let (tokens, positions) = (model.vocabulary, model.positions);
    let length = configuration.batch.length;
    if length > positions {
        return Err(Error::WindowTooLong { positions, length });
    }
    // Bytes are tokens of a model that has one for each.
    if vocabulary == VOCABULARY && tokens != VOCABULARY && !folder.join(TOKENIZER).exists() {
        return Err(Error::NoTokenizer { model: folder.to_owned(), vocabulary: tokens });
    }
    if vocabulary > tokens {
        return Err(Error::Tokenizer {
            path: folder.join(TOKENIZER),
            expected: format!("at most the {tokens} tokens of its model"),
            found: vocabulary.to_string(),
        });
    }
    Ok(())
}

/// The tokenizer of a model.
pub(crate) const TOKENIZER: &str = "tokenizer.json";

/// Writes what a run has trained: the model, or, where that stays as it is, its adapters, as PEFT keeps them. `is_best`
/// is for those of the best evaluation. Returns where they are.
///
/// # Errors
/// Files that cannot be written, numbers that are not finite.
pub(super) fn save(
    configuration: &Configuration,
    model: &Decoder<f32>,
    tokenizer: Option<&[u8]>,
    folder: &RunFolder,
    is_best: bool,
) -> Result<PathBuf> {
    let Some(base) = base_folder(configuration)? else {
        let path = if is_best { folder.best() } else { folder.model() };
        interop::save_with(model, &path, tokenizer)?;
        return Ok(path);
    };
    let path = if is_best { folder.best() } else { folder.adapter() };
    let base = std::path::absolute(&base).map_err(Error::file("find", &base))?;
    peft::write(&path, &model.adapters(), &Options::for_base(&base)?)?;
    Ok(path)
}

#[cfg(test)]
mod tests;
