//! Tests of what each setting does to the training.

use super::*;

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
        "optimiser.method=sgd",
        "optimiser.method=lamb",
        "optimiser.method=muon",
        "optimiser.groups=*.mlp.*: rate=0.5",
        "schedule.shape=constant",
        "schedule.shape=wsd",
        "schedule.shape=restarts",
        "schedule.shape=decay-to-zero",
        "schedule.shape=three-phase",
        "schedule.shape=two-stage",
        "schedule.weight_decay_until=0",
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
fn what_ttq_learns_has_rates_of_its_own() {
    const TTQ: [&str; 2] = ["ternary.quantiser=ttq", "ternary.threshold_learned=true"];
    let with = |setting: &str| losses(&[TTQ[0], TTQ[1], setting]);
    let alike = with("optimiser.negative_scale_rate=1");
    assert_eq!(losses(&TTQ), alike);
    let of_each = ["scale_rate=0.1", "negative_scale_rate=0.1", "threshold_rate=0.1"]
        .map(|rate| with(&format!("optimiser.{rate}")));
    assert!(of_each.iter().all(|losses| *losses != alike));
    assert!(of_each[0] != of_each[1] && of_each[1] != of_each[2]);
}

#[test]
fn settings_of_an_optimiser_and_of_a_schedule_change_it() {
    for (base, settings) in [
        (
            &["optimiser.method=sgd"][..],
            &["optimiser.momentum=0.5", "optimiser.nesterov=false"][..],
        ),
        (&["optimiser.method=muon"], &["optimiser.muon_momentum=0.5", "optimiser.nesterov=false"]),
        (&["optimiser.method=lamb"], &["optimiser.epsilon=1", "optimiser.weight_decay=100"]),
        (
            &["schedule.shape=wsd", "schedule.decay=0.9"],
            &["schedule.decay=0.2", "schedule.fall=linear"],
        ),
        (&["schedule.shape=restarts"], &["schedule.cycles=1", "schedule.growth=1"]),
        (
            &["schedule.shape=three-phase", "schedule.first_fall=0.3"],
            &["schedule.first_fall=0.7", "schedule.second_fall=0.5", "schedule.middle_share=0.5"],
        ),
        (
            &["schedule.shape=two-stage"],
            &["schedule.break_at=0.1", "schedule.first_share=1", "schedule.second_share=0.5"],
        ),
    ] {
        let base = [&["steps=5"], base].concat();
        let default = losses(&base);
        for setting in settings {
            let key = setting.split('=').next().unwrap();
            let others = base.iter().filter(|given| !given.starts_with(key));
            let changed: Vec<&str> = others.copied().chain([*setting]).collect();
            assert_ne!(losses(&changed), default, "{base:?}, {setting}");
        }
    }
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

#[test]
fn how_trits_are_packed_changes_nothing() {
    assert_eq!(losses(&["ternary.packing=five-trits"]), losses(&[]));
    let text = stories(0, 5000);
    let (training, _) = run(&["ternary.packing=five-trits"], &text, 1);
    let (_, matrices) = tensors(training.model());
    assert!(!matrices.is_empty());
    assert!(matrices.iter().all(|matrix| matrix.packing() == Packing::FiveTrits));
}
