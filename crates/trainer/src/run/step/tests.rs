use super::*;
use crate::config::Layers;
use crate::data::stories;
use crate::run::model::build;
use nn::Values;
use ternary_core::{Granularity, Packing, TernaryMatrix, Weights};

const LENGTH: usize = 32;

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
fn run<'a>(settings: &[&str], text: &'a [u8], steps: u32) -> (Training<'a>, Vec<Step>) {
    let configuration = configuration(settings);
    let windows = TrainingWindows::new(configuration.run.seed, text.len(), LENGTH).unwrap();
    let model = build(&configuration).unwrap();
    let mut training = Training::new(&configuration, model, text, windows).unwrap();
    let steps = (0..steps).map(|step| training.step(step).unwrap()).collect();
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
        Values::Ternary { matrix, .. } => ternary.push(matrix.clone()),
    });
    (real, ternary)
}

#[test]
fn every_setting_that_should_change_the_training_does() {
    let default = losses(&[]);
    for setting in [
        "seed=1",
        "float=true",
        "model.layers=2",
        "model.heads=2",
        "model.key_value_heads=1",
        "model.feed_forward=32",
        "model.tied_head=false",
        "model.rope_base=100",
        "ternary.quantiser=twn",
        "ternary.granularity=row",
        "ternary.granularity=16",
        "ste=clipped-hard",
        "float_steps=2",
        "ternary.activations=real",
        "ternary.latent=bf16",
        "ternary.embedding=true",
        "ternary.ramp=1",
        "ternary.scale_average=0.9",
        "ternary.quantiser=lsq",
        "ternary.quantiser=ttq",
        "ternary.boundary_noise=1",
        "ternary.dead_bias=0.1",
        "batch.windows=3",
        "optimiser.learning_rate=1e-3",
        "optimiser.final_share=0.5",
        "optimiser.warm_up=0.5",
        "optimiser.beta1=0.5",
        "optimiser.beta2=0.5",
        "optimiser.epsilon=1",
        "optimiser.weight_decay=100",
        "optimiser.clip=1e-6",
        "steps=5",
        "fogzo_from=0.2",
        "mixture.experts=3",
        "ohem=0.7",
        "mining.threshold=5.5",
    ] {
        let changed = losses(&[setting]);
        assert!(changed.iter().all(|loss| loss.is_finite()), "{setting}: {changed:?}");
        assert_ne!(changed, default, "{setting}");
    }
}

#[test]
fn with_and_without_that_bias_training_starts_from_the_same_weights() {
    let text = stories(0, 5000);
    let (plain, _) = run(&[], &text, 0);
    let (biased, _) = run(&["ste=tequila"], &text, 0);
    assert!(tensors(biased.model()) == tensors(plain.model()));
}

#[test]
fn weights_that_are_zero_are_a_bias_of_every_projection_but_no_table() {
    let text = stories(0, 5000);
    for latent in ["ternary.latent=f32", "ternary.latent=bf16"] {
        let (training, steps) =
            run(&["steps=40", "ste=tequila", "ternary.embedding=true", latent], &text, 40);
        let mean = |steps: &[Step]| steps.iter().map(|step| step.loss).sum::<f64>() / 10.0;
        assert!(mean(&steps[30..]) < mean(&steps[..10]) - 0.2, "{steps:?}");
        training.model().visit(&mut |tensor| {
            if let Values::Ternary { bias, .. } = tensor.values {
                assert_eq!(bias.is_none(), tensor.name.contains("embed"), "{}", tensor.name);
                assert!(bias.is_none_or(|bias| bias.iter().any(|&b| b != 0.0)), "{}", tensor.name);
            }
        });
        let directory = crate::temporary::TemporaryFolder::new();
        interop::save(training.model(), directory.path()).unwrap();
        let loaded = interop::load(directory.path()).unwrap();
        let loss = |model: &Decoder<f32>| {
            model.loss(training.examples.batch(), &mut Tape::recording()).unwrap()
        };
        assert_eq!(loss(&loaded), loss(training.model()));
    }
}

