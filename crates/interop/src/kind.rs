//! [`Kind`]: whose layout a model directory has, by its `config.json`.

use std::path::Path;

use models::{Base, Decoder, DecoderConfig};

use crate::config::{Config, MODEL_TYPE};
use crate::decoder::{CONFIG, WEIGHTS, load_as};
use crate::directory::Reader;
use crate::error::{Result, io_error};
use crate::hugging_face;
use crate::json::Json;
use crate::safetensors::{Container, MappedFile};
use crate::text::read_text;
use crate::tokenizer::{self, Tokenizer};

/// Whose layout a model directory has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// That of [`save`](crate::save), with packed ternary weights.
    Packed,
    /// That of Hugging Face's transformers.
    HuggingFace,
}

impl Kind {
    /// By the `model_type` of its `config.json`: `ternary` is ours, every other is for
    /// [`hugging_face`] to know.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where there is none, [`Error::File`](crate::Error::File) where it
    /// is no JSON or has no `model_type`.
    pub fn of(directory: &Path) -> Result<Self> {
        let path = directory.join(CONFIG);
        // Of two versions that a killed writer may have left, that which counts; but a manifest of other
        // software means nothing here.
        let counting = Reader::open(directory).and_then(|reader| reader.read(CONFIG));
        let json = match counting {
            Ok(json) => json,
            Err(_) => read_text(&path)?,
        };
        let kind = || {
            let document = Json::read(&json, "configuration")?;
            let root = document.object("configuration")?;
            let model_type = root.need("model_type", root.text("model_type")?)?;
            Ok(if model_type == MODEL_TYPE { Self::Packed } else { Self::HuggingFace })
        };
        kind().map_err(|problem: crate::Problem| problem.in_file(&path))
    }

    /// The names of the files that a model of this kind is read from, and its tokenizer's: what else is in its directory
    /// says nothing of it.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) and [`Error::Io`](crate::Error::Io) for files of Hugging Face's that cannot be
    /// opened, or that contradict their index.
    pub fn files(self, directory: &Path) -> Result<Vec<String>> {
        let mut files = match self {
            Self::Packed => vec![WEIGHTS.to_owned()],
            Self::HuggingFace => hugging_face::weight_files(directory)?,
        };
        files.push(CONFIG.to_owned());
        files.extend(Tokenizer::find(directory)?.map(|_| tokenizer::FILE.to_owned()));
        files.sort_unstable();
        Ok(files)
    }
}

/// The shape of a model of either kind, by its `config.json` alone.
///
/// # Errors
/// As [`Kind::of`], and for a configuration that no decoder here can have.
pub fn shape(directory: &Path) -> Result<DecoderConfig> {
    match Kind::of(directory)? {
        Kind::Packed => {
            let reader = Reader::open(directory)?;
            let config = Config::from_json(&reader.read(CONFIG)?);
            Ok(config.map_err(|problem| problem.in_file(&reader.path(CONFIG)))?.decoder)
        }
        Kind::HuggingFace => hugging_face::shape(directory),
    }
}

/// Bytes that the weights of a model of either kind have in memory, by the headers of their files: what is real there as
/// `f32`, what is ternary as it is.
///
/// # Errors
/// As [`Kind::files`], and for files that are no containers of tensors.
pub fn weight_bytes(directory: &Path) -> Result<u64> {
    let files = match Kind::of(directory)? {
        Kind::Packed => vec![Reader::open(directory)?.path(WEIGHTS)],
        Kind::HuggingFace => {
            let names = hugging_face::weight_files(directory)?;
            names.into_iter().map(|name| directory.join(name)).collect()
        }
    };
    let bytes = files.iter().map(|path| {
        let file = MappedFile::open(path).map_err(io_error(path, "map the file"))?;
        let container = Container::new(file).map_err(|problem| problem.in_file(path))?;
        Ok(container.bytes_in_f32())
    });
    bytes.sum()
}

/// Reads a model of either kind, to be used as it is: none of its weights train.
///
/// # Errors
/// As [`Kind::of`], [`load`](crate::load) and [`hugging_face::load`].
pub fn open(directory: &Path) -> Result<Decoder<f32>> {
    open_as(directory, Base::F32)
}

/// [`open`] with the real matrices of the files kept as `base` says: each is read, rounded or quantised and dropped
/// before the next, so that never more than the largest of them is in memory beside what is kept. What is ternary in
/// the files stays so.
///
/// # Errors
/// As [`open`], and for numbers that are beyond those of `bf16` where they are to be kept as that.
pub fn open_as(directory: &Path, base: Base) -> Result<Decoder<f32>> {
    match Kind::of(directory)? {
        Kind::Packed => load_as(directory, base),
        Kind::HuggingFace => hugging_face::load_frozen(directory, base),
    }
}
