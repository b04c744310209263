//! Adapters of PEFT read here, ours written for PEFT, and the training of adapters in f64.

use std::path::Path;

use interop::adapters::{Options, peft};
use interop::hugging_face::{Weights, load};
use lora_backward::{Adapter, Adapters, Scaling};
use models::Decoder;
use nn::{Compute, Tape};
use ternary_core::noise::Noise;

use super::check::{Checks, Finding};
use super::made::{BASE, Heard, Made, OURS};
use crate::fixtures::model::Batch;
use crate::parity::{Outcome, TokenRows, descend, token_rows, wide};

/// The adapters that Python has to make of each model.
const ADAPTERS: [&str; 5] = ["all_linear", "expression", "layers", "list", "patterns"];
/// Of the largest logit, in f32.
const LOGITS: f64 = 1e-4;
/// Of each loss, in f64.
const LOSSES: f64 = 1e-8;
/// Steps of training.
const STEPS: usize = 20;

/// The base model, and every adapter that PEFT wrote for it.
pub(super) fn read_theirs(
    checks: &mut Checks,
    of_kind: impl Fn(&str) -> String,
    place: &Path,
    made: &Made,
) {
    checks.add(of_kind("the model without adapters"), || {
        let found = logits(&opened::<f32>(place)?, made)?;
        Ok(Finding::near(&found, &made.base, LOGITS))
    });
    for name in ADAPTERS {
        checks.add(of_kind(&format!("we load PEFT's adapter {name:?}")), || {
            let expected = made.adapters.get(name).ok_or("Python has made none")?;
            let model = adapted::<f32>(place, &place.join(format!("adapter-{name}")))?;
            Ok(Finding::near(&logits(&model, made)?, expected, LOGITS))
        });
    }
}

/// Losses before the steps of AdamW, from the same adapter on the same batches as PEFT's.
pub(super) fn losses(place: &Path, made: &Made) -> Outcome<Finding> {
    let training = &made.training;
    let mut model = adapted::<f64>(place, &place.join(format!("adapter-{}", training.adapter)))?;
    let batches = training.batches().iter().map(token_rows).collect::<Outcome<Vec<_>>>()?;
    let found = descend(&mut model, &batches, &training.adamw)?;
    Ok(Finding::each_near(&found, &training.losses, STEPS, LOSSES))
}

/// Writes an adapter for every projection that PEFT can adapt, and returns what the model computes with it.
pub(super) fn write_ours(place: &Path, made: &Made) -> Outcome<Vec<f64>> {
    let base = place.join(BASE);
    let mut model = opened::<f32>(place)?;
    let has_experts = model.config().mixture.is_some();
    let mut adapters = Adapters::default();
    for (number, place) in model.places().into_iter().enumerate() {
        // PEFT takes the shared expert for one of the others, and routers are no modules of their own.
        if matches!(place.kind, "router" | "shared expert") {
            continue;
        }
        // It adapts all experts of a layer as one array: they have one rank and one factor.
        let rank = if place.kind == "attention" && !has_experts { 2 } else { 4 };
        let scaling = Scaling { alpha: 6.0, rank_stabilised: !has_experts };
        let shape = [place.outputs, place.inputs];
        let mut adapter = Adapter::kaiming(&place.name, shape, rank, scaling, 1)?;
        Noise::new(2, number as u32, 0).fill_normal(0, &mut adapter.b);
        adapter.b.iter_mut().for_each(|number| *number *= 0.2);
        adapters.insert(place.name, adapter)?;
    }
    peft::write(&place.join(OURS), &adapters, &Options::for_base(&base)?)?;
    model.attach(&adapters)?;
    logits(&model, made)
}

/// Holds what PEFT computes with that adapter to what we did.
pub(super) fn read_ours(heard: &Heard, ours: Outcome<Vec<f64>>) -> Outcome<Finding> {
    Ok(Finding::near(&ours?, heard.ours()?, LOGITS))
}

fn opened<T: Compute>(place: &Path) -> Outcome<Decoder<T>> {
    Ok(load(&place.join(BASE), Weights::Frozen)?)
}

fn adapted<T: Compute>(place: &Path, adapter: &Path) -> Outcome<Decoder<T>> {
    let mut model = opened(place)?;
    model.attach(&interop::adapters::read(adapter)?)?;
    Ok(model)
}

fn logits(model: &Decoder<f32>, made: &Made) -> Outcome<Vec<f64>> {
    let labels = vec![Vec::new(); made.tokens.len()];
    let rows = token_rows(&Batch { tokens: made.tokens.clone(), labels })?;
    let TokenRows { sequences, tokens, .. } = rows;
    Ok(wide(&model.scores(&tokens, sequences, &mut Tape::inference())?))
}
