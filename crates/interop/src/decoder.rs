//! Decoders to directories and back.

use std::collections::BTreeMap;
use std::path::Path;

use models::{Decoder, Numbers, Role, WeightSource};
use nn::{Activations, Dense, Lookup, Module, Parameters, Projection, TernaryLinear, Values};
use ternary_core::Real;

use crate::config::Config;
use crate::directory::{Reader, Writer};
use crate::error::{Error, Problem, Result};
use crate::tensors::{Tensor, Tensors};
use crate::tokenizer;

pub(crate) const CONFIG: &str = "config.json";
pub(crate) const WEIGHTS: &str = "model.safetensors";
/// What the names of a projection's tensors end in.
pub(crate) const WEIGHT: &str = ".weight";
pub(crate) const BIAS: &str = ".bias";

/// Writes a model to a directory, over the one that may be there. The weights are those that the model
/// computes with; latent weights and learned levels are left out, and a layer on a ramp (λ < 1) is saved as the ternary
/// weights at its end.
///
/// Whenever this fails or is killed, the directory holds the old model or the new one.
///
/// # Errors
/// [`Error::Unwritable`] for a model whose numbers are not finite, whose ternary layers differ in what they do with
/// activations, or that has adapters; [`Error::Io`].
pub fn save(model: &Decoder<f32>, directory: &Path) -> Result<()> {
    save_with(model, directory, None)
}

/// [`save`], with the `tokenizer.json` that the model's tokens come from, if there is one.
///
/// # Errors
/// As [`save`].
pub fn save_with(model: &Decoder<f32>, directory: &Path, tokenizer: Option<&[u8]>) -> Result<()> {
    if model.is_adapted() {
        let expected = "one without adapters, which have files of their own: detach them";
        let problem = Problem::mismatch("the model", expected, "adapters");
        return Err(Error::Unwritable(problem));
    }
    let collected = collect(model, &BTreeMap::new()).map_err(Error::Unwritable)?;
    write(model, collected, directory, tokenizer.map(|bytes| (tokenizer::FILE, bytes)))
}

/// [`save`] of a model with its adapters merged into it: each adapted projection is one real matrix W + s·B·A, and the
/// others are what they were. `others` are files that go with the model, such as its tokenizer, by their names.
///
/// # Errors
/// As [`save`], and for a projection whose weights cannot be seen.
pub fn save_merged(
    model: &Decoder<f32>,
    directory: &Path,
    others: &[(&str, Vec<u8>)],
) -> Result<()> {
    let merged = || -> Result<_, Problem> {
        let mut merged = BTreeMap::new();
        for (module, adapter) in model.adapters().iter() {
            if let Some(weight) = model.merged_weight(module)? {
                merged.insert(module.to_owned(), ([adapter.outputs, adapter.inputs], weight));
            }
        }
        collect(model, &merged)
    };
    let collected = merged().map_err(Error::Unwritable)?;
    write(model, collected, directory, others.iter().map(|(name, bytes)| (*name, &**bytes)))
}

fn write<'a>(
    model: &Decoder<f32>,
    (tensors, activations): (Tensors, Option<Activations>),
    directory: &Path,
    others: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<()> {
    let config = Config { decoder: model.config().clone(), activations };
    let config = config.to_json().map_err(Error::Unwritable)?;
    let mut writer = Writer::begin(directory)?;
    writer.file(CONFIG, |out| out.write_all(&config))?;
    writer.file(WEIGHTS, |out| tensors.write(out))?;
    for (name, bytes) in others {
        writer.file(name, |out| out.write_all(bytes))?;
    }
    writer.commit()
}

/// Matrices that stand in the place of adapted projections, by the names of those, with their shapes.
type Merged = BTreeMap<String, ([usize; 2], Vec<f32>)>;

/// Reads a model from a directory: frozen ternary layers where its weights are ternary, dense ones where
/// they are real. It computes the same bits as the model that was saved.
///
/// # Errors
/// [`Error::File`] with the first thing in a file that is wrong, [`Error::Io`].
pub fn load(directory: &Path) -> Result<Decoder<f32>> {
    let reader = Reader::open(directory)?;
    let in_config = |problem: Problem| problem.in_file(&reader.path(CONFIG));
    let in_weights = |problem: Problem| problem.in_file(&reader.path(WEIGHTS));
    let config = Config::from_json(&reader.read(CONFIG)?).map_err(in_config)?;
    let file = reader.read(WEIGHTS)?;
    let tensors = Tensors::from_bytes(&file).map_err(in_weights)?;
    drop(file);
    let mut source = Source { tensors, activations: config.activations };
    let decoder = Decoder::build(config.decoder, &mut source).map_err(in_weights)?;
    source.tensors.finish().map_err(in_weights)?;
    Ok(decoder)
}

