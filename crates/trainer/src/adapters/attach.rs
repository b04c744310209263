//! [`attach`]: the adapters that a configuration asks for, put into a model.

use interop::adapters::{Ranks, Selection, resolve};
use interop::lora_backward::{Adapter, AdapterError, Adapters, Scaling};
use models::Decoder;

use crate::config::{self, Configuration};
use crate::error::Result;
use crate::randomness::Purpose;

/// Puts the adapters that a configuration asks for into a model, as they are before they train, and freezes the rest. The
/// model computes what it did.
///
/// # Errors
/// [`config::Error::Adapters`] for targets, layers and ranks that the model cannot have, with what it has.
pub(crate) fn attach(configuration: &Configuration, model: &mut Decoder<f32>) -> Result<()> {
    let settings = &configuration.lora;
    let selection = Selection {
        targets: settings.targets.modules(),
        exclude: settings.exclude.as_ref().map(|targets| targets.modules()),
        layers: settings.layers.as_ref().map(|layers| layers.numbers()),
        layers_pattern: Vec::new(),
    };
    let scaling =
        Scaling { alpha: settings.alpha, rank_stabilised: settings.rank_stabilised };
    let places = model.places();
    let targets = resolve(&places, &selection, &Ranks::uniform(settings.rank, scaling))
        .map_err(|problem| config::Error::Adapters { problem: problem.to_string() })?;
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
