//! The two files of an adapter.

use std::path::Path;

use lora_backward::{Adapters, Scaling, check_dropout};
use ternary_core::Real;

use super::prefix::Prefix;
use crate::directory::{Reader, Writer};
use crate::error::{Problem, Result};
use crate::json::{Json, Object};

/// The configuration, which has the same name in both formats.
pub(super) const CONFIG: &str = "adapter_config.json";
/// What a message calls it.
pub(super) const WHAT: &str = "configuration";
/// The longest configuration that is read: patterns for ten thousand modules take a quarter of it.
const MAX_CONFIG_BYTES: usize = 4 << 20;

/// What the adapters of a model do not say themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Which names the modules have in the model that the adapters are for.
    pub prefix: Prefix,
    /// Where the base model is, for those who load it by what the configuration says.
    pub base: Option<String>,
}

impl Options {
    /// Those of adapters for the model in a directory.
    ///
    /// # Errors
    /// As [`Prefix::of_base`].
    pub fn for_base(directory: &Path) -> Result<Self> {
        let base = Some(directory.display().to_string());
        Ok(Self { prefix: Prefix::of_base(directory)?, base })
    }
}

/// The bytes of both files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// `adapter_config.json`.
    pub config: Vec<u8>,
    /// The safetensors file.
    pub weights: Vec<u8>,
}

impl Files {
    /// Reads both files of a directory, the second of which is called `weights`.
    pub(super) fn read(reader: &Reader, weights: &str) -> Result<Self> {
        Ok(Self { config: reader.read(CONFIG)?, weights: reader.read(weights)? })
    }

    /// Writes them, over those that may be there: the old ones or the new ones can be read whenever that ends.
    pub(super) fn write(&self, directory: &Path, weights: &str) -> Result<()> {
        let mut writer = Writer::begin(directory)?;
        writer.file(CONFIG, |out| out.write_all(&self.config))?;
        writer.file(weights, |out| out.write_all(&self.weights))?;
        writer.commit()
    }
}

/// The configuration as a document.
pub(super) fn document(bytes: &[u8]) -> Result<Json, Problem> {
    if bytes.len() > MAX_CONFIG_BYTES {
        let expected = format!("at most {MAX_CONFIG_BYTES}");
        return Err(Problem::mismatch("bytes of the configuration", expected, bytes.len()));
    }
    Json::read(bytes, WHAT)
}

/// A list of texts under a key.
pub(super) fn texts(object: &Object<'_>, key: &str) -> Result<Option<Vec<String>>, Problem> {
    let Some(items) = object.list(key)? else { return Ok(None) };
    let text = |item: &Json| match item {
        Json::Text(text) => Ok(text.clone()),
        other => Err(object.refuse(key, "a list of texts", format!("one with {other}"))),
    };
    items.iter().map(text).collect::<Result<_, _>>().map(Some)
}

/// An α or a multiplier found under a key, whose size must be one that a model can compute with.
pub(super) fn strength(object: &Object<'_>, key: &str, found: f64) -> Result<f64, Problem> {
    let most = Scaling::LARGEST;
    if found.abs() <= most {
        return Ok(found);
    }
    Err(object.refuse(key, format!("a number from -{most} to {most}"), found_in_short(found)))
}

/// A number as a message shows it, without a line of zeros.
fn found_in_short(number: f64) -> String {
    if number.abs() < 1e12 { number.to_string() } else { format!("{number:e}") }
}

/// The share of inputs that adapters drop.
pub(super) fn dropout(object: &Object<'_>, key: &str) -> Result<f64, Problem> {
    let dropout = object.real(key)?.unwrap_or(0.0);
    match check_dropout(dropout) {
        Ok(()) => Ok(dropout),
        Err(_) => Err(object.refuse(key, "a share from 0 to below 1", dropout)),
    }
}

/// Checks that adapters can be written at all.
pub(super) fn check<T: Real>(adapters: &Adapters<T>) -> Result<(), Problem> {
    if adapters.is_empty() {
        return Err(Problem::mismatch("adapters", "one at least", "none"));
    }
    check_dropout(adapters.dropout)?;
    adapters.iter().try_for_each(|(module, adapter)| Ok(adapter.check(module)?))
}
