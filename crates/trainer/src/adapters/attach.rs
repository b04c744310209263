//! [`attach`]: the adapters that a configuration asks for, put into a model; [`open`]: those of a folder.

use std::collections::HashMap;
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
    let adapters: Option<Adapters<f32>> = match adapter {
        Some(path) => Some(interop::adapters::read(&adapter_folder(path)?)?),
        None => None,
    };
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
        for (target, place) in &targets {
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

/// The adapters that settings ask for in a model of these places, each with its place. All of them are all but those of
/// shared experts, which PEFT takes for the other experts and drops: they have one where they are named.
///
/// # Errors
/// [`config::Error::Adapters`].
pub(crate) fn targets<'a>(
    settings: &Lora,
    places: &'a [Place],
) -> Result<Vec<(Target, &'a Place)>, config::Error> {
    let selection = Selection {
        targets: settings.targets.modules(),
        exclude: settings.exclude.as_ref().map(Targets::modules),
        layers: settings.layers.as_ref().map(LayerList::numbers),
        layers_pattern: Vec::new(),
    };
    let scaling = Scaling { alpha: settings.alpha, rank_stabilised: settings.rank_stabilised };
    let targets = resolve(places, &selection, &Ranks::uniform(settings.rank, scaling))
        .map_err(|problem| config::Error::Adapters { problem: problem.to_string() })?;
    // A mixture of many experts has tens of thousands of them.
    let named: HashMap<&str, &Place> =
        places.iter().map(|place| (place.name.as_str(), place)).collect();
    let is_meant =
        |place: &Place| settings.targets != Targets::AllLinear || place.kind != "shared expert";
    let with_place = |target: Target| {
        let place = named.get(target.module.as_str()).copied()?;
        is_meant(place).then_some((target, place))
    };
    let targets: Vec<_> = targets.into_iter().filter_map(with_place).collect();
    if targets.is_empty() {
        let problem = "targets: expected projections for all-linear, found those of shared experts alone, which it leaves \
                       out: name them with --targets";
        return Err(config::Error::Adapters { problem: problem.to_owned() });
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use models::{DecoderConfig, Mixture};

    use super::*;

    #[test]
    fn a_shared_expert_has_an_adapter_where_it_is_named() {
        let mixture = Mixture {
            experts: 3,
            used: 2,
            width: 6,
            shared: Some(7),
            dense_layers: Vec::new(),
            balance: 0.0,
            z: 0.0,
        };
        let places = DecoderConfig { mixture: Some(mixture), ..DecoderConfig::tiny() }.places();
        let kinds = |chosen: &str| {
            let settings = Lora { targets: chosen.parse().unwrap(), ..Lora::default() };
            let targets = targets(&settings, &places).unwrap();
            let is = |kind: &str| targets.iter().any(|(_, place)| place.kind == kind);
            ["attention", "expert", "shared expert"].map(is)
        };
        assert_eq!(kinds("all-linear"), [true, true, false]);
        assert_eq!(kinds("up_proj"), [false, true, true]);
        assert_eq!(kinds(r".*\.shared_expert\..*"), [false, false, true]);
    }
}
