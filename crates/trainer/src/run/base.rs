//! The model that adapters train beside, and what a run leaves of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use interop::adapters::{Options, peft};
use models::{Base, Decoder, DecoderConfig};
use serde::{Deserialize, Serialize};

use super::folder::{RunFolder, write_whole};
use super::replace::BASE;
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

/// The model that the adapters of a run are for, as it was when the run began.
#[derive(Debug)]
pub(super) struct BaseModel {
    record: BaseRecord,
    /// How its adapters are written.
    options: Options,
}

impl BaseModel {
    /// That of a configuration, if its run is of adapters.
    ///
    /// # Errors
    /// As [`base_folder`], and files that cannot be read.
    pub(super) fn of(configuration: &Configuration) -> Result<Option<Self>> {
        let Some(folder) = base_folder(configuration)? else { return Ok(None) };
        let folder = std::path::absolute(&folder).map_err(Error::file("find", &folder))?;
        let record = BaseRecord {
            identity: identity(&folder)?,
            kept: configuration.lora.base.name().to_owned(),
        };
        Ok(Some(Self { record, options: Options::for_base(&folder)? }))
    }

    /// What tells such models apart: a run that is resumed must find the same.
    pub(super) fn identity(&self) -> &str {
        &self.record.identity
    }
}

/// What a run leaves beside adapters about the model that they are for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BaseRecord {
    /// The hash of its configuration, weights and tokenizer.
    identity: String,
    /// How it was kept, by the name of that.
    kept: String,
}

impl BaseRecord {
    /// That of a run or beside adapters; none where none was left.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::RunFile`] for a file that is none.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(BASE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("read", &path)(error)),
        };
        let unfit = |found: String| {
            let expected = "what a run of adapters leaves about their model".to_owned();
            Error::RunFile { path: path.clone(), expected, found }
        };
        let record: Self =
            serde_json::from_slice(&bytes).map_err(|problem| unfit(problem.to_string()))?;
        match record.named() {
            Some(_) => Ok(Some(record)),
            None => Err(unfit(format!("a model that is kept as {:?}", record.kept))),
        }
    }

    /// That of adapters, left beside them or by the run that they are in. A file of that name may be other software's.
    ///
    /// # Errors
    /// As [`BaseRecord::read`].
    pub(super) fn of_adapters(adapter: &Path, run: Option<&Path>) -> Result<Option<Self>> {
        let own = fs::read(adapter.join(BASE)).ok();
        if own.is_some_and(|bytes| serde_json::from_slice::<Self>(&bytes).is_ok()) {
            return Self::read(adapter);
        }
        run.map_or(Ok(None), Self::read)
    }

    fn write(&self, folder: &Path) -> Result<()> {
        let json = serde_json::to_vec_pretty(self)
            .map_err(|source| Error::State { part: BASE.to_owned(), source })?;
        write_whole(&folder.join(BASE), &json)
    }

    /// Whether a folder has the model that this is about.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub(super) fn is_of(&self, model: &Path) -> Result<bool> {
        Ok(identity(model)? == self.identity)
    }

    fn named(&self) -> Option<Base> {
        Base::ALL.into_iter().find(|base| base.name() == self.kept)
    }

    /// How the model was kept.
    pub(super) fn kept(&self) -> Base {
        self.named().unwrap_or_default()
    }

    /// Checks that a folder has the model of a run's adapters, which would do anything beside another.
    ///
    /// # Errors
    /// [`Error::RunFile`]; files that cannot be read.
    pub(super) fn check(&self, run: &Path, model: &Path) -> Result<()> {
        if self.is_of(model)? {
            return Ok(());
        }
        let expected = format!(
            "the model that the adapters of {} were trained for, by the hash of its config.json, weights and tokenizer",
            run.display()
        );
        let found = "another one; put it back, or, to use them beside this one all the same, give it with --model, and \
                     the run with --adapter";
        Err(Error::RunFile { path: model.to_owned(), expected, found: found.to_owned() })
    }
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

/// Writes what a run has trained: the model, or, where there is a `base` that stays as it is, its adapters, as PEFT keeps
/// them. `is_best` is for those of the best evaluation. Returns where they are.
///
/// # Errors
/// Files that cannot be written, numbers that are not finite.
pub(super) fn save(
    base: Option<&BaseModel>,
    model: &Decoder<f32>,
    tokenizer: Option<&[u8]>,
    folder: &RunFolder,
    is_best: bool,
) -> Result<PathBuf> {
    let Some(BaseModel { record, options }) = base else {
        let path = if is_best { folder.best() } else { folder.model() };
        interop::save_with(model, &path, tokenizer)?;
        return Ok(path);
    };
    let path = if is_best { folder.best() } else { folder.adapter() };
    record.write(folder.path())?;
    peft::write(&path, &model.adapters(), options)?;
    // For adapters that are taken elsewhere.
    record.write(&path)?;
    Ok(path)
}

#[cfg(test)]
mod tests;
