//! Tests of what every optimiser must do in a run.

use super::*;
use crate::optimiser::{Method, StateError};

/// Settings of a run with everything that is random, by an optimiser.
fn settings(method: Method) -> Vec<String> {
    let name = format!("optimiser.method={}", method.name());
    let rate = if method == Method::Sgd { "0.3" } else { "6e-3" };
    vec![name, format!("optimiser.learning_rate={rate}")]
}

fn with<'a>(own: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    own.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

#[test]
fn every_optimiser_learns_with_every_kind_of_weights() {
    let text = stories(0, 5000);
    for method in Method::ALL {
        let own = settings(method);
        for kind in ["float=true", "ternary.latent=f32", "ternary.latent=bf16", "dqt=true"] {
            let (_, steps) = run(&with(&own, &["steps=40", kind]), &text, 40);
            let mean = |steps: &[Taken]| steps.iter().map(|step| step.loss).sum::<f64>() / 10.0;
            let (first, last) = (mean(&steps[..10]), mean(&steps[30..]));
            assert!(last < first - 0.1, "{method}, {kind}: {first} to {last}");
        }
    }
}

#[test]
fn every_optimiser_has_the_same_bits_on_any_number_of_threads() {
    let text = stories(0, 5000);
    for method in Method::ALL {
        let own = settings(method);
        let settings = with(&own, &["ste=cage", "ternary.pull_from=0", "ternary.latent=bf16"]);
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let (training, _) = run(&settings, &text, 3);
                (tensors(training.model()), kept(&training))
            })
        };
        let one = on(1);
        assert!(on(2) == one && on(3) == one, "{method}");
    }
}

#[test]
fn a_bad_step_changes_nothing_in_any_optimiser() {
    let text = stories(0, 5000);
    for method in Method::ALL {
        let own = settings(method);
        let (mut training, _) = run(&with(&own, &[]), &text, 2);
        let before = (tensors(&training.model), kept(&training));
        let last = training.model.parameters().ids().last().unwrap();
        training.gradients.get_mut(last).unwrap()[0] = f32::INFINITY;
        assert!(training.apply(2).is_err());
        assert!((tensors(&training.model), kept(&training)) == before, "{method}");
    }
}

#[test]
fn a_state_that_was_restored_goes_on_with_the_same_bits() {
    let text = stories(0, 5000);
    for method in Method::ALL {
        let own = settings(method);
        let (mut training, _) = run(&with(&own, &[]), &text, 3);
        let state = kept(&training);
        let arrays = state.arrays();
        let mut fresh = Updating::new(&configuration(&with(&own, &[])), &training.model).unwrap();
        let read = &mut |name: &str, room: &mut [f32]| {
            let array = arrays.iter().find(|array| array.name == name).unwrap();
            room.copy_from_slice(array.values);
            Ok::<_, StateError>(())
        };
        fresh.optimiser.state_mut().restore(&state.times(), read).unwrap();
        let (mut straight, _) = run(&with(&own, &[]), &text, 3);
        training.updating = fresh;
        training.step(3).unwrap();
        straight.step(3).unwrap();
        assert!(tensors(training.model()) == tensors(straight.model()), "{method}");
        assert!(kept(&training) == kept(&straight), "{method}");
    }
}

#[test]
fn a_group_changes_the_tensors_that_it_names_and_no_others() {
    let text = stories(0, 5000);
    let (start, _) = run(&[], &text, 0);
    let (stopped, _) = run(&["optimiser.groups=*.q_proj.*: rate=0; *norm*: rate=0"], &text, 1);
    let tensors = |training: &Training| {
        let mut tensors = Vec::new();
        training.model().visit(&mut |tensor| match tensor.values {
            Values::Real(values) => tensors.push((tensor.name.to_owned(), values.to_vec())),
            Values::Ternary { latent: Some(Weights::F32(latent)), .. } => {
                tensors.push((tensor.name.to_owned(), latent.to_vec()));
            }
            _ => {}
        });
        tensors
    };
    for ((name, before), (_, after)) in tensors(&start).into_iter().zip(tensors(&stopped)) {
        let stays = name.contains(".q_proj.") || name.contains("norm");
        assert_eq!(before == after, stays, "{name}");
    }
}

#[test]
fn a_group_without_a_tensor_is_an_error_that_names_its_pattern() {
    let configuration = configuration(&["optimiser.groups=*.q_proj.*: rate=1; *.p_proj.*: rate=0"]);
    let model = build(&configuration, VOCABULARY).unwrap();
    let error = Updating::new(&configuration, &model).unwrap_err().to_string();
    assert!(error.contains("optimiser.groups: expected patterns"), "{error}");
    assert!(error.ends_with("found *.p_proj.*"), "{error}");
}

#[test]
fn the_second_of_two_stages_has_no_weight_decay() {
    let text = stories(0, 5000);
    let two_stages = ["optimiser.weight_decay=1", "schedule.shape=two-stage"];
    let (Training { mut model, mut updating, .. }, _) = run(&two_stages, &text, 0);
    let gradients = Gradients::zeros(model.parameters());
    let decays =
        [0, 4, 5, 9].map(|step| updating.apply(&mut model, &gradients, step).unwrap().weight_decay);
    assert_eq!(decays, [1.0, 1.0, 0.0, 0.0]);
    let until = |share| losses(&[&two_stages[..], &[share]].concat());
    assert_ne!(until("schedule.weight_decay_until=0"), until("schedule.weight_decay_until=1"));
}

#[test]
fn of_a_bias_that_dead_weights_are_nothing_is_kept() {
    let text = stories(0, 5000);
    for method in Method::ALL {
        let own = settings(method);
        let kept = |mode: &'static str| {
            let (training, _) = run(&with(&own, &[mode]), &text, 2);
            let state = self::kept(&training);
            state.arrays().into_iter().map(|array| array.name).collect::<Vec<_>>()
        };
        let tequila = kept("ste=tequila");
        assert!(!tequila.is_empty() && tequila == kept("ste=vanilla"), "{method:?}: {tequila:?}");
    }
}
