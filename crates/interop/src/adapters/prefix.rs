//! [`Prefix`]: where in a model the layers are.

use std::path::Path;

use crate::decoder::CONFIG;
use crate::error::{Problem, Result};
use crate::json::Json;
use crate::text::read_text;

/// What the names of a model's layers begin with here.
const HERE: &str = "model.";
/// The same in a model that sees as well.
const NESTED: &str = "model.language_model.";
/// The part of a configuration that only such a model has.
const TEXT_CONFIG: &str = "text_config";

/// Where the layers of the model are that an adapter was made for. PEFT puts an adapter into a model of the same kind
/// only; here both are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Prefix {
    /// A model of text: `model.layers.0.…`.
    #[default]
    Plain,
    /// The text part of a model that sees as well: `model.language_model.layers.0.…`, and in MLX-LM
    /// `language_model.model.layers.0.…`.
    Nested,
}

impl Prefix {
    /// That of the base model in a directory: nested where `config.json` has its text part in `text_config`.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) for a configuration that is none, [`Error::Io`](crate::Error::Io).
    pub fn of_base(directory: &Path) -> Result<Self> {
        let path = directory.join(CONFIG);
        let is_nested = |json: &[u8]| {
            let json = Json::read(json, "configuration")?;
            Ok(json.object("configuration")?.object(TEXT_CONFIG)?.is_some())
        };
        let is_nested = is_nested(&read_text(&path)?);
        let is_nested = is_nested.map_err(|problem: Problem| problem.in_file(&path))?;
        Ok(if is_nested { Self::Nested } else { Self::Plain })
    }

    /// What a module that has this name here is called in transformers' model.
    pub(super) fn in_model(self, module: &str) -> String {
        match (self, module.strip_prefix(HERE)) {
            (Self::Nested, Some(rest)) => format!("{NESTED}{rest}"),
            _ => module.to_owned(),
        }
    }

    /// The name here of a module of transformers' model, and the prefix that its name there tells, if it does.
    pub(super) fn of_module(path: &str) -> (String, Option<Self>) {
        if let Some(rest) = path.strip_prefix(NESTED) {
            return (format!("{HERE}{rest}"), Some(Self::Nested));
        }
        (path.to_owned(), path.starts_with(HERE).then_some(Self::Plain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_part_of_a_model_that_sees_is_nested() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(CONFIG);
        let of = |json: &str| {
            std::fs::write(&path, json).unwrap();
            Prefix::of_base(directory.path())
        };
        assert_eq!(of(r#"{"model_type":"qwen3_5","text_config":{}}"#).unwrap(), Prefix::Nested);
        assert_eq!(of(r#"{"model_type":"qwen3"}"#).unwrap(), Prefix::Plain);
        let error = of("[]").unwrap_err().to_string();
        assert!(error.ends_with("configuration: expected an object, found a list"), "{error}");
    }

    #[test]
    fn a_module_is_called_differently_there_and_the_same_here() {
        let here = "model.layers.0.mlp.up_proj";
        for (prefix, there) in
            [(Prefix::Plain, here), (Prefix::Nested, "model.language_model.layers.0.mlp.up_proj")]
        {
            assert_eq!(prefix.in_model(here), there);
            assert_eq!(Prefix::of_module(there), (here.to_owned(), Some(prefix)));
            assert_eq!(prefix.in_model("lm_head"), "lm_head");
        }
        assert_eq!(Prefix::of_module("lm_head"), ("lm_head".to_owned(), None));
    }
}
