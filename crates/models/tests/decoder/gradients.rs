//! The gradient of a whole decoder is the slope of its loss.

use models::{Batch, Decoder, DecoderConfig, Initial, Mixture, Shadow, WeightKind};
use nn::ops::IGNORED;
use nn::{Gradients, Module, Nonlinearity, Sequences, Tape, Update, ValuesMut};

use crate::shapes::{self, BATCH, TARGETS, TOKENS, small, ternary};

fn config(tied_head: bool, nonlinearity: Nonlinearity) -> DecoderConfig {
    let (heads, key_heads, head_width, rotary_width) = (4, 2, 4, 4);
    DecoderConfig { heads, key_heads, head_width, rotary_width, nonlinearity, tied_head, ..small() }
}

/// A delta net in the first layer, and in the second the attention of Qwen3.5.
fn hybrid(is_fused: bool, mixture: Mixture) -> DecoderConfig {
    let shape = DecoderConfig {
        head_width: 6,
        rotary_width: 2,
        sub_norms: false,
        mixture: Some(mixture),
        ..config(is_fused, Nonlinearity::SwiGlu)
    };
    shapes::hybrid([3, 5], is_fused, shape)
}

fn loss(model: &Decoder<f64>) -> f64 {
    model.loss(BATCH, &mut Tape::inference()).unwrap().mean
}

/// What is minimised: the loss, and those of the routers.
fn objective(model: &Decoder<f64>) -> f64 {
    let mut tape = Tape::recording();
    model.loss(BATCH, &mut tape).unwrap().mean + tape.auxiliary_loss()
}

/// Adds `change` to number `index` of the values, counted over all parameters in order.
fn nudge(model: &mut Decoder<f64>, index: usize, change: f64) {
    let parameters = model.parameters().clone();
    model.visit_mut(&mut |id, values| {
        let range = parameters.range(id);
        if let (true, ValuesMut::Real(values)) = (range.contains(&index), values) {
            values[index - range.start] += change;
        }
    });
}

#[test]
fn every_gradient_of_a_dense_decoder_is_the_slope_of_its_loss() {
    let mixture = Mixture { balance: 0.5, z: 0.25, ..shapes::mixture(24, 20) };
    let shapes = [
        config(true, Nonlinearity::SwiGlu),
        config(false, Nonlinearity::Gelu),
        DecoderConfig { mixture: Some(mixture.clone()), ..config(true, Nonlinearity::SwiGlu) },
        DecoderConfig {
            per_layer: 5,
            mixture: Some(mixture.clone()),
            ..config(true, Nonlinearity::SwiGlu)
        },
        hybrid(false, Mixture { dense_layers: vec![0], ..mixture.clone() }),
        hybrid(true, Mixture { dense_layers: vec![1], ..mixture }),
    ];
    for shape in shapes {
        let mut source = Initial { seed: 3, kind: WeightKind::Dense };
        let has_router = shape.mixture.is_some();
        let mut model = Decoder::<f64>::build(shape, &mut source).unwrap();
        let mut gradients = Gradients::zeros(model.parameters());
        let found = model.loss_and_gradients(BATCH, &mut Tape::recording(), &mut gradients);
        let found = found.unwrap();
        assert_eq!((found.mean, found.count), (loss(&model), 9));
        assert_eq!(objective(&model) > found.mean + 0.5, has_router);
        let largest = gradients.values().iter().fold(0.0_f64, |max, g| max.max(g.abs()));
        let step = 1e-5;
        for index in (0..gradients.values().len()).step_by(7) {
            nudge(&mut model, index, step);
            let above = objective(&model);
            nudge(&mut model, index, -2.0 * step);
            let below = objective(&model);
            nudge(&mut model, index, step);
            let (slope, found) = ((above - below) / (2.0 * step), gradients.values()[index]);
            assert!((slope - found).abs() < 1e-7 * largest.max(1.0), "{index}: {slope}, {found}");
        }
    }
}

/// Losses of some steps of plain gradient descent on one batch.
fn descend(kind: WeightKind, shape: DecoderConfig) -> [f64; 2] {
    let mut source = Initial { seed: 4, kind };
    let mut model = Decoder::<f32>::build(shape, &mut source).unwrap();
    let mut gradients = Gradients::zeros(model.parameters());
    let mut tape = Tape::recording();
    let mut losses = Vec::new();
    for step in 1..=60 {
        gradients.clear();
        losses.push(model.loss_and_gradients(BATCH, &mut tape, &mut gradients).unwrap().mean);
        model.finish_gradients(&mut gradients).unwrap();
        let parameters = model.parameters().clone();
        model.visit_mut(&mut |id, mut values| {
            let gradient = gradients.get(id);
            // The gradient of what a whole group learns is a sum over all its weights.
            let of_weights = parameters.name(id).ends_with("weight");
            let rate = if of_weights { 0.3 } else { 0.003 };
            values.update(nn::Rounding::Nearest, |start, run| {
                run.iter_mut().zip(&gradient[start..]).for_each(|(w, g)| *w -= rate * g);
            });
        });
        model.requantize(Update::hard(1, step)).unwrap();
    }
    let inference = model.loss(BATCH, &mut Tape::inference()).unwrap().mean;
    assert_eq!(inference, model.loss_and_gradients(BATCH, &mut tape, &mut gradients).unwrap().mean);
    [losses[0], inference]
}

#[test]
fn every_kind_of_weights_learns_a_batch() {
    let kinds = [
        (WeightKind::Dense, true),
        (ternary(false, false, Shadow::F32), true),
        (ternary(true, false, Shadow::F32), true),
        (ternary(true, true, Shadow::F32), false),
        (ternary(false, true, Shadow::Bf16), false),
    ];
    for (kind, tied_head) in kinds {
        let name = format!("{kind:?}");
        let [first, last] = descend(kind, config(tied_head, Nonlinearity::ReluSquared));
        assert!(last < 0.5 * first, "{first} to {last}: {name}");
    }
}

