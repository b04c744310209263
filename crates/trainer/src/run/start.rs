//! A saved model to start training from.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use models::DecoderConfig;
use nn::{Module, Values};
use ternary_core::noise::Noise;

use crate::error::{Error, Result};

/// The float weights of a saved model. Where experts are to be and the model has a feed-forward net, they are copies
/// of it: the shared one exactly, the others with Gaussian noise (sparse upcycling, arXiv 2212.05055).
#[derive(Debug)]
pub(super) struct Saved {
    path: PathBuf,
    tensors: HashMap<String, Vec<f32>>,
    /// Whether experts are copies, and routers are left to chance.
    is_dense: bool,
    /// Standard deviation of the noise of a copy, in those of its tensor.
    noise: f64,
    seed: u64,
    /// Copies so far: each has random numbers of its own.
    copies: u32,
    /// The tensors that nothing has asked for yet.
    unused: BTreeSet<String>,
}

impl Saved {
    /// Reads a model for a decoder of the shape `wanted`.
    ///
    /// # Errors
    /// A folder that is no model, a model of another shape, and one with ternary weights: what they stand for
    /// would not be what training starts from.
    pub(super) fn read(path: &Path, wanted: &DecoderConfig, noise: f64, seed: u64) -> Result<Self> {
        let model = interop::load(path)?;
        let unfit = |what: &str, expected: String, found: String| Error::Start {
            path: path.to_owned(),
            what: what.to_owned(),
            expected,
            found,
        };
        for (what, expected, found) in differences(wanted, model.config()) {
            if expected != found {
                return Err(unfit(what, expected, found));
            }
        }
        let mut tensors = HashMap::new();
        let mut ternary = None;
        model.visit(&mut |tensor| match tensor.values {
            Values::Real(values) | Values::Single(values) => {
                tensors.insert(tensor.name.to_owned(), values.to_vec());
            }
            Values::Training(_) => {}
            // Those that are rounded in a file were read as f32.
            Values::Bf16 { .. } | Values::Ternary { .. } => ternary = Some(tensor.name.to_owned()),
        });
        if let Some(name) = ternary {
            let expected = "float weights, as train --float leaves them".to_owned();
            return Err(unfit(&name, expected, "ternary ones".to_owned()));
        }
        let is_dense = model.config().mixture.is_none();
        if noise > 0.0 && !is_dense {
            let expected = "0 where experts are no copies".to_owned();
            return Err(unfit("mixture.noise", expected, noise.to_string()));
        }
        let unused = tensors.keys().cloned().collect();
        Ok(Self { path: path.to_owned(), tensors, is_dense, noise, seed, copies: 0, unused })
    }

    /// The values of a tensor to start from; none for those of a router that the model does not have.
    ///
    /// # Errors
    /// A tensor that the model should have and does not.
    pub(super) fn values(&mut self, name: &str) -> Result<Option<Vec<f32>>> {
        if let Some(values) = self.tensors.get(name) {
            self.unused.remove(name);
            return Ok(Some(values.clone()));
        }
        let missing = || Error::Start {
            path: self.path.clone(),
            what: name.to_owned(),
            expected: "a tensor of this name".to_owned(),
            found: "none".to_owned(),
        };
        let part = name.split_once(".mlp.").filter(|_| self.is_dense);
        let (block, part) = part.ok_or_else(missing)?;
        if matches!(part, "gate.weight" | "shared_expert_gate.weight") {
            return Ok(None);
        }
        let expert = part.strip_prefix("experts.").and_then(|part| part.split_once('.'));
        let is_noisy = expert.is_some();
        let part = expert.map(|(_, part)| part).or(part.strip_prefix("shared_expert."));
        let source = part.map(|part| format!("{block}.mlp.{part}")).ok_or_else(missing)?;
        let mut values = self.tensors.get(&source).ok_or_else(missing)?.clone();
        self.unused.remove(&source);
        if is_noisy && self.noise > 0.0 {
            add_noise(&mut values, self.noise, Noise::new(self.seed, self.copies, 0));
            self.copies += 1;
        }
        Ok(Some(values))
    }

    /// Checks that everything the model has was asked for: a bias, say, that the decoder to train does not have
    /// would be lost.
    ///
    /// # Errors
    /// The first tensor that was not.
    pub(super) fn finish(self) -> Result<()> {
        match self.unused.into_iter().next() {
            Some(what) => Err(Error::Start {
                path: self.path,
                what,
                expected: "none of this name".to_owned(),
                found: "a tensor".to_owned(),
            }),
            None => Ok(()),
        }
    }
}

/// Adds normal numbers of `share` standard deviations of the values.
fn add_noise(values: &mut [f32], share: f64, noise: Noise) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
    let mut normal = vec![0.0; values.len()];
    noise.fill_normal(0, &mut normal);
    for (value, z) in values.iter_mut().zip(normal) {
        *value += (share * variance.sqrt() * f64::from(z)) as f32;
    }
}

/// What must be the same in both shapes, each with its setting: what is wanted, and what the model has.
fn differences(
    wanted: &DecoderConfig,
    found: &DecoderConfig,
) -> Vec<(&'static str, String, String)> {
    let of = |config: &DecoderConfig| {
        vec![
            ("vocabulary", config.vocabulary.to_string()),
            ("model.width", config.width.to_string()),
            ("model.layers", config.layers.to_string()),
            ("model.heads", config.heads.to_string()),
            ("width of a head", config.head_width.to_string()),
            ("model.key_value_heads", config.key_heads.to_string()),
            ("model.feed_forward", config.feed_forward.to_string()),
            ("model.nonlinearity", format!("{:?}", config.nonlinearity)),
            ("model.rotary_width", config.rotary_width.to_string()),
            ("model.gated_attention", config.gated_attention.to_string()),
            ("model.head_norms", config.head_norms.to_string()),
            ("model.shifted_norms", config.shifted_norms.to_string()),
            ("delta", config.delta.as_ref().map_or("none".into(), |delta| format!("{delta:?}"))),
            ("model.rope_base", config.rotary_base.to_string()),
            ("scaling of angles", format!("{:?}", config.rotary_scaling)),
            ("epsilon of norms", config.norm_epsilon.to_string()),
            ("norms inside layers", config.sub_norms.to_string()),
            ("model.tied_head", config.tied_head.to_string()),
            ("model.per_layer_embedding", config.per_layer.to_string()),
        ]
    };
    let mut pairs: Vec<_> = of(wanted)
        .into_iter()
        .zip(of(found))
        .map(|((what, wanted), (_, found))| (what, wanted, found))
        .collect();
    if let Some(has) = &found.mixture {
        let wanted = wanted.mixture.as_ref();
        let (experts, shared) = wanted.map_or((0, false), |m| (m.experts, m.shared.is_some()));
        pairs.push(("mixture.experts", experts.to_string(), has.experts.to_string()));
        pairs.push(("mixture.shared", shared.to_string(), has.shared.is_some().to_string()));
    }
    pairs
}

#[cfg(test)]
mod tests;
