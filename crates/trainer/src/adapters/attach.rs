//! [`attach`]: the adapters that a configuration asks for, put into a model; [`open`]: those of a folder.

use std::path::Path;

use interop::adapters::{Ranks, Selection, Target, resolve};
use interop::lora_backward::{Adapter, AdapterError, Adapters, Place, Scaling};
use models::{Base, Decoder};

use super::{LayerList, Targets};
use crate::config::{self, Configuration, Lora};
use crate::error::Result;
use crate::randomness::Purpose;
use crate::run::{adapter_folder, trained_beside};

/// Reads a model to be used as it is, with the adapters of a folder beside it, if there is one. A run of adapters says how
/// the model was kept.
///
/// # Errors
/// Folders that cannot be read, and adapters that are for another model.
pub(crate) fn open(model: &Path, adapter: Option<&Path>) -> Result<Decoder<f32>> {
    // Adapters that are none are told before a large model is read.
    let adapters: Option<Adapters<f32>> =
        adapter.map(|path| interop::adapters::read(&adapter_folder(path))).transpose()?;
    let mut decoder = interop::open_as(model, adapter.map_or(Ok(Base::F32), trained_beside)?)?;
    if let Some(adapters) = adapters {
        decoder.attach(&adapters)?;
    }
    Ok(decoder)
}

/// Puts the adapters that a configuration asks for into a model, as they are before they train, and freezes the rest. The
/// model computes what it did.
///
/// # Errors
/// [`config::Error::Adapters`] for targets, layers and ranks that the model cannot have, with what it has.
pub(crate) fn attach(configuration: &Configuration, model: &mut Decoder<f32>) -> Result<()> {
    let settings = &configuration.lora;
    let places = model.places();
    let targets = targets(settings, &places)?;
    let seed = Purpose::Adapters.seed(configuration.run.seed);
    let mut adapters = Adapters::default();
    adapters.dropout = settings.dropout;
    let mut insert = || -> std::result::Result<(), AdapterError> {
        for target in &targets {
            let Some(place) = places.iter().find(|place| place.name == target.module) else {
                continue;
            };
            let shape = [place.outputs, place.inputs];
            let module = &target.module;
            let adapter = Adapter::kaiming(module, shape, target.rank, target.scaling, seed)?;
            adapters.insert(module, adapter)?;
        }
        Ok(())
    };
    insert().map_err(|error| config::Error::Adapters { problem: error.to_string() })?;
    Ok(model.attach(&adapters)?)
}

/// The adapters that settings ask for in a model of these places.
///
/// # Errors
/// [`config::Error::Adapters`].
pub(crate) fn targets(settings: &Lora, places: &[Place]) -> Result<Vec<Target>, config::Error> {
    let selection = Selection {
        targets: settings.targets.modules(),
        exclude: settings.exclude.as_ref().map(Targets::modules),
        layers: settings.layers.as_ref().map(LayerList::numbers),
        layers_pattern: Vec::new(),
    };
    let scaling = Scaling { alpha: settings.alpha, rank_stabilised: settings.rank_stabilised };
    resolve(places, &selection, &Ranks::uniform(settings.rank, scaling))
        .map_err(|problem| config::Error::Adapters { problem: problem.to_string() })
}