#[test]
fn a_sequence_is_scored_as_if_it_stood_alone_and_as_if_it_went_on() {
    let mut source = Initial { seed: 5, kind: ternary(true, false, Shadow::F32) };
    let shape = config(true, Nonlinearity::SwiGlu);
    let model = Decoder::<f32>::build(shape, &mut source).unwrap();
    let score = |tokens: &[u32], count| {
        let sequences = Sequences { count, length: tokens.len() / count };
        model.scores(tokens, sequences, &mut Tape::inference()).unwrap()
    };
    let both = score(&TOKENS, 2);
    assert_eq!(both[..55], score(&TOKENS[..5], 1));
    assert_eq!(both[55..], score(&TOKENS[5..], 1));
    assert_eq!(both[..33], score(&TOKENS[..3], 1));
}

#[test]
fn a_batch_that_does_not_fit_is_refused() {
    let mut source = Initial { seed: 6, kind: WeightKind::Dense };
    let model = Decoder::<f32>::build(config(true, Nonlinearity::SwiGlu), &mut source).unwrap();
    let mut tape = Tape::inference();
    let sequences = Sequences { count: 1, length: 2 };
    let mut error = |tokens: &[u32], targets: &[u32], sequences| {
        model.loss(Batch { sequences, tokens, targets }, &mut tape).unwrap_err().to_string()
    };
    assert_eq!(error(&[1], &[1], sequences), "batch: tokens: expected 2, found 1");
    assert_eq!(error(&[1, 2], &[1], sequences), "batch: targets: expected 2, found 1");
    assert!(error(&[1, 11], &[1, 1], sequences).contains("found 11"));
    assert!(error(&[1, 2], &[1, 11], sequences).contains("11"));
    let huge = Sequences { count: usize::MAX, length: 2 };
    assert!(error(&[1, 2], &[1, 2], huge).starts_with("batch: tokens"));
    let nothing = model
        .loss(Batch { sequences, tokens: &[1, 2], targets: &[IGNORED; 2] }, &mut Tape::inference());
    let nothing = nothing.unwrap();
    assert_eq!((nothing.mean, nothing.count), (0.0, 0));
    let empty = Batch { sequences: Sequences { count: 0, length: 0 }, tokens: &[], targets: &[] };
    assert_eq!(model.loss(empty, &mut Tape::inference()).unwrap().count, 0);
}

#[test]
fn a_batch_that_is_refused_leaves_no_gradient_and_nothing_for_the_next_one() {
    let mut source = Initial { seed: 7, kind: WeightKind::Dense };
    let model = Decoder::<f32>::build(config(true, Nonlinearity::SwiGlu), &mut source).unwrap();
    let mut tape = Tape::recording();
    let mut gradients = Gradients::zeros(model.parameters());
    let loss = model.loss_and_gradients(BATCH, &mut tape, &mut gradients).unwrap();
    let expected = gradients.clone();

    // The wrong target stands in the second block of rows that are scored together.
    let (count, length) = (130, 5);
    let tokens = vec![3; count * length];
    let mut targets = tokens.clone();
    targets[600] = 11;
    let sequences = Sequences { count, length };
    let bad = Batch { sequences, tokens: &tokens, targets: &targets };
    gradients.clear();
    let error = model.loss_and_gradients(bad, &mut tape, &mut gradients).unwrap_err();
    let named = "targets: token at position 600: expected one of 11, found 11";
    assert_eq!(error.to_string(), named);
    let error = model.loss_and_gradients(BATCH, &mut Tape::inference(), &mut gradients);
    assert!(error.unwrap_err().to_string().contains("recording tape"));
    assert!(gradients.values().iter().all(|&g| g == 0.0));

    for _ in 0..2 {
        model.scores(&TOKENS, BATCH.sequences, &mut tape).unwrap();
    }
    let again = model.loss_and_gradients(BATCH, &mut tape, &mut gradients).unwrap();
    assert!(tape.is_empty());
    assert_eq!((again, gradients), (loss, expected));
}

#[test]
fn the_losses_of_the_positions_are_those_that_the_loss_is_the_mean_of() {
    let source = &mut Initial { seed: 4, kind: WeightKind::Dense };
    let model = Decoder::<f64>::build(config(true, Nonlinearity::SwiGlu), source).unwrap();
    // More rows than are scored at a time.
    let sequences = Sequences { count: 130, length: 5 };
    let (tokens, targets) = (TOKENS.repeat(65), TARGETS.repeat(65));
    let batch = Batch { sequences, tokens: &tokens, targets: &targets };
    let losses = model.losses(batch, &mut Tape::inference()).unwrap();
    let whole = model.loss(batch, &mut Tape::inference()).unwrap();
    assert_eq!((losses.len(), whole.count), (650, 585));
    assert!((losses.iter().sum::<f64>() / 585.0 - whole.mean).abs() < 1e-12);
    for (position, &found) in losses.iter().enumerate() {
        let mut single = vec![IGNORED; targets.len()];
        single[position] = targets[position];
        let batch = Batch { targets: &single, ..batch };
        if position % 97 == 0 || targets[position] == IGNORED {
            let expected = model.loss(batch, &mut Tape::inference()).unwrap().mean;
            assert!((found - expected).abs() < 1e-12, "{position}: {found} and {expected}");
        }
    }
    assert!(
        model.losses(Batch { targets: &targets[1..], ..batch }, &mut Tape::inference()).is_err()
    );
}
