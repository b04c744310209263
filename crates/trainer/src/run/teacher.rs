//! A finished run that another learns from.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use interop::Kind;
use interop::manifest::{Digester, MANIFEST};
use models::Decoder;
use sha2::{Digest as _, Sha256};

use super::used::model_folder;
use crate::config::{self, Configuration};
use crate::error::{Error, Result};

/// The model of a finished run whose scores are learnt from, beside the text (`--teacher`).
#[derive(Debug)]
pub(super) struct Teaching {
    model: Decoder<f32>,
    share: f64,
    temperature: f64,
    identity: String,
}

impl Teaching {
    /// The teacher that a configuration asks for, if it does.
    ///
    /// # Errors
    /// A folder that holds neither a run nor a model, and a model of another vocabulary or tokenizer, or of too few
    /// positions.
    pub(super) fn open(
        configuration: &Configuration,
        vocabulary: usize,
        tokenizer: Option<&[u8]>,
    ) -> Result<Option<Self>> {
        let Some(path) = &configuration.run.teacher else { return Ok(None) };
        let folder = model_folder(path)?;
        let model = interop::open(&folder)?;
        let unfit = |what: &str, expected: String, found: usize| Error::Teacher {
            path: path.clone(),
            what: what.to_owned(),
            expected,
            found: found.to_string(),
        };
        let (has, positions) = (model.config().vocabulary, model.config().positions);
        let length = configuration.batch.length;
        if has != vocabulary {
            return Err(unfit("tokens", vocabulary.to_string(), has));
        }
        if positions < length {
            return Err(unfit("positions", format!("at least {length}"), positions));
        }
        // Tokens of the same number must be the same tokens.
        let own = std::fs::read(folder.join("tokenizer.json")).ok();
        if own.as_deref() != tokenizer {
            let of = |tokenizer: Option<&[u8]>| {
                if tokenizer.is_some() { "that of a tokenizer.json" } else { "bytes" }.to_owned()
            };
            let expected = format!("{}, as the run", of(tokenizer));
            let found = match own.as_deref().zip(tokenizer) {
                Some(_) => "that of another file".to_owned(),
                None => of(own.as_deref()),
            };
            let (path, what) = (path.clone(), "the meaning of tokens".to_owned());
            return Err(Error::Teacher { path, what, expected, found });
        }
        let config::Distillation { share, temperature } = configuration.distillation;
        let identity = identity(&folder)?;
        Ok(Some(Self { model, share, temperature, identity }))
    }

    /// A hash of its files: a run that is resumed must find the same.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// The model.
    pub(super) fn model(&self) -> &Decoder<f32> {
        &self.model
    }

    /// The share of the divergence in what is minimised.
    pub(super) fn share(&self) -> f64 {
        self.share
    }

    /// By which the scores of both models are divided.
    pub(super) fn temperature(&self) -> f64 {
        self.temperature
    }
}

/// SHA-256 of the shape and the weights of a model: of its manifest, which has the hash of each file and was held
/// to them when the model was read, or of the files themselves.
pub(super) fn identity(folder: &Path) -> Result<String> {
    let mut names = vec![MANIFEST.to_owned()];
    if Kind::of(folder)? != Kind::Packed || !folder.join(MANIFEST).is_file() {
        let problem = || Error::file("read the folder", folder);
        names = Vec::new();
        for entry in fs::read_dir(folder).map_err(problem())? {
            let name = entry.map_err(problem())?.file_name().into_string().unwrap_or_default();
            if name == "config.json" || name.ends_with(".safetensors") {
                names.push(name);
            }
        }
        names.sort();
    }
    let mut hash = Sha256::new();
    for name in names {
        let path = folder.join(&name);
        let mut file = Digester::new(io::sink());
        let read = File::open(&path).and_then(|mut from| io::copy(&mut from, &mut file));
        read.map_err(Error::file("read", &path))?;
        let digest = serde_json::to_vec(&file.finish().0);
        hash.update(name.as_bytes());
        hash.update(digest.map_err(|source| Error::State { part: name, source })?);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
