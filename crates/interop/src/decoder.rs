//! Decoders to directories and back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use models::{Base, Decoder, Matrix, Numbers, Role, WeightSource};
use nn::{Activations, Lookup, Module, Parameters, Projection, TernaryLinear, Values};

use crate::config::Config;
use crate::directory::{Reader, Writer};
use crate::error::{Error, Problem, Result};
use crate::frozen;
use crate::packed_file::PackedFile;
use crate::tensors::Tensors;
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
    let collected = collect(model, BTreeMap::new()).map_err(Error::Unwritable)?;
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
        let mut merged = Merged::new();
        model.each_merged_weight(|module, shape, weight| {
            merged.insert(module.to_owned(), (shape, weight));
        })?;
        collect(model, merged)
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
/// they are real. It computes the same bits as the model that was saved. Tensors are read one at a time from a map of
/// their file, which must not change meanwhile: to replace a model, [`save`] renames.
///
/// # Errors
/// [`Error::File`] with the first thing in a file that is wrong, [`Error::Io`].
pub fn load(directory: &Path) -> Result<Decoder<f32>> {
    load_as(directory, Base::F32)
}

/// The same with what is real in the files kept as `base` says; what is ternary there stays so.
pub(crate) fn load_as(directory: &Path, base: Base) -> Result<Decoder<f32>> {
    let reader = Reader::open(directory)?;
    let in_config = |problem: Problem| problem.in_file(&reader.path(CONFIG));
    let in_weights = |problem: Problem| problem.in_file(&reader.path(WEIGHTS));
    let config = Config::from_json(&reader.read(CONFIG)?).map_err(in_config)?;
    let file = PackedFile::new(reader.map(WEIGHTS)?).map_err(in_weights)?;
    let mut source = Source { file, activations: config.activations, base };
    let decoder = Decoder::build(config.decoder, &mut source).map_err(in_weights)?;
    source.file.finish().map_err(in_weights)?;
    Ok(decoder)
}

/// The tensors of a model, and what its ternary layers do with activations, if there are any. Of adapted projections they
/// are the `merged` ones, and those of their adapters are left out.
fn collect(
    model: &Decoder<f32>,
    mut merged: Merged,
) -> Result<(Tensors, Option<Activations>), Problem> {
    let adapted: BTreeSet<String> = merged.keys().cloned().collect();
    let is_factor = |name: &str| {
        let module =
            name.strip_suffix(".lora_A.weight").or_else(|| name.strip_suffix(".lora_B.weight"));
        module.is_some_and(|module| adapted.contains(module))
    };
    let mut tensors = Tensors::new();
    let mut common = None;
    let mut result = Ok(());
    model.visit(&mut |tensor| {
        let mut replacement = || merged.remove(tensor.name.strip_suffix(WEIGHT)?);
        let mut add = || match tensor.values {
            Values::Training(_) => Ok(()),
            _ if is_factor(tensor.name) => Ok(()),
            // Moved, so that no matrix is there twice.
            values if let Some((shape, weight)) = replacement() => {
                if let Values::Ternary { bias, .. } | Values::Bf16 { bias, .. } = values {
                    insert_bias(&mut tensors, tensor.name, bias)?;
                }
                tensors.insert_real(tensor.name, &shape, weight)
            }
            Values::Real(values) | Values::Single(values) => {
                let unshaped = || Problem::Missing { what: "shape of", name: tensor.name.into() };
                let shape = model.parameters().shape(tensor.id.ok_or_else(unshaped)?);
                tensors.insert_real(tensor.name, shape, values.to_vec())
            }
            Values::Bf16 { values, shape, bias } => {
                insert_bias(&mut tensors, tensor.name, bias)?;
                tensors.insert_bf16(tensor.name, &shape, values.to_vec())
            }
            Values::Ternary { matrix, activations, bias, .. } => {
                let expected = *common.get_or_insert(activations);
                if activations != expected {
                    let (expected, found) = (format!("{expected:?}"), format!("{activations:?}"));
                    return Err(Problem::of_tensor(tensor.name, "activations", expected, found));
                }
                insert_bias(&mut tensors, tensor.name, bias)?;
                tensors.insert_ternary(tensor.name, matrix.clone())
            }
        };
        if result.is_ok() {
            result = add();
        }
    });
    result.map(|()| (tensors, common))
}

/// Adds the bias beside a weight, if there is one.
fn insert_bias(tensors: &mut Tensors, weight: &str, bias: Option<&[f32]>) -> Result<(), Problem> {
    let Some(bias) = bias else { return Ok(()) };
    let projection = weight.strip_suffix(WEIGHT).unwrap_or(weight);
    tensors.insert_real(&format!("{projection}{BIAS}"), &[bias.len()], bias.to_vec())
}

/// The tensors of a file as weights, each read when a decoder asks for it.
struct Source {
    file: PackedFile,
    activations: Option<Activations>,
    base: Base,
}

impl Source {
    /// The bias of a projection, where there is one. A table has none: one beside it belongs to nothing.
    fn bias(&mut self, name: &str, outputs: usize) -> Result<Option<Vec<f32>>, Problem> {
        let bias = format!("{name}{BIAS}");
        self.file.has(&bias).then(|| self.file.take_real(&bias, &[outputs])).transpose()
    }

    fn matrix(
        &mut self,
        name: &str,
        shape: [usize; 2],
        role: Role,
        parameters: &mut Parameters,
    ) -> Result<Matrix<f32>, Problem> {
        let weight = format!("{name}{WEIGHT}");
        if role == Role::Router || !self.file.is_ternary(&weight) {
            let (base, activations) = (self.base.of(role), self.activations.unwrap_or_default());
            return self.file.take_numbers(&weight, shape, |numbers| {
                frozen::read(name, shape, base, activations, numbers, parameters)
            });
        }
        let matrix = self.file.take_ternary(&weight, shape)?;
        let missing = || {
            let found = "no quantization_config";
            Problem::of_tensor(&weight, "kind", "real", format!("ternary and {found}"))
        };
        let activations = self.activations.ok_or_else(missing)?;
        Ok(Matrix::Ternary(TernaryLinear::new(name, matrix).with_activations(activations)))
    }
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
        // A router has no bias: one beside it belongs to nothing.
        let bias = if role == Role::Router { None } else { self.bias(name, shape[0])? };
        let matrix = self.matrix(name, shape, role, parameters)?;
        Ok(match bias {
            Some(bias) => matrix.with_bias(&bias, parameters)?.projection(),
            None => matrix.projection(),
        })
    }

    fn table(
        &mut self,
        name: &str,
        shape: [usize; 2],
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Lookup<f32>>, Problem> {
        Ok(self.matrix(name, shape, Role::Head, parameters)?.table())
    }

    fn numbers(
        &mut self,
        name: &str,
        shape: &[usize],
        _: Numbers,
        _: &mut Parameters,
    ) -> Result<Vec<f32>, Problem> {
        self.file.take_real(name, shape)
    }
}
