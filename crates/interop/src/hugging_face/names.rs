//! The names of tensors: here and in the files of a directory.
//!
//! Here they are those of transformers' text models, `model.layers.0.self_attn.q_proj.weight` and
//! `lm_head.weight`. A model that sees as well has its text part a level deeper, a model that was saved
//! without its head a level higher:
//!
//! | in files | for |
//! |---|---|
//! | `model.` | text models |
//! | `model.language_model.` | the text part of a model that sees |
//! | nothing | the part below the head, saved alone |

use crate::error::Problem;

/// What the names of everything but the head begin with here.
const HERE: &str = "model.";
/// What they may begin with in files.
const PREFIXES: [&str; 3] = ["model.language_model.", "model.", ""];
/// The tensor that every model has, and whose name tells the prefix.
const TABLE: &str = "embed_tokens.weight";
/// The scores of tokens, called the same under every prefix.
pub(super) const HEAD: &str = "lm_head.weight";
/// Parts of a model that no text goes through: images, and the heads that guess further tokens.
const OTHER_PARTS: [&str; 3] = ["model.visual.", "visual.", "mtp."];
/// Angles that follow from the configuration.
const ANGLES: &str = "rotary_emb.inv_freq";

/// Whether a tensor of a file is of no use to a decoder of text.
pub(super) fn is_skipped(name: &str) -> bool {
    OTHER_PARTS.iter().any(|part| name.starts_with(part)) || name.ends_with(ANGLES)
}

/// What the names of a directory begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefix(&'static str);

impl Prefix {
    /// The prefix under which there is an embedding.
    ///
    /// # Errors
    /// None, and more than one.
    pub(super) fn of(has: impl Fn(&str) -> bool) -> Result<Self, Problem> {
        let found: Vec<_> =
            PREFIXES.into_iter().filter(|prefix| has(&format!("{prefix}{TABLE}"))).collect();
        match found[..] {
            [prefix] => Ok(Self(prefix)),
            [] => Err(Problem::Missing { what: "tensor", name: format!("{HERE}{TABLE}") }),
            _ => {
                let found = found.iter().map(|prefix| format!("{prefix}{TABLE}"));
                let found = found.collect::<Vec<_>>().join(", ");
                Err(Problem::mismatch("embeddings", "one", found))
            }
        }
    }

    /// The name in files of what is called `name` here.
    pub(super) fn in_files(self, name: &str) -> String {
        match name.strip_prefix(HERE) {
            Some(rest) => format!("{}{rest}", self.0),
            None => name.to_owned(),
        }
    }
}

/// A matrix of an expert, whose weights may be part of a tensor of all experts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ExpertMatrix<'a> {
    /// What the names of the experts begin with.
    experts: &'a str,
    /// Which expert.
    pub(super) index: usize,
    part: &'static str,
}

impl<'a> ExpertMatrix<'a> {
    /// By the name of its weights, `….mlp.experts.3.up_proj.weight`.
    pub(super) fn of(name: &'a str) -> Option<Self> {
        let (experts, rest) = name.split_once(".mlp.experts.")?;
        let (index, part) = rest.split_once('.')?;
        let parts = ["gate_proj.weight", "up_proj.weight", "down_proj.weight"];
        let part = parts.into_iter().find(|known| *known == part)?;
        Some(Self { experts, index: index.parse().ok()?, part })
    }

    /// The tensor of all experts that it is part of: gates and then ups `[experts, 2 · inner, width]`, or
    /// downs `[experts, width, inner]`.
    pub(super) fn fused(&self) -> String {
        let tensor = if self.part.starts_with("down") { "down_proj" } else { "gate_up_proj" };
        format!("{}.mlp.experts.{tensor}", self.experts)
    }

    /// How many matrices of its shape an expert has in that tensor, and which of them it is.
    pub(super) fn place(&self) -> (usize, usize) {
        match self.part {
            "gate_proj.weight" => (2, 0),
            "up_proj.weight" => (2, 1),
            _ => (1, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_that_of_the_one_embedding_there_is() {
        for (prefix, layer) in [
            ("model.", "model.layers.0.mlp.up_proj.weight"),
            ("model.language_model.", "model.language_model.layers.0.mlp.up_proj.weight"),
            ("", "layers.0.mlp.up_proj.weight"),
        ] {
            let table = format!("{prefix}embed_tokens.weight");
            let found = Prefix::of(|name| name == table).unwrap();
            assert_eq!(found.in_files("model.layers.0.mlp.up_proj.weight"), layer);
            assert_eq!(found.in_files("lm_head.weight"), "lm_head.weight");
        }
        let error = Prefix::of(|_| false).unwrap_err().to_string();
        assert_eq!(error, "tensor \"model.embed_tokens.weight\" is missing");
        let error = Prefix::of(|name| name.len() < 28).unwrap_err().to_string();
        let found = "model.embed_tokens.weight, embed_tokens.weight";
        assert_eq!(error, format!("embeddings: expected one, found {found}"));
    }

    #[test]
    fn a_matrix_of_an_expert_knows_where_it_lies_among_all() {
        let name = "model.layers.1.mlp.experts.12.up_proj.weight";
        let up = ExpertMatrix::of(name).unwrap();
        assert_eq!((up.index, up.place()), (12, (2, 1)));
        assert_eq!(up.fused(), "model.layers.1.mlp.experts.gate_up_proj");
        let down = ExpertMatrix::of("model.layers.1.mlp.experts.0.down_proj.weight").unwrap();
        assert_eq!(down.place(), (1, 0));
        assert_eq!(down.fused(), "model.layers.1.mlp.experts.down_proj");
        for other in ["model.layers.1.mlp.experts.x.up_proj.weight", "a.mlp.up_proj.weight"] {
            assert_eq!(ExpertMatrix::of(other), None);
        }
    }

    #[test]
    fn only_parts_that_no_text_goes_through_are_skipped() {
        for name in
            ["mtp.fc.weight", "model.visual.a", "model.layers.0.self_attn.rotary_emb.inv_freq"]
        {
            assert!(is_skipped(name), "{name}");
        }
        for name in ["model.mtp.fc.weight", "model.visuals.a", "model.norm.weight"] {
            assert!(!is_skipped(name), "{name}");
        }
    }
}
