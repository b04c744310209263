//! `adapter_config.json` of PEFT.
//!
//! Read is what changes numbers. What would change them in a way that is not known here is refused; everything else,
//! and there is more with each release of PEFT, is ignored.

use lora_backward::Scaling;
use serde::Deserialize;

use crate::adapters::factors::Pairs;
use crate::adapters::files::{WHAT, document, dropout, strength, texts};
use crate::adapters::prefix::Prefix;
use crate::adapters::ranks::Ranks;
use crate::adapters::selection::{Modules, Selection, Verdict};
use crate::adapters::work::Work;
use crate::error::Problem;
use crate::json::{Json, Object};
use crate::pairs;

/// The kind of adapter that is known.
pub(super) const LORA: &str = "LORA";
const ALL_LINEAR: &str = "all-linear";

/// Keys that must say nothing, and what they would ask for. An object says something even without keys: PEFT takes it
/// for the defaults.
const REFUSED: [(&str, &str); 15] = [
    ("use_dora", "DoRA scales the rows of the weights"),
    ("use_qalora", "QALoRA pools the inputs"),
    ("alora_invocation_tokens", "aLoRA begins within a text"),
    ("alora_invocation_string", "aLoRA begins within a text"),
    ("layer_replication", "it makes another model of the layers"),
    ("fan_in_fan_out", "it turns the weights around"),
    ("lora_bias", "it trains biases"),
    ("modules_to_save", "modules that were trained whole are not read"),
    ("target_parameters", "adapters of single parameters are not read"),
    ("trainable_token_indices", "trained rows of an embedding are not read"),
    ("megatron_config", "its layers are split otherwise"),
    ("arrow_config", "Arrow chooses among adapters for each token"),
    ("use_bdlora", "its matrices are blocks on a diagonal"),
    ("kasa_config", "KaSA changes the base model"),
    ("monteclora_config", "its matrices are drawn at random"),
];

/// Ways to begin that leave the base model as it was. PEFT does the others again when it loads, so that an adapter
/// which began so fits a changed base model only.
const HARMLESS_BEGINNINGS: [&str; 4] = ["gaussian", "eva", "orthogonal", "mica"];

/// What a configuration says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Config {
    pub(super) selection: Selection,
    pub(super) ranks: Ranks,
    pub(super) dropout: f64,
}

/// The patterns in the order of the file, as the first that matches counts.
#[derive(Deserialize)]
struct Patterns {
    rank_pattern: Option<pairs::Pairs<Json>>,
    alpha_pattern: Option<pairs::Pairs<Json>>,
}

impl Config {
    /// Reads the file's contents.
    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, Problem> {
        let json = document(bytes)?;
        let root = json.object(WHAT)?;
        check_kind(&root)?;
        Ok(Self {
            selection: selection(&root)?,
            ranks: ranks(&root, bytes)?,
            dropout: dropout(&root, "lora_dropout")?,
        })
    }

    /// The rank and the scaling of each module that the file has tensors of.
    ///
    /// PEFT would have to put an adapter into every one of them: it passes over the others without a word. A module may
    /// be a target under either of its names.
    pub(super) fn said(&self, pairs: &Pairs) -> Result<Vec<(usize, Scaling)>, Problem> {
        let both = |module: &String| [Prefix::Plain, Prefix::Nested].map(|at| at.in_model(module));
        let work = &mut Work::over(pairs.0.keys().flat_map(both));
        let matcher = self.selection.matcher(work)?;
        for (module, pair) in &pairs.0 {
            let verdicts = both(module).map(|name| matcher.verdict(&name));
            let found = match verdicts.into_iter().max() {
                Some(Verdict::Chosen) => continue,
                Some(Verdict::Excluded) => "one that exclude_modules leaves out",
                Some(Verdict::OtherLayer) => "one of another layer than layers_to_transform",
                _ => "one that does not match it",
            };
            let expected = "every module of the tensors, as PEFT passes over others";
            let found = format!("{:?}, {found}", pair.path);
            return Err(Problem::mismatch("target_modules", expected, found));
        }
        // Patterns are asked of the names in the file only.
        work.turn_to(pairs.paths());
        let paths: Vec<[&str; 1]> = pairs.paths().map(|path| [path]).collect();
        Ok(self.ranks.of(&paths, work)?.modules)
    }
}

