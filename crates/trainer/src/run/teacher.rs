//! A finished run that another learns from.

use std::fs::File;
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

/// SHA-256 of the configuration, the weights and the tokenizer of a model: of its manifest, which has the hash of each file and was held
/// to them when the model was read, or of the files themselves.
pub(super) fn identity(folder: &Path) -> Result<String> {
    let mut names = vec![MANIFEST.to_owned()];
    let kind = Kind::of(folder)?;
    if kind != Kind::Packed || !folder.join(MANIFEST).is_file() {
        // What else lies beside them says nothing of the model.
        names = kind.files(folder)?;
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use interop::safetensors::{Dtype, write_header};

    use super::*;
    use crate::temporary::TemporaryFolder;

    /// A file of one array of a number.
    fn shard(name: &str, number: f32) -> Vec<u8> {
        let mut file = Vec::new();
        write_header(&mut file, &BTreeMap::new(), [(name, Dtype::F32, &[1][..])]).unwrap();
        file.extend(number.to_le_bytes());
        file
    }

    #[test]
    fn a_folder_of_hugging_face_is_known_by_the_files_that_are_read_and_by_no_others() {
        let folder = TemporaryFolder::new();
        folder.file("config.json", r#"{"model_type": "qwen3"}"#);
        let map = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
        folder.file("model.safetensors.index.json", map);
        folder.file("model-1.safetensors", shard("a", 1.0));
        folder.file("model-2.safetensors", shard("b", 2.0));
        let identity = || identity(folder.path()).unwrap();
        let first = identity();
        folder.file("consolidated.safetensors", shard("a", 7.0));
        folder.file("optimizer.bin", "x");
        folder.file("generation_config.json", "{}");
        assert_eq!(identity(), first);
        folder.file("model-2.safetensors", shard("b", 3.0));
        let second = identity();
        assert_ne!(second, first);
        folder.file("tokenizer.json", "{}");
        let third = identity();
        assert_ne!(third, second);
        folder.file("config.json", r#"{"model_type": "qwen2"}"#);
        assert_ne!(identity(), third);
    }
}
