//! Decoders that go on where they stopped, and tapes that recompute.

use models::{Batch, Decoder, DecoderConfig, DeltaNets, Initial, Mixture, Shadow, WeightKind};
use nn::ops::IGNORED;
use nn::{Context, Gradients, Module, Passing, Recurrence, Sequences, Tape, Values};

use crate::shapes::{mixture, ternary};

const LENGTH: usize = 75;

/// Shapes whose layers all have attention.
fn shapes() -> [DecoderConfig; 4] {
    let small =
        DecoderConfig { layers: 2, width: 48, heads: 4, positions: 90, ..DecoderConfig::tiny() };
    let mixture = Mixture { dense_layers: vec![1], balance: 0.1, z: 0.1, ..mixture(40, 24) };
    let hybrid = DecoderConfig { delta: None, layers: 2, positions: 90, ..DecoderConfig::hybrid() };
    [
        DecoderConfig { mixture: Some(mixture), per_layer: 6, ..small.clone() },
        DecoderConfig { head_width: 16, rotary_width: 6, head_norms: true, ..small.clone() },
        small,
        hybrid,
    ]
}

/// Shapes with delta nets, in both layouts.
fn hybrids() -> [DecoderConfig; 2] {
    let separate = DecoderConfig { positions: 90, ..DecoderConfig::hybrid() };
    let mut fused = DecoderConfig { layers: 2, sub_norms: false, ..separate.clone() };
    let delta = fused.delta.take().unwrap();
    fused.delta = Some(DeltaNets { is_fused: true, attention_layers: vec![1], ..delta });
    [separate, fused]
}

fn kinds() -> [WeightKind; 2] {
    [WeightKind::Dense, ternary(false, false, Shadow::F32)]
}

fn models(shapes: impl IntoIterator<Item = DecoderConfig>) -> impl Iterator<Item = Decoder<f32>> {
    let pairs = shapes.into_iter().flat_map(|shape| kinds().map(|kind| (shape.clone(), kind)));
    pairs.map(|(shape, kind)| Decoder::build(shape, &mut Initial { seed: 5, kind }).unwrap())
}

fn is_dense(model: &Decoder<f32>) -> bool {
    let mut is_dense = true;
    model.visit(&mut |tensor| is_dense &= !matches!(tensor.values, Values::Ternary { .. }));
    is_dense
}

fn tokens(count: usize) -> Vec<u32> {
    (0..(count * LENGTH) as u32).map(|at| at * 37 % 251).collect()
}

#[test]
fn pieces_of_any_length_give_the_bits_of_the_whole() {
    let mut tape = Tape::inference();
    for model in models(shapes()) {
        let tokens = tokens(2);
        let sequences = Sequences { count: 2, length: LENGTH };
        let whole = model.scores(&tokens, sequences, &mut tape).unwrap();
        // A sequence alone has products of a single row when it is decoded.
        for (count, pieces) in [
            (2, vec![1; LENGTH]),
            (1, vec![1; LENGTH]),
            (2, vec![70, 1, 4]),
            (1, vec![70, 1, 4]),
            (2, vec![LENGTH]),
        ] {
            let mut cache = model.cache(count);
            for piece in pieces {
                let start = cache.position();
                let rows = (0..count).flat_map(|at| &tokens[at * LENGTH + start..][..piece]);
                let rows: Vec<u32> = rows.copied().collect();
                let found = model.advance(&rows, &mut cache, &mut tape).unwrap();
                for (at, found) in found.chunks(256).enumerate() {
                    let last = at * LENGTH + start + piece - 1;
                    assert!(found == &whole[last * 256..][..256], "{last}: {:?}", model.config());
                }
            }
            assert!(cache.size_bytes() > count * LENGTH * 2 * 4);
        }
    }
}

#[test]
fn hybrids_token_by_token_give_the_bits_of_a_whole_that_runs_so_and_the_numbers_of_chunks() {
    let mut tape = Tape::inference();
    for model in models(hybrids()) {
        let (count, tokens) = (2, tokens(2));
        let sequences = Sequences { count, length: LENGTH };
        let chunks = Context { tokens: &tokens, ..sequences.into() };
        let by_token = Context { recurrence: Recurrence::Tokens, ..chunks };
        let chunks = model.scores_of(chunks, &mut tape).unwrap();
        let whole = model.scores_of(by_token, &mut tape).unwrap();
        let largest = whole.iter().fold(0.0_f32, |largest, score| largest.max(score.abs()));
        // Of ternary models, codes of activations may round to the other side.
        let limit = if is_dense(&model) { 1e-4 } else { 2e-2 } * largest;
        for (a, b) in whole.iter().zip(&chunks) {
            assert!((a - b).abs() <= limit, "{a} {b} {largest}");
        }
        let mut cache = model.cache(count);
        let mut prompted = model.cache(count);
        let column = |start: usize, length: usize| -> Vec<u32> {
            (0..count).flat_map(|at| tokens[at * LENGTH + start..][..length].to_vec()).collect()
        };
        model.advance(&column(0, 70), &mut prompted, &mut tape).unwrap();
        for at in 0..LENGTH {
            let token = column(at, 1);
            let found = model.advance(&token, &mut cache, &mut tape).unwrap();
            for (row, found) in found.chunks(256).enumerate() {
                assert!(found == &whole[(row * LENGTH + at) * 256..][..256], "{at}");
            }
            if at >= 70 {
                let after = model.advance(&token, &mut prompted, &mut tape).unwrap();
                assert!(found.iter().zip(&after).all(|(a, b)| (a - b).abs() <= limit));
            }
        }
        assert_eq!((cache.position(), prompted.position()), (LENGTH, LENGTH));
    }
}