fn check_kind(root: &Object<'_>) -> Result<(), Problem> {
    match root.need(super::KIND, root.text(super::KIND)?)? {
        LORA => {}
        other => return Err(root.refuse(super::KIND, LORA, format!("{other:?}"))),
    }
    for (key, why) in REFUSED {
        if let Some(value) = root.get(key).filter(|value| !says_nothing(value)) {
            return Err(root.refuse(key, format!("nothing, for {why}"), value));
        }
    }
    match root.text("bias")? {
        None | Some("none") => {}
        Some(other) => {
            let found = format!("{other:?}");
            return Err(root.refuse("bias", "none, as trained biases are not read", found));
        }
    }
    match root.get("init_lora_weights") {
        None | Some(Json::Flag(_)) => Ok(()),
        Some(Json::Text(how)) if HARMLESS_BEGINNINGS.contains(&how.as_str()) => Ok(()),
        Some(other) => {
            let known = HARMLESS_BEGINNINGS.join(", ");
            let expected = format!(
                "true, false, {known}, as others may change the base model; PEFT's save_pretrained with \
                 path_initial_model_for_weight_conversion makes a plain adapter of it"
            );
            Err(root.refuse("init_lora_weights", expected, other))
        }
    }
}

fn says_nothing(value: &Json) -> bool {
    match value {
        Json::Null | Json::Flag(false) => true,
        Json::Text(text) => text.is_empty(),
        Json::List(items) => items.is_empty(),
        _ => false,
    }
}

fn selection(root: &Object<'_>) -> Result<Selection, Problem> {
    const TARGETS: &str = "target_modules";
    const LAYERS: &str = "layers_to_transform";
    const LAYERS_PATTERN: &str = "layers_pattern";
    let targets = match modules(root, TARGETS)? {
        Some(Modules::Expression(text)) if text.eq_ignore_ascii_case(ALL_LINEAR) => {
            Some(Modules::AllLinear)
        }
        targets => targets,
    };
    let targets = root.need(TARGETS, targets)?;
    let layers = layers(root, LAYERS)?;
    let layers_pattern = match root.get(LAYERS_PATTERN) {
        Some(Json::Text(text)) => vec![text.clone()],
        _ => texts(root, LAYERS_PATTERN)?.unwrap_or_default(),
    };
    let layers_pattern: Vec<_> =
        layers_pattern.into_iter().filter(|text| !text.is_empty()).collect();
    let (has_layers, has_list) = (layers.is_some(), matches!(targets, Modules::Endings(_)));
    for (key, is_there) in [(LAYERS, has_layers), (LAYERS_PATTERN, !layers_pattern.is_empty())] {
        if is_there && !has_list {
            let expected = format!("nothing, as {TARGETS} is no list and PEFT refuses both");
            return Err(root.refuse(key, expected, "some"));
        }
    }
    if !layers_pattern.is_empty() && !has_layers {
        let expected = format!("nothing, as there is no {LAYERS}");
        return Err(root.refuse(LAYERS_PATTERN, expected, "some"));
    }
    let exclude = modules(root, "exclude_modules")?.filter(|modules| match modules {
        Modules::Endings(endings) => !endings.is_empty(),
        Modules::Expression(text) => !text.is_empty(),
        Modules::AllLinear => true,
    });
    Ok(Selection { targets, exclude, layers, layers_pattern })
}

/// A list of endings, or an expression.
fn modules(root: &Object<'_>, key: &str) -> Result<Option<Modules>, Problem> {
    match root.get(key) {
        None => Ok(None),
        Some(Json::Text(text)) => Ok(Some(Modules::Expression(text.clone()))),
        Some(Json::List(_)) => Ok(texts(root, key)?.map(Modules::Endings)),
        Some(other) => Err(root.refuse(key, "a list of names, an expression or all-linear", other)),
    }
}

/// A layer, or a list of them; an empty list is none at all.
fn layers(root: &Object<'_>, key: &str) -> Result<Option<Vec<usize>>, Problem> {
    let layer = |value: &Json| match value {
        Json::Count(layer) => usize::try_from(*layer).ok(),
        _ => None,
    };
    let layers = match root.get(key) {
        None => return Ok(None),
        Some(Json::List(layers)) => layers.iter().map(layer).collect(),
        Some(value) => layer(value).map(|layer| vec![layer]),
    };
    let layers: Vec<usize> =
        layers.ok_or_else(|| root.refuse(key, "layers from 0 on", "others"))?;
    Ok(Some(layers).filter(|layers| !layers.is_empty()))
}

