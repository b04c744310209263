//! Tests of training, step by step.

mod exact;
mod fogzo;
mod latent;
mod mining;
mod optimisers;
mod settings;

use super::*;
use crate::config::Layers;
use crate::data::VOCABULARY;
use crate::data::{TrainingWindows, stories};
use crate::run::model::build;
use nn::{Tape, Values, ValuesMut};
use ternary_core::{Granularity, Packing, TernaryMatrix, Weights};

const LENGTH: usize = 32;

impl Step {
    /// What it told, for a step that was taken.
    pub(super) fn taken(self) -> Taken {
        match self {
            Self::Taken(taken) => taken,
            Self::Skipped(skipped) => panic!("{skipped:?}"),
        }
    }
}

impl Training<'_> {
    /// The second half of a step: new weights from the gradients as they are, and new codes.
    pub(super) fn apply(&mut self, step: u32) -> models::Result<Applied> {
        let applied = self.updating.apply(&mut self.model, &self.gradients, step)?;
        self.requantize(step + 1)?;
        Ok(applied)
    }
}

/// A small configuration, changed by some settings.
fn configuration(settings: &[&str]) -> Configuration {
    let mut layers = Layers::default();
    let small = ["model.width=32", "model.layers=1", "model.feed_forward=48", "batch.windows=2"];
    layers.add_assignments(small).unwrap();
    layers.add_assignments(["batch.length=32", "steps=10", "optimiser.warm_up=0"]).unwrap();
    layers.add_assignments(settings.iter().copied()).unwrap();
    layers.resolve().unwrap()
}

/// Some steps of a configuration on a text, and what each told.
fn run<'a>(settings: &[&str], text: &'a [u8], steps: u32) -> (Training<'a>, Vec<Taken>) {
    let configuration = configuration(settings);
    let windows = TrainingWindows::new(configuration.run.seed, text.len(), LENGTH).unwrap();
    let model = build(&configuration, VOCABULARY).unwrap();
    let read = move |index, example: &mut Example| {
        let text: Vec<u32> = text[windows.window(index)].iter().copied().map(u32::from).collect();
        example.set_text(&text);
        Ok(())
    };
    let mut training = Training::new(&configuration, model, Box::new(read), None).unwrap();
    let steps = (0..steps).map(|step| training.step(step).unwrap().taken()).collect();
    (training, steps)
}

fn losses(settings: &[&str]) -> Vec<f64> {
    run(settings, &stories(0, 5000), 5).1.into_iter().map(|step| step.loss).collect()
}

/// All values of a model's real tensors, and the codes with their scales of its ternary ones.
fn tensors(model: &Decoder<f32>) -> (Vec<f32>, Vec<TernaryMatrix>) {
    let (mut real, mut ternary) = (Vec::new(), Vec::new());
    model.visit(&mut |tensor| match tensor.values {
        Values::Real(values) => real.extend_from_slice(values),
        Values::Single(values) | Values::Training(values) => real.extend_from_slice(values),
        Values::Bf16 { .. } => panic!("what trains is not kept so"),
        Values::Ternary { matrix, .. } => ternary.push(matrix.clone()),
    });
    (real, ternary)
}

/// The bits of the latent weights, tensor by tensor.
fn latent_bits(model: &Decoder<f32>) -> Vec<(nn::ParameterId, Vec<u32>)> {
    let mut tensors = Vec::new();
    model.visit(&mut |tensor| {
        if let (Some(id), Values::Ternary { latent: Some(latent), .. }) = (tensor.id, tensor.values)
        {
            let bits = match latent {
                Weights::F32(latent) => latent.iter().map(|w| w.to_bits()).collect(),
                Weights::Bf16(latent) => latent.iter().map(|w| w.to_f32().to_bits()).collect(),
                Weights::F16(latent) => latent.iter().map(|w| w.to_f32().to_bits()).collect(),
            };
            tensors.push((id, bits));
        }
    });
    tensors
}

/// What the optimiser keeps.
fn kept(training: &Training) -> crate::optimiser::State {
    training.updating.optimiser.state().clone()
}