#[test]
fn a_cache_and_tokens_that_do_not_fit_are_refused_by_name() {
    let [first, .., last] = shapes();
    let [kind, _] = kinds();
    let build =
        |shape| Decoder::<f32>::build(shape, &mut Initial { seed: 5, kind: kind.clone() }).unwrap();
    let (model, other) = (build(first.clone()), build(DecoderConfig { layers: 3, ..last }));
    let mut tape = Tape::inference();
    let error = |tokens: &[u32], cache: &mut _, tape: &mut Tape<f32>| {
        model.advance(tokens, cache, tape).unwrap_err().to_string()
    };
    let found = error(&[1, 2, 3], &mut model.cache(2), &mut tape);
    assert_eq!(found, "batch: tokens: expected 2, found 3");
    assert_eq!(error(&[], &mut model.cache(0), &mut tape), "batch: tokens: expected 0, found 0");
    let found = error(&[1], &mut other.cache(1), &mut tape);
    assert_eq!(found, "batch: layers of the cache: expected 2, found 3");
    let found = error(&[1; 91], &mut model.cache(1), &mut tape);
    assert!(found.contains("positions of the rotary table: expected 91, found 90"), "{found}");
    let found = error(&[1], &mut model.cache(1), &mut Tape::recording());
    assert!(found.contains("a tape for inference"), "{found}");
}

#[test]
fn padding_after_the_tokens_changes_none_of_them_and_is_refused_before() {
    let mut tape = Tape::inference();
    for model in models(shapes()) {
        let tokens = tokens(1);
        let sequences = Sequences { count: 1, length: LENGTH };
        let mut mask = [true; LENGTH];
        mask[60..].fill(false);
        let context = Context { tokens: &tokens, mask: Some(&mask), ..sequences.into() };
        let padded = model.scores_of(context, &mut tape).unwrap();
        let short = Sequences { count: 1, length: 60 };
        let alone = model.scores(&tokens[..60], short, &mut tape).unwrap();
        assert!(padded[..60 * 256] == alone);
        mask[0] = false;
        let context = Context { tokens: &tokens, mask: Some(&mask), ..sequences.into() };
        let error = model.scores_of(context, &mut tape).unwrap_err().to_string();
        assert!(error.contains("mask: expected padding after the tokens alone"), "{error}");
        let context = Context { mask: Some(&mask[1..]), ..context };
        let error = model.scores_of(context, &mut tape).unwrap_err().to_string();
        assert!(error.contains("rows of the mask: expected 75, found 74"), "{error}");
    }
}

#[test]
fn a_tape_that_recomputes_gives_the_same_bits_and_holds_less() {
    for model in models(shapes().into_iter().chain(hybrids())) {
        let tokens = tokens(2);
        let mut targets: Vec<u32> = tokens.iter().map(|token| (token + 1) % 256).collect();
        targets[LENGTH - 1] = IGNORED;
        let sequences = Sequences { count: 2, length: LENGTH };
        let batch = Batch { sequences, tokens: &tokens, targets: &targets };
        let run = |mut tape: Tape<f32>| {
            let mut gradients = Gradients::zeros(model.parameters());
            let loss = model.loss_and_gradients(batch, &mut tape, &mut gradients).unwrap();
            assert!(tape.is_empty());
            (loss, gradients, tape.auxiliary_loss(), tape.size_bytes())
        };
        let (kept, again) = (run(Tape::recording()), run(Tape::recording().recomputing()));
        assert_eq!((&kept.0, &kept.1), (&again.0, &again.1));
        assert!((kept.2 - again.2).abs() <= 1e-12 * kept.2);
        assert!(again.3 < kept.3, "{} and {}", again.3, kept.3);
    }
}

#[test]
fn a_watch_is_told_of_mixers_and_blocks_there_and_back() {
    let model = models(shapes()).next().unwrap();
    let tokens = tokens(1);
    let sequences = Sequences { count: 1, length: LENGTH };
    let batch = Batch { sequences, tokens: &tokens, targets: &tokens };
    let (send, told) = std::sync::mpsc::channel();
    let mut tape = Tape::recording();
    tape.watch(move |name, passing, values| {
        send.send((name.to_owned(), passing, values.len())).unwrap();
    });
    let mut gradients = Gradients::zeros(model.parameters());
    model.loss_and_gradients(batch, &mut tape, &mut gradients).unwrap();
    let told: Vec<_> = told.try_iter().collect();
    let (rows, scores) = (48 * LENGTH, 3 * LENGTH);
    let forward = [
        ("model.layers.0.mixer", rows),
        ("model.layers.0.mlp.gate", scores),
        ("model.layers.0", rows),
        ("model.layers.1.mixer", rows),
        ("model.layers.1", rows),
    ];
    let backward = ["1", "1.mixer", "0", "0.mixer"].map(|name| format!("model.layers.{name}"));
    let forward = forward.map(|(name, numbers)| (name.to_owned(), Passing::Forward, numbers));
    let backward = backward.map(|name| (name, Passing::Backward, rows));
    assert_eq!(told, [&forward[..], &backward].concat());
}
