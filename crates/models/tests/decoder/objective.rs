//! What a decoder learns for beside the mean loss of a batch: a part of a larger one, and a teacher.

use models::{Batch, Decoder, DecoderConfig, Initial, Learnt, Objective, Teacher, WeightKind};
use nn::ops::{IGNORED, distillation};
use nn::{Gradients, Module, ParameterId, Sequences, Tape, ValuesMut};

use crate::shapes::small;

const TOKENS: [u32; 12] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8];
const TARGETS: [u32; 12] = [1, 4, 1, 5, 9, 2, 6, 5, IGNORED, 5, 8, 9];

fn model(seed: u64, width: usize) -> Decoder<f64> {
    let config = DecoderConfig {
        width,
        layers: 1,
        key_heads: 2,
        head_width: 4,
        rotary_width: 4,
        feed_forward: 9,
        ..small()
    };
    Decoder::build(config, &mut Initial { seed, kind: WeightKind::Dense }).unwrap()
}

fn batch(sequences: std::ops::Range<usize>) -> Batch<'static> {
    let rows = 4 * sequences.start..4 * sequences.end;
    let sequences = Sequences { count: sequences.len(), length: 4 };
    Batch { sequences, tokens: &TOKENS[rows.clone()], targets: &TARGETS[rows] }
}

#[test]
fn gradients_of_parts_add_up_to_that_of_the_whole() {
    let model = model(1, 8);
    let mut whole = Gradients::zeros(model.parameters());
    let mut tape = Tape::recording();
    let loss = model.loss_and_gradients(batch(0..3), &mut tape, &mut whole).unwrap();
    let (mut parts, mut sum) = (Gradients::zeros(model.parameters()), 0.0);
    for part in [0..1, 1..3] {
        let objective = Objective { counted: 11, teacher: None };
        let learnt = model.learn(batch(part), objective, &mut tape, &mut parts).unwrap();
        assert_eq!(learnt.divergence, None);
        sum += learnt.loss.mean * learnt.loss.count as f64;
    }
    assert!((sum / 11.0 - loss.mean).abs() < 1e-14);
    for (part, whole) in parts.values().iter().zip(whole.values()) {
        assert!((part - whole).abs() < 1e-14, "{part} and {whole}");
    }
}

/// (1 − a) · loss + a · divergence, from the scores of both models.
fn taught(model: &Decoder<f64>, teacher: &Decoder<f64>, share: f64, temperature: f64) -> [f64; 2] {
    let batch = batch(0..3);
    let mut tape = Tape::inference();
    let loss = model.loss(batch, &mut tape).unwrap().mean;
    let [x, t] = [model, teacher]
        .map(|model| model.scores(batch.tokens, batch.sequences, &mut Tape::inference()).unwrap());
    let mut divergences = [0.0; 12];
    distillation(&x, &t, 11, temperature, &mut divergences).unwrap();
    divergences[8] = 0.0;
    let divergence = divergences.iter().sum::<f64>() / 11.0;
    [(1.0 - share) * loss + share * divergence, divergence]
}

fn nudge(model: &mut Decoder<f64>, id: ParameterId, index: usize, change: f64) {
    model.visit_mut(&mut |other, values| {
        if let (true, ValuesMut::Real(values)) = (other == id, values) {
            values[index] += change;
        }
    });
}

#[test]
fn every_gradient_of_a_taught_decoder_is_the_slope_of_what_it_learns_for() {
    // A teacher may be of another width.
    let (mut model, teacher) = (model(1, 8), model(2, 12));
    let (share, temperature) = (0.375, 2.0);
    let mut gradients = Gradients::zeros(model.parameters());
    let mut tape = Tape::inference();
    let of = Teacher { model: &teacher, tape: &mut tape, share, temperature };
    let objective = Objective { counted: 11, teacher: Some(of) };
    let learnt = model.learn(batch(0..3), objective, &mut Tape::recording(), &mut gradients);
    let Learnt { loss, divergence } = learnt.unwrap();
    assert_eq!(loss, model.loss(batch(0..3), &mut Tape::inference()).unwrap());
    let expected = taught(&model, &teacher, share, temperature)[1];
    assert!((divergence.unwrap() - expected).abs() < 1e-14 && expected > 0.01, "{divergence:?}");
    let parameters = model.parameters().clone();
    let mut checked = 0;
    for id in parameters.ids() {
        for index in (0..parameters.range(id).len()).step_by(3) {
            let mut loss_at = |change: f64| {
                nudge(&mut model, id, index, change);
                let loss = taught(&model, &teacher, share, temperature)[0];
                nudge(&mut model, id, index, -change);
                loss
            };
            let slope = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5;
            let found = gradients.get(id)[index];
            assert!((slope - found).abs() < 1e-8, "{}: {slope}, {found}", parameters.name(id));
            checked += 1;
        }
    }
    assert!(checked > 100);
}

#[test]
fn a_teacher_of_another_vocabulary_is_refused() {
    let (model, mut gradients) = (model(1, 8), Gradients::zeros(model(1, 8).parameters()));
    let config = DecoderConfig { layers: 1, ..DecoderConfig::tiny() };
    let other = Decoder::build(config, &mut Initial { seed: 1, kind: WeightKind::Dense }).unwrap();
    let mut tape = Tape::inference();
    let teacher = Teacher { model: &other, tape: &mut tape, share: 0.5, temperature: 1.0 };
    let objective = Objective { counted: 11, teacher: Some(teacher) };
    let error = model.learn(batch(0..3), objective, &mut Tape::recording(), &mut gradients);
    assert!(error.unwrap_err().to_string().contains("vocabulary of the teacher"));
    assert!(gradients.values().iter().all(|&g| g == 0.0));
}
