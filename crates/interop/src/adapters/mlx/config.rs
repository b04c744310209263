//! `adapter_config.json` of MLX-LM.

use std::collections::BTreeSet;

use lora_backward::{Adapters, layer_and_part};
use serde::Serialize;
use ternary_core::Real;

use super::names::path;
use super::{KIND, PARAMETERS};
use crate::adapters::factors::Pairs;
use crate::adapters::files::{Options, WHAT, document, dropout, strength, texts};
use crate::error::Problem;
use crate::json::{Json, Object};

const LORA: &str = "lora";

/// What a configuration says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Config {
    pub(super) rank: usize,
    /// The factor of B·A·x itself.
    pub(super) scale: f64,
    pub(super) dropout: f64,
    /// The last so many layers have adapters, if not all.
    layers: Option<usize>,
    /// Names within a layer, or whole names, of the modules that have one.
    keys: Option<BTreeSet<String>>,
}

#[derive(Serialize)]
struct Written<'a> {
    fine_tune_type: &'static str,
    lora_parameters: Parameters<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    num_layers: i32,
}

#[derive(Serialize)]
struct Parameters<'a> {
    dropout: f64,
    keys: &'a BTreeSet<String>,
    rank: usize,
    scale: f64,
}

impl Config {
    /// Reads the file's contents.
    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, Problem> {
        let json = document(bytes)?;
        let root = json.object(WHAT)?;
        match root.text(KIND)? {
            None | Some(LORA) => {}
            Some(other) => {
                let expected = "lora, as the others change weights in another way";
                return Err(root.refuse(KIND, expected, format!("{other:?}")));
            }
        }
        if root.flag("use_dora")? == Some(true) {
            return Err(root.refuse("use_dora", false, true));
        }
        let parameters = root.need(PARAMETERS, root.object(PARAMETERS)?)?;
        let scale = parameters.need("scale", parameters.real("scale")?)?;
        let scale = strength(&parameters, "scale", scale)?;
        Ok(Self {
            rank: parameters.need("rank", parameters.count("rank")?)?,
            scale,
            dropout: dropout(&parameters, "dropout")?,
            layers: layers(&root)?,
            keys: texts(&parameters, "keys")?.map(|keys| keys.into_iter().collect()),
        })
    }

    /// Checks that MLX-LM would put an adapter into every module that the file has one of: it passes over the others
    /// without a word. How many layers the model has is not known here, only how many the file spans.
    pub(super) fn check_covers(&self, pairs: &Pairs) -> Result<(), Problem> {
        let what = format!("{PARAMETERS}.keys");
        for (module, pair) in &pairs.0 {
            let part = layer_and_part(module).map(|(_, part)| part);
            let has = |keys: &BTreeSet<String>| {
                keys.contains(&pair.path) || part.is_some_and(|part| keys.contains(part))
            };
            if !self.keys.as_ref().is_none_or(has) {
                let expected = "every module of the tensors, as MLX-LM passes over others";
                return Err(Problem::mismatch(what, expected, format!("none for {:?}", pair.path)));
            }
        }
        let numbers =
            || pairs.0.keys().filter_map(|module| layer_and_part(module)).map(|(layer, _)| layer);
        let (Some(last), Some(first), Some(layers)) =
            (numbers().max(), numbers().min(), self.layers)
        else {
            return Ok(());
        };
        if last - first < layers {
            return Ok(());
        }
        let expected = format!("at least {}, to reach layer {first} from {last}", last - first + 1);
        Err(Problem::mismatch("num_layers", expected, layers))
    }

    /// The configuration of adapters, which must agree in rank and factor.
    pub(super) fn of<T: Real>(adapters: &Adapters<T>, options: &Options) -> Result<Self, Problem> {
        let missing = || Problem::mismatch("adapters", "one at least", "none");
        let (first, common) = adapters.iter().next().ok_or_else(missing)?;
        for (module, adapter) in adapters.iter() {
            if (adapter.rank, adapter.factor()) != (common.rank, common.factor()) {
                let expected = format!(
                    "one rank and one factor, as MLX-LM has: {} and {} of {first}",
                    common.rank,
                    common.factor()
                );
                let found = format!("{} and {} of {module}", adapter.rank, adapter.factor());
                return Err(Problem::mismatch("adapters", expected, found));
            }
        }
        let key = |(module, _)| match layer_and_part(module) {
            Some((_, part)) => part.to_owned(),
            None => path(options.prefix, module),
        };
        Ok(Self {
            rank: common.rank,
            scale: common.factor(),
            dropout: adapters.dropout,
            layers: None,
            keys: Some(adapters.iter().map(key).collect()),
        })
    }

    /// The text of the file.
    pub(super) fn to_json(&self, options: &Options) -> Result<Vec<u8>, Problem> {
        let none = BTreeSet::new();
        let keys = self.keys.as_ref().unwrap_or(&none);
        let Self { rank, scale, dropout, .. } = *self;
        let written = Written {
            fine_tune_type: LORA,
            lora_parameters: Parameters { dropout, keys, rank, scale },
            model: options.base.as_deref(),
            num_layers: -1,
        };
        let mut json = serde_json::to_vec_pretty(&written)
            .map_err(|source| Problem::Json { what: WHAT, source })?;
        json.push(b'\n');
        Ok(json)
    }
}

/// How many layers from the last have adapters; none at all and less mean every one.
fn layers(root: &Object<'_>) -> Result<Option<usize>, Problem> {
    /// What the key was called before.
    const OLD: &str = "lora_layers";
    const KEY: &str = "num_layers";
    for key in [KEY, OLD] {
        match root.get(key) {
            None => {}
            Some(Json::Real(layers)) if *layers < 0.0 => return Ok(None),
            Some(_) => return Ok(root.count(key)?.filter(|&layers| layers > 0)),
        }
    }
    Ok(None)
}