#[test]
fn an_expert_without_bytes_is_the_same_after_a_step_with_weight_decay() {
    let text = stories(0, 5000);
    let sets = ["mixture.experts=100", "mixture.used=1", "optimiser.weight_decay=1"];
    for more in [&[][..], &["fogzo_from=0"], &["ternary.latent=bf16"]] {
        let (mut training, _) = run(&[&sets, more].concat(), &text, 0);
        let before = latent_bits(training.model());
        training.step(0).unwrap().taken();
        let after = latent_bits(training.model());
        let (mut idle, mut busy) = (0, 0);
        for ((id, before), (_, after)) in before.into_iter().zip(after) {
            let is_touched = training.gradients.is_touched(id);
            assert_eq!(before != after, is_touched, "{}", training.model().parameters().name(id));
            if is_touched { busy += 1 } else { idle += 1 }
        }
        // 64 bytes cannot keep 100 experts of three matrices busy.
        assert!(idle >= 3 * 36 && busy > 4, "{idle} and {busy}");
    }
}

#[test]
fn a_ramp_begins_with_the_latent_weights() {
    let whole = ["ternary.activations=real", "ternary.ramp=1"];
    let float = ["float=true"];
    // Before the first update the ramp computes with the latent weights, the float model's own.
    let (ramp, dense) = (losses(&whole)[0], losses(&float)[0]);
    assert!((ramp - dense).abs() < 1e-5, "{ramp} and {dense}");
}

#[test]
fn after_a_step_the_codes_are_those_of_the_latent_weights() {
    let text = stories(0, 5000);
    let (before, _) = run(&[], &text, 0);
    let (after, _) = run(&[], &text, 5);
    assert_ne!(tensors(before.model()).1, tensors(after.model()).1);
    let rule = ternary_core::quantize::Absmean::new(Granularity::Tensor);
    let mut checked = 0;
    after.model().visit(&mut |tensor| {
        if let Values::Ternary { matrix, latent, .. } = tensor.values {
            let (rows, cols, packing) = (matrix.rows(), matrix.cols(), matrix.packing());
            let latent = latent.unwrap();
            let expected = TernaryMatrix::quantize(rows, cols, latent, &rule, packing).unwrap();
            assert_eq!(*matrix, expected, "{}", tensor.name);
            checked += 1;
        }
    });
    assert_eq!(checked, 7, "four projections of attention and three of the feed-forward part");
}

#[test]
fn the_clip_shortens_what_the_optimiser_sees_but_not_the_norm_that_is_told() {
    let text = stories(0, 5000);
    let (start, _) = run(&[], &text, 0);
    let (free, told_free) = run(&["optimiser.clip=1e9"], &text, 5);
    let (clipped, told_clipped) = run(&["optimiser.clip=1e-12"], &text, 5);
    assert_eq!(told_clipped[0].gradient_norm, told_free[0].gradient_norm);
    // Embedding and norms do not decay. A gradient of 10⁻¹² at most, beside an ε of 10⁻⁸, moves them by
    // 10⁻⁴ learning rates a step at most, and by a rounding.
    let moved = |training: &Training| -> f32 {
        let (now, before) = (tensors(training.model()).0, tensors(start.model()).0);
        now.iter().zip(&before).map(|(now, before)| (now - before).abs()).fold(0.0, f32::max)
    };
    assert!(moved(&clipped) <= 5.0 * 6e-3 * 1e-4 + 1e-6, "{}", moved(&clipped));
    assert!(moved(&free) > 6e-3, "{}", moved(&free));
}

#[test]
fn a_gradient_that_is_not_finite_is_named_and_changes_nothing() {
    let text = stories(0, 5000);
    let (mut training, _) = run(&[], &text, 2);
    let (weights, kept) = (tensors(&training.model), kept(&training));
    let first = training.model.parameters().ids().next().unwrap();
    training.gradients.get_mut(first).unwrap()[3] = f32::NAN;
    let error = training.apply(2).unwrap_err().to_string();
    let name = training.model.parameters().name(first);
    assert!(error.contains(name) && error.contains("index 3"), "{error}");
    assert_eq!(tensors(&training.model), weights);
    assert!(self::kept(&training) == kept);
    assert!(training.step(2).is_ok());
}

#[test]
fn weights_that_an_update_made_infinite_are_named_with_the_step_and_what_to_do() {
    let text = stories(0, 5000);
    let (mut training, _) = run(&["optimiser.learning_rate=1e39"], &text, 0);
    let said = training.step(0).unwrap_err().to_string();
    assert!(said.starts_with("step 1: the update made model.layers.0."), "{said}");
    assert!(said.contains("lower optimiser.learning_rate"), "{said}");
}

