//! A finished run that another learns from.

use models::Decoder;

use super::replace::model_folder;
use crate::config::{self, Configuration};
use crate::error::{Error, Result};

/// The model of a finished run whose scores are learnt from, beside the text (`--teacher`).
#[derive(Debug)]
pub(super) struct Teaching {
    model: Decoder<f32>,
    share: f64,
    temperature: f64,
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
        Ok(Some(Self { model, share, temperature }))
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