/// The tensors of a model, and what its ternary layers do with activations, if there are any. Of adapted projections they
/// are the `merged` ones, and those of their adapters are left out.
fn collect(
    model: &Decoder<f32>,
    merged: &Merged,
) -> Result<(Tensors, Option<Activations>), Problem> {
    let is_factor = |name: &str| {
        let module =
            name.strip_suffix(".lora_A.weight").or_else(|| name.strip_suffix(".lora_B.weight"));
        module.is_some_and(|module| merged.contains_key(module))
    };
    let mut tensors = Tensors::new();
    let mut common = None;
    let mut result = Ok(());
    model.visit(&mut |tensor| {
        let module = tensor.name.strip_suffix(WEIGHT).and_then(|module| merged.get(module));
        let mut add = || match tensor.values {
            _ if is_factor(tensor.name) => Ok(()),
            Values::Real(_) | Values::Single(_) if let Some((shape, weight)) = module => {
                tensors.insert_real(tensor.name, shape, weight.clone())
            }
            Values::Ternary { bias, .. } if let Some((shape, weight)) = module => {
                if let Some(bias) = bias {
                    let projection = tensor.name.strip_suffix(WEIGHT).unwrap_or(tensor.name);
                    tensors.insert_real(
                        &format!("{projection}{BIAS}"),
                        &[shape[0]],
                        bias.to_vec(),
                    )?;
                }
                tensors.insert_real(tensor.name, shape, weight.clone())
            }
            Values::Real(values) | Values::Single(values) => {
                let unshaped = || Problem::Missing { what: "shape of", name: tensor.name.into() };
                let shape = model.parameters().shape(tensor.id.ok_or_else(unshaped)?);
                tensors.insert_real(tensor.name, shape, values.to_vec())
            }
            Values::Training(_) => Ok(()),
            Values::Ternary { matrix, activations, bias, .. } => {
                let expected = *common.get_or_insert(activations);
                if activations != expected {
                    let (expected, found) = (format!("{expected:?}"), format!("{activations:?}"));
                    return Err(Problem::of_tensor(tensor.name, "activations", expected, found));
                }
                if let Some(bias) = bias {
                    let projection = tensor.name.strip_suffix(WEIGHT).unwrap_or(tensor.name);
                    let name = format!("{projection}{BIAS}");
                    tensors.insert_real(&name, &[matrix.rows()], bias.to_vec())?;
                }
                tensors.insert_ternary(tensor.name, matrix.clone())
            }
        };
        if result.is_ok() {
            result = add();
        }
    });
    result.map(|()| (tensors, common))
}

/// The tensors of a file as weights.
struct Source {
    tensors: Tensors,
    activations: Option<Activations>,
}

/// A projection of either kind.
enum Weight {
    Dense(Dense<f32>),
    Ternary(TernaryLinear),
}

impl Source {
    /// The bias of a projection, where there is one. A table has none: one beside it belongs to nothing.
    fn bias(&mut self, name: &str, outputs: usize) -> Result<Option<Vec<f32>>, Problem> {
        let bias = format!("{name}{BIAS}");
        let is_there = self.tensors.get(&bias).is_some();
        is_there.then(|| self.tensors.take_real(&bias, &[outputs])).transpose()
    }

    fn weight(
        &mut self,
        name: &str,
        shape: [usize; 2],
        parameters: &mut Parameters,
    ) -> Result<Weight, Problem> {
        let weight = format!("{name}{WEIGHT}");
        match self.tensors.get(&weight) {
            Some(Tensor::Ternary(_)) => {
                let matrix = self.tensors.take_ternary(&weight, shape)?;
                let missing = || {
                    let found = "no quantization_config";
                    Problem::of_tensor(&weight, "kind", "real", format!("ternary and {found}"))
                };
                let activations = self.activations.ok_or_else(missing)?;
                let layer = TernaryLinear::new(name, matrix).with_activations(activations);
                Ok(Weight::Ternary(layer))
            }
            _ => Ok(Weight::Dense(self.real(name, shape, parameters)?)),
        }
    }

    fn real(
        &mut self,
        name: &str,
        shape: [usize; 2],
        parameters: &mut Parameters,
    ) -> Result<Dense<f32>, Problem> {
        let values = self.tensors.take_real(&format!("{name}.weight"), &shape)?;
        let layer = Dense::from_weight(name, shape[1], values, parameters);
        Ok(layer.map_err(models::Error::from)?)
    }
}

/// A dense layer with the bias of a file.
pub(crate) fn with_bias<T: Real>(
    layer: Dense<T>,
    values: &[T],
    parameters: &mut Parameters,
) -> Result<Dense<T>, models::Error> {
    let mut layer = layer.with_bias(parameters)?;
    if let Some(bias) = layer.bias_mut() {
        bias.copy_from_slice(values);
    }
    Ok(layer)
}

impl WeightSource<f32> for Source {
    type Error = Problem;

    fn projection(
        &mut self,
        name: &str,
        shape: [usize; 2],
        role: Role,
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Projection<f32>>, Problem> {
        if role == Role::Router {
            return Ok(Box::new(self.real(name, shape, parameters)?));
        }
        let bias = self.bias(name, shape[0])?;
        Ok(match self.weight(name, shape, parameters)? {
            Weight::Dense(layer) => Box::new(match bias {
                Some(bias) => with_bias(layer, &bias, parameters)?,
                None => layer,
            }),
            Weight::Ternary(layer) => Box::new(match bias {
                Some(bias) => layer.with_bias(bias).map_err(models::Error::from)?,
                None => layer,
            }),
        })
    }

    fn table(
        &mut self,
        name: &str,
        shape: [usize; 2],
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Lookup<f32>>, Problem> {
        Ok(match self.weight(name, shape, parameters)? {
            Weight::Dense(layer) => Box::new(layer),
            Weight::Ternary(layer) => Box::new(layer),
        })
    }

    fn numbers(
        &mut self,
        name: &str,
        shape: &[usize],
        _: Numbers,
        _: &mut Parameters,
    ) -> Result<Vec<f32>, Problem> {
        self.tensors.take_real(name, shape)
    }
}
