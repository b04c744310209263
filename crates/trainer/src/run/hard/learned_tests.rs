//! Hard examples with learned scales: the gradients of W_p and W_n are those of the loss of what is kept.

use std::sync::Arc;

use models::{Initial, Shadow, WeightKind};
use nn::{
    Activations, BitLinearOptions, Compute, Gradients, LearnedLevels, LearnedRule, Module,
    ParameterId, ScaleSync, Update, Values, ValuesMut,
};
use ternary_core::Granularity;

use super::tests::{configuration, examples};
use super::*;
use crate::data::VOCABULARY;
use crate::randomness::Purpose;
use crate::run::model::build;

/// The model of a configuration in `f64`, with the same latent weights and real activations.
fn in_f64(configuration: &Configuration, model: &Decoder<f32>) -> Decoder<f64> {
    let rule = LearnedRule::Ttq { threshold: 0.05, is_threshold_learned: false };
    let options = BitLinearOptions {
        estimator: Arc::new(ste::Ttq),
        learned: Some(LearnedLevels { rule, granularity: Granularity::Row }),
        activations: Activations::Real,
        ..BitLinearOptions::default()
    };
    let kind = WeightKind::Ternary {
        options,
        shadow: Shadow::F32,
        embedding: false,
        head: true,
        sync: ScaleSync::PerMatrix,
    };
    let seed = Purpose::Weights.seed(configuration.run.seed);
    Decoder::build(model.config().clone(), &mut Initial { seed, kind }).unwrap()
}

/// The identities of all W_p and W_n.
fn scales<T: Compute>(model: &Decoder<T>) -> Vec<ParameterId> {
    let parameters = model.parameters();
    let is_scale = |id: &ParameterId| parameters.name(*id).ends_with("_scale");
    parameters.ids().filter(is_scale).collect()
}

fn gradients<T: Compute>(model: &Decoder<T>, examples: &Examples) -> Gradients<T> {
    let mut gradients = Gradients::zeros(model.parameters());
    let mut tape = Tape::recording();
    model.loss_and_gradients(examples.whole(), &mut tape, &mut gradients).unwrap();
    model.finish_gradients(&mut gradients).unwrap();
    gradients
}

fn trits(model: &Decoder<f64>) -> Vec<Vec<i8>> {
    let mut trits = Vec::new();
    model.visit(&mut |tensor| {
        if let Values::Ternary { matrix, .. } = tensor.values {
            trits.push(matrix.to_trits());
        }
    });
    trits
}

/// Adds `step` to one number of a parameter, decides the codes anew, and returns the number.
fn shift(model: &mut Decoder<f64>, id: ParameterId, index: usize, step: f32) -> f32 {
    let mut number = f32::NAN;
    model.visit_mut(&mut |other, values| {
        if let (true, ValuesMut::F32(values)) = (other == id, values) {
            values[index] += step;
            number = values[index];
        }
    });
    model.requantize(Update::hard(1, 1)).unwrap();
    number
}

/// The derivative of the loss of what is kept, by central differences. The number is kept in `f32`, so what
/// is divided by is how far it moved.
fn difference(
    model: &mut Decoder<f64>,
    kept: &Examples,
    (id, index): (ParameterId, usize),
    step: f32,
) -> f64 {
    let loss =
        |model: &Decoder<f64>| model.loss(kept.whole(), &mut Tape::inference()).unwrap().mean;
    let up = f64::from(shift(model, id, index, step));
    let above = loss(model);
    let down = f64::from(shift(model, id, index, -2.0 * step));
    let below = loss(model);
    shift(model, id, index, step);
    (above - below) / (up - down)
}

#[test]
fn with_learned_scales_their_gradients_are_those_of_the_loss_of_what_is_kept() {
    for settings in [["ohem=0.7", "mining.by=tokens"], ["ohem=0.5", "mining.by=examples"]] {
        let learned = ["ste=ttq", "ternary.granularity=row", "ternary.activations=real"];
        let configuration = configuration(&[&settings[..], &learned[..]].concat());
        let single = build(&configuration, VOCABULARY).unwrap();
        let (whole, mut kept) = (examples(), examples());
        Mining::new(&configuration).unwrap().narrow(&single, &mut kept).unwrap();
        let mut model = in_f64(&configuration, &single);
        let codes = trits(&model);
        let of_kept = gradients(&model, &kept);
        let of_whole = gradients(&model, &whole);
        let of_single = gradients(&single, &kept);
        let ids = scales(&model);
        // Of seven projections; the head is the embedding.
        assert_eq!((ids.len(), scales(&single).len()), (2 * 7, 2 * 7));
        let all = ids.iter().flat_map(|&id| of_kept.get(id));
        let largest = all.fold(0.0_f64, |largest, gradient| largest.max(gradient.abs()));
        let mut farthest = 0.0_f64;
        for &id in &ids {
            for index in [0, 7] {
                let exact = of_kept.get(id)[index];
                let [near, far] =
                    [1e-3, 2e-3].map(|step| difference(&mut model, &kept, (id, index), step));
                // What both err by, h²/6 of the third derivative, cancels.
                let measured = (4.0 * near - far) / 3.0;
                let name = model.parameters().name(id);
                let error = (exact - measured).abs() / largest;
                assert!(error < 1e-5, "{settings:?} {name} {index}: {exact} and {measured}");
                let rounded = f64::from(of_single.get(id)[index]);
                assert!((exact - rounded).abs() < 1e-4 * largest, "{name}: {exact}, {rounded}");
                farthest = farthest.max((of_whole.get(id)[index] - measured).abs() / largest);
            }
        }
        assert_eq!(trits(&model), codes);
        // The whole batch has other gradients.
        assert!(farthest > 1e-2, "{settings:?}: {farthest}");
    }
}