/// The mean distance of latent weights from what they are rounded to, in scales.
fn distance(model: &Decoder<f32>) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    model.visit(&mut |tensor| {
        if let Values::Ternary { matrix, latent: Some(latent), .. } = tensor.values {
            let latent: Vec<f32> = match latent {
                ternary_core::Weights::F32(latent) => latent.to_vec(),
                ternary_core::Weights::Bf16(latent) => latent.iter().map(|w| w.to_f32()).collect(),
                ternary_core::Weights::F16(latent) => latent.iter().map(|w| w.to_f32()).collect(),
            };
            let scale = f64::from(matrix.scales().positive()[0]);
            let apart = latent.iter().zip(matrix.to_f32()).map(|(w, q)| f64::from((w - q).abs()));
            sum += apart.sum::<f64>() / scale;
            count += latent.len();
        }
    });
    sum / f64::from(count as u32)
}

#[test]
fn the_pull_begins_at_its_share_and_brings_latent_weights_to_the_grid() {
    let text = stories(0, 5000);
    for latent in ["ternary.latent=f32", "ternary.latent=bf16"] {
        let settings = ["steps=40", "ternary.pull_from=0.5", latent];
        let with = |pull: &'static str| [&settings[..], &[pull]].concat();
        let (free, free_steps) = run(&settings, &text, 40);
        let (pulled, steps) = run(&with("ternary.pull=100"), &text, 40);
        // The update after 21 steps is the first that is pulled; it shows in the loss of the next.
        let losses = |steps: &[Step]| steps.iter().map(|step| step.loss).collect::<Vec<_>>();
        assert_eq!(losses(&steps)[..21], losses(&free_steps)[..21]);
        assert_ne!(losses(&steps)[21..], losses(&free_steps)[21..]);
        let (free, pulled) = (distance(free.model()), distance(pulled.model()));
        assert!(pulled < 0.8 * free, "{latent}: {pulled} and {free}");
        assert!(
            tensors(run(&with("ternary.pull=0"), &text, 5).0.model())
                == tensors(run(&settings, &text, 5).0.model())
        );
    }
}

#[test]
fn with_a_pull_the_bits_are_the_same_on_any_number_of_threads() {
    let text = stories(0, 5000);
    let settings =
        ["ste=cage", "ternary.pull_from=0", "ternary.latent=bf16", "ternary.dead_bias=0.1"];
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| tensors(run(&settings, &text, 3).0.model()))
    };
    let one = on(1);
    assert!(on(2) == one && on(3) == one);
}

#[test]
fn settings_of_one_kind_of_weights_change_those_weights() {
    let bf16 = losses(&["ternary.latent=bf16"]);
    assert_ne!(losses(&["ternary.latent=bf16", "ternary.stochastic_rounding=false"]), bf16);
    assert_eq!(losses(&["ternary.stochastic_rounding=false"]), losses(&[]));
    let untied = losses(&["model.tied_head=false"]);
    assert_ne!(losses(&["model.tied_head=false", "ternary.head=false"]), untied);
}