#[test]
fn a_text_that_cannot_be_read_ends_a_step_before_it_changes_anything() {
    let text = stories(0, 5000);
    let (mut training, _) = run(&[], &text, 1);
    let before = (tensors(&training.model), kept(&training));
    training.read_example = Box::new(|_, _| {
        let (path, found) = ("book.txt".into(), "4 bytes".into());
        Err(Error::TextChanged { path, expected: 5, found })
    });
    assert!(matches!(training.step(1), Err(Error::TextChanged { .. })));
    assert!((tensors(&training.model), kept(&training)) == before);
}

#[test]
fn every_mode_learns_and_ends_with_hard_codes() {
    let text = stories(0, 5000);
    for mode in ste::Mode::ALL {
        let set = format!("ste={mode}");
        let granularity = if mode == ste::Mode::Seq { "row" } else { "tensor" };
        let granularity = format!("ternary.granularity={granularity}");
        let (training, steps) = run(&["steps=20", &set, &granularity], &text, 20);
        let losses: Vec<f64> = steps.iter().map(|step| step.loss).collect();
        let (first, last) = (losses[..3].iter().sum::<f64>(), losses[17..].iter().sum::<f64>());
        assert!(losses.iter().all(|loss| loss.is_finite()) && last < first, "{mode}: {losses:?}");
        let mut is_ternary = false;
        training
            .model()
            .visit(&mut |tensor| is_ternary |= matches!(tensor.values, Values::Ternary { .. }));
        assert_eq!(is_ternary, !mode.is_float(), "{mode}");
        // A model that computes with its codes has the same loss when they are decided without any schedule.
        let Training { mut model, examples, .. } = training;
        let batch = examples.whole();
        let loss = model.loss(batch, &mut Tape::recording()).unwrap();
        let hard =
            Update { seed: 0, step: 1, total: 1, lambda: 1.0, is_noisy: false, levels: None };
        model.requantize(hard).unwrap();
        assert_eq!(model.loss(batch, &mut Tape::recording()).unwrap(), loss, "{mode}");
    }
}

#[test]
fn without_latent_weights_it_learns_and_weighs_less() {
    let text = stories(0, 5000);
    let train = |settings: &[&str]| {
        let (training, steps) = run(settings, &text, 60);
        let mean = |steps: &[Taken]| steps.iter().map(|step| step.loss).sum::<f64>() / 10.0;
        (
            training.model().memory(),
            mean(&steps[..10]),
            mean(&steps[50..]),
            tensors(training.model()),
        )
    };
    let (memory, first, last, weights) = train(&["steps=60", "dqt=true"]);
    assert!(last < first - 0.2, "{first} to {last}");
    assert_eq!(memory.latent, 0);
    assert!(train(&["steps=60", "dqt=true"]).3 == weights);
    assert!(train(&["steps=60"]).0.latent > 4 * memory.packed);
    let (_, _, _, slower) = train(&["steps=60", "dqt=true", "optimiser.dqt_rate=0.01"]);
    assert!(slower != weights);
}

#[test]
fn quantisers_that_learn_their_levels_train() {
    let text = stories(0, 5000);
    for settings in [
        &["ternary.quantiser=ttq", "ternary.threshold_learned=true"][..],
        &["ternary.quantiser=ttq0.1", "optimiser.scale_rate=0.1", "ternary.latent=bf16"],
        &["ternary.quantiser=seq", "ternary.granularity=row"],
        &["ternary.quantiser=lsq"],
    ] {
        let settings: Vec<&str> = settings.iter().copied().chain(["steps=60"]).collect();
        let (training, steps) = run(&settings, &text, 60);
        let mean = |steps: &[Taken]| steps.iter().map(|step| step.loss).sum::<f64>() / 10.0;
        let (first, last) = (mean(&steps[..10]), mean(&steps[50..]));
        assert!(last < first - 0.2, "{settings:?}: {first} to {last}");
        training.model().visit(&mut |tensor| match tensor.values {
            Values::Training(values) if tensor.name.ends_with("threshold") => {
                assert!(values.iter().all(|t| (0.0..1.0).contains(t)), "{}", tensor.name);
            }
            Values::Training(values) => assert!(values.iter().all(|&w| w > 0.0), "{}", tensor.name),
            Values::Ternary { matrix, .. } => {
                assert!(matrix.to_trits().iter().any(|&trit| trit != 0), "{}", tensor.name);
            }
            _ => {}
        });
    }
}