fn ranks(root: &Object<'_>, bytes: &[u8]) -> Result<Ranks, Problem> {
    /// What PEFT takes for a rank and an alpha that are not there. It fails with those that are null.
    const DEFAULT: usize = 8;
    const ALPHA: &str = "lora_alpha";
    const ALPHA_PATTERN: &str = "alpha_pattern";
    for key in ["r", ALPHA] {
        root.refuse_null(key, "a number")?;
    }
    let patterns: Patterns =
        serde_json::from_slice(bytes).map_err(|source| Problem::Json { what: WHAT, source })?;
    let rank = |value: &Json| match value {
        Json::Count(rank) => usize::try_from(*rank).ok(),
        _ => None,
    };
    let alpha = |value: &Json| match value {
        Json::Count(alpha) => Some(*alpha as f64),
        Json::Real(alpha) => Some(*alpha),
        _ => None,
    };
    let alpha_pattern = pattern(root, ALPHA_PATTERN, patterns.alpha_pattern, alpha)?;
    for (name, alpha) in &alpha_pattern {
        strength(root, &format!("{ALPHA_PATTERN}.{name}"), *alpha)?;
    }
    Ok(Ranks {
        rank: root.count("r")?.unwrap_or(DEFAULT),
        alpha: strength(root, ALPHA, root.real(ALPHA)?.unwrap_or(DEFAULT as f64))?,
        rank_stabilised: root.flag("use_rslora")?.unwrap_or(false),
        rank_pattern: pattern(root, "rank_pattern", patterns.rank_pattern, rank)?,
        alpha_pattern,
    })
}

fn pattern<V>(
    root: &Object<'_>,
    key: &str,
    pairs: Option<pairs::Pairs<Json>>,
    convert: impl Fn(&Json) -> Option<V>,
) -> Result<Vec<(String, V)>, Problem> {
    let pairs = pairs.map(|pairs| pairs.0).unwrap_or_default();
    let value = |(name, value): (String, Json)| match convert(&value) {
        Some(value) => Ok((name, value)),
        None => Err(root.refuse(&format!("{key}.{name}"), "a number of that kind", value)),
    };
    pairs.into_iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration of two keys that it needs, with others.
    fn read(others: &str) -> Result<Config, String> {
        let text = format!(r#"{{"peft_type": "LORA", "target_modules": ["q_proj"]{others}}}"#);
        Config::from_json(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_rank_and_an_alpha_of_null_are_refused_and_missing_ones_are_those_of_peft() {
        for key in ["r", "lora_alpha"] {
            let error = read(&format!(r#", "{key}": null"#)).unwrap_err();
            assert_eq!(error, format!("{key}: expected a number, found null"));
        }
        let ranks = read("").unwrap().ranks;
        assert_eq!((ranks.rank, ranks.alpha), (8, 8.0));
    }

    #[test]
    fn an_alpha_that_no_model_computes_with_is_refused_by_its_key() {
        for (others, path, found) in [
            (r#", "lora_alpha": 1e38"#, "lora_alpha", "1e38"),
            (r#", "lora_alpha": -1000000.5"#, "lora_alpha", "-1000000.5"),
            (r#", "alpha_pattern": {"a": 2, "b": 1000001}"#, "alpha_pattern.b", "1000001"),
        ] {
            let expected = "expected a number from -1000000 to 1000000";
            assert_eq!(read(others).unwrap_err(), format!("{path}: {expected}, found {found}"));
        }
        assert_eq!(read(r#", "lora_alpha": 1000000"#).unwrap().ranks.alpha, Scaling::LARGEST);
    }

    #[test]
    fn texts_are_told_without_what_a_terminal_obeys() {
        let error = read(r#", "bias": "\u001b[2J""#).unwrap_err();
        assert!(error.ends_with(r#"found "\u{1b}[2J""#), "{error}");
        let error = Config::from_json(br#"{"peft_type": "\u001b[31m"}"#).unwrap_err();
        assert_eq!(error.to_string(), r#"peft_type: expected LORA, found "\u{1b}[31m""#);
    }
}
