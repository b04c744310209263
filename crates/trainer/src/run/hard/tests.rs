use nn::Sequences;

use super::*;
use crate::config::Layers;
use crate::data::VOCABULARY;
use crate::run::model::build;
use nn::Gradients;

const LENGTH: usize = 8;

pub(super) fn configuration(settings: &[&str]) -> Configuration {
    let mut layers = Layers::default();
    let small = ["model.width=32", "model.layers=1", "model.feed_forward=48", "batch.length=8"];
    layers.add_assignments(small).unwrap();
    layers.add_assignments(settings.iter().copied()).unwrap();
    layers.resolve().unwrap()
}

pub(super) fn examples() -> Examples {
    let windows = vec![Sequences { count: 1, length: LENGTH }; 4];
    let tokens: Vec<u32> = (0..32_u32).map(|i| i * i * 7 % 250).collect();
    let targets = tokens.iter().map(|token| (token + 3) % 250).collect();
    Examples { windows, tokens, targets, ..Examples::default() }
}

/// Loss and gradients of what is left.
fn learn(model: &Decoder<f32>, examples: &Examples) -> (f64, Vec<f32>) {
    let mut gradients = Gradients::zeros(model.parameters());
    let mut tape = Tape::recording();
    let loss = model.loss_and_gradients(examples.whole(), &mut tape, &mut gradients).unwrap();
    (loss.mean, gradients.values().to_vec())
}

/// The mean of the gradients of each item alone.
fn mean_of_single_gradients(model: &Decoder<f32>, items: &[Examples]) -> Vec<f32> {
    let mut mean = vec![0.0; model.parameters().numbers()];
    for item in items {
        let gradient = learn(model, item).1;
        mean.iter_mut().zip(gradient).for_each(|(mean, g)| *mean += g / items.len() as f32);
    }
    mean
}

fn assert_close(found: &[f32], expected: &[f32]) {
    let largest = expected.iter().fold(0.0_f32, |most, g| most.max(g.abs()));
    assert!(largest > 0.0);
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs();
        assert!(error <= 1e-4 * largest, "{index}: {found} and {expected}, of {largest}");
    }
}

#[test]
fn on_tokens_the_gradient_is_that_of_the_mean_over_the_kept_tokens_alone() {
    let configuration = configuration(&["ohem=0.7", "ternary.activations=real"]);
    let model = build(&configuration, VOCABULARY).unwrap();
    let (whole, mut examples) = (examples(), examples());
    let losses = model.losses(whole.whole(), &mut Tape::inference()).unwrap();
    let mined = Mining::new(&configuration).unwrap().narrow(&model, &mut examples).unwrap();
    assert_eq!(mined.kept, 22);
    let kept: Vec<usize> = (0..32).filter(|&i| examples.targets[i] != IGNORED).collect();
    assert_eq!(kept.len(), 22);
    assert!(kept.iter().all(|&i| examples.targets[i] == whole.targets[i]));
    assert_eq!(examples.tokens, whole.tokens);
    let worst_kept = kept.iter().map(|&i| losses[i]).fold(f64::INFINITY, f64::min);
    assert!((0..32).all(|i| kept.contains(&i) || losses[i] <= worst_kept));
    let singles: Vec<Examples> = kept
        .iter()
        .map(|&i| {
            let mut single = whole.clone();
            single.targets.fill(IGNORED);
            single.targets[i] = whole.targets[i];
            single
        })
        .collect();
    let (loss, gradient) = learn(&model, &examples);
    assert_close(&gradient, &mean_of_single_gradients(&model, &singles));
    let mean = kept.iter().map(|&i| losses[i]).sum::<f64>() / 22.0;
    assert!((loss - mean).abs() < 1e-6);
    let whole_loss = model.loss(whole.whole(), &mut Tape::inference()).unwrap().mean;
    assert!((mined.whole_loss - whole_loss).abs() < 1e-12 && loss > whole_loss);
}

#[test]
fn on_examples_the_gradient_is_that_of_the_mean_over_the_kept_windows_alone() {
    let settings = ["ohem=0.5", "mining.by=examples", "ternary.activations=real"];
    let configuration = configuration(&settings);
    let model = build(&configuration, VOCABULARY).unwrap();
    let (whole, mut examples) = (examples(), examples());
    let mined = Mining::new(&configuration).unwrap().narrow(&model, &mut examples).unwrap();
    assert_eq!((mined.kept, examples.windows.len(), examples.tokens.len()), (2, 2, 16));
    let windows: Vec<Examples> = (0..4)
        .map(|window| {
            let range = window * LENGTH..(window + 1) * LENGTH;
            let windows = vec![Sequences { count: 1, length: LENGTH }];
            let tokens = whole.tokens[range.clone()].to_vec();
            let targets = whole.targets[range].to_vec();
            Examples { windows, tokens, targets, ..Examples::default() }
        })
        .collect();
    let (kept, left): (Vec<_>, Vec<_>) = windows
        .into_iter()
        .partition(|window| examples.tokens.chunks(LENGTH).any(|kept| kept == window.tokens));
    assert_eq!(kept.len(), 2);
    let loss = |window: &Examples| learn(&model, window).0;
    assert!(left.iter().all(|easy| kept.iter().all(|hard| loss(hard) >= loss(easy))));
    assert_close(&learn(&model, &examples).1, &mean_of_single_gradients(&model, &kept));
}

#[test]
fn a_mining_that_keeps_everything_changes_no_bit_and_without_one_there_is_none() {
    assert!(Mining::new(&configuration(&["ohem=1"])).is_none());
    for by in ["mining.by=tokens", "mining.by=examples"] {
        let configuration = configuration(&[by, "mining.threshold=1e-9"]);
        let model = build(&configuration, VOCABULARY).unwrap();
        let (whole, mut examples) = (examples(), examples());
        Mining::new(&configuration).unwrap().narrow(&model, &mut examples).unwrap();
        assert_eq!(learn(&model, &examples), learn(&model, &whole), "{by}");
    }
}