#[test]
fn settings_of_a_mixture_change_the_training() {
    let two = losses(&["mixture.experts=3"]);
    for setting in
        ["mixture.used=1", "mixture.shared=true", "mixture.balance=1", "mixture.z=1", "float=true"]
    {
        assert_ne!(losses(&["mixture.experts=3", setting]), two, "{setting}");
    }
    let text = stories(0, 5000);
    let even = ["mixture.experts=3", "mixture.balance=0.5", "mixture.z=0"];
    let (_, steps) = run(&even, &text, 2);
    // An even router has half of 1 in its only layer; a random one is not far from it.
    assert!(
        steps.iter().all(|step| step.router_loss.is_some_and(|loss| (0.45..0.7).contains(&loss)))
    );
    assert_eq!(run(&[], &text, 1).1[0].router_loss, None);
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

#[test]
fn an_expert_without_bytes_is_the_same_after_a_step_with_weight_decay() {
    let text = stories(0, 5000);
    let sets = ["mixture.experts=100", "mixture.used=1", "optimiser.weight_decay=1"];
    for more in [&[][..], &["fogzo_from=0"], &["ternary.latent=bf16"]] {
        let (mut training, _) = run(&[&sets, more].concat(), &text, 0);
        let before = latent_bits(training.model());
        training.step(0).unwrap();
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
fn how_trits_are_packed_changes_nothing() {
    assert_eq!(losses(&["ternary.packing=five-trits"]), losses(&[]));
    let text = stories(0, 5000);
    let (training, _) = run(&["ternary.packing=five-trits"], &text, 1);
    let (_, matrices) = tensors(training.model());
    assert!(!matrices.is_empty());
    assert!(matrices.iter().all(|matrix| matrix.packing() == Packing::FiveTrits));
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
    let (weights, optimiser) = (tensors(&training.model), training.optimiser.clone());
    let first = training.model.parameters().ids().next().unwrap();
    training.gradients.get_mut(first)[3] = f32::NAN;
    let error = training.apply(2).unwrap_err().to_string();
    let name = training.model.parameters().name(first);
    assert!(error.contains(name) && error.contains("index 3"), "{error}");
    assert_eq!(tensors(&training.model), weights);
    assert_eq!(training.optimiser, optimiser);
    assert!(training.step(2).is_ok());
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
        let batch = examples.batch();
        let loss = model.loss(batch, &mut Tape::recording()).unwrap();
        let hard =
            Update { seed: 0, step: 1, total: 1, lambda: 1.0, is_noisy: false, levels: None };
        model.requantize(hard).unwrap();
        assert_eq!(model.loss(batch, &mut Tape::recording()).unwrap(), loss, "{mode}");
    }
}

#[test]
fn with_fogzo_in_its_last_phase_the_loss_still_falls_and_both_slopes_are_told() {
    let text = stories(0, 5000);
    let (_, steps) = run(&["steps=40", "fogzo_from=0.5"], &text, 40);
    assert!(steps[..20].iter().all(|step| step.probed.is_none()));
    for step in &steps[20..] {
        let probed = step.probed.unwrap();
        assert!(probed.promised_slope.is_finite() && probed.measured_slope.is_finite());
        assert!(probed.fogzo_seconds > 0.0 && probed.fogzo_seconds <= step.time.as_secs_f64());
    }
    let mean = |steps: &[Step]| steps.iter().map(|step| step.loss).sum::<f64>() / 5.0;
    assert!(mean(&steps[35..]) < mean(&steps[15..20]), "{steps:?}");
    let other = losses(&["fogzo_from=0", "fogzo.noise=1000"]);
    assert_ne!(other, losses(&["fogzo_from=0"]));
    assert_ne!(other, losses(&["fogzo_from=0", "fogzo.noise=1000", "fogzo.directions=2"]));
}

#[test]
fn with_fogzo_the_bits_are_the_same_on_any_number_of_threads() {
    let text = stories(0, 5000);
    let settings = ["fogzo_from=0", "fogzo.noise=100", "ternary.latent=bf16"];
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| tensors(run(&settings, &text, 3).0.model()))
    };
    let one = on(1);
    assert!(on(2) == one && on(3) == one);
}

#[test]
fn with_mining_the_loss_of_the_whole_batch_is_told_and_falls() {
    let text = stories(0, 5000);
    let first = losses(&[])[0];
    for (by, kept) in [("mining.by=tokens", 45), ("mining.by=examples", 1)] {
        let (_, steps) = run(&["steps=40", "ohem=0.7", by], &text, 40);
        assert!((steps[0].loss - first).abs() < 1e-12, "{by}");
        assert!(steps.iter().all(|step| step.mined.unwrap().kept == kept), "{by}");
        let mean = |steps: &[Step]| steps.iter().map(|step| step.loss).sum::<f64>() / 5.0;
        assert!(mean(&steps[35..]) < mean(&steps[..5]) - 0.5, "{by}: {steps:?}");
    }
}

#[test]
fn a_mining_that_keeps_everything_trains_the_same_model() {
    let text = stories(0, 5000);
    let expected = tensors(run(&[], &text, 5).0.model());
    for settings in [["ohem=1.0", "mining.by=tokens"], ["mining.threshold=1e-9", "ohem=1"]] {
        assert!(tensors(run(&settings, &text, 5).0.model()) == expected, "{settings:?}");
    }
}

#[test]
fn fogzo_probes_what_mining_kept_and_both_give_the_same_bits_on_any_number_of_threads() {
    let text = stories(0, 5000);
    for by in ["mining.by=tokens", "mining.by=examples"] {
        let settings = ["fogzo_from=0", "ohem=0.6", "batch.windows=3", by];
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| tensors(run(&settings, &text, 3).0.model()))
        };
        let one = on(1);
        assert!(on(2) == one && on(3) == one, "{by}");
    }
}

#[test]
fn without_latent_weights_it_learns_and_weighs_less() {
    let text = stories(0, 5000);
    let train = |settings: &[&str]| {
        let (training, steps) = run(settings, &text, 60);
        let mean = |steps: &[Step]| steps.iter().map(|step| step.loss).sum::<f64>() / 10.0;
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
        let mean = |steps: &[Step]| steps.iter().map(|step| step.loss).sum::<f64>() / 10.0;
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
