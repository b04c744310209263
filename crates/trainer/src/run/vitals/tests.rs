use models::Decoder;
use nn::{Rounding, Update, ValuesMut};

use super::*;
use crate::config::{self, Configuration};
use crate::data::VOCABULARY;
use crate::run::model::build;

fn configuration(settings: &[&str]) -> Configuration {
    let mut layers = config::Layers::default();
    let small = ["model.width=32", "model.layers=1", "model.feed_forward=48"];
    layers.add_assignments(small).unwrap();
    layers.add_assignments(settings.iter().copied()).unwrap();
    layers.resolve().unwrap()
}

fn model(settings: &[&str]) -> Decoder<f32> {
    build(&configuration(settings), VOCABULARY).unwrap()
}

/// All trits, matrix after matrix.
fn trits(model: &Decoder<f32>) -> Vec<Vec<i8>> {
    let mut trits = Vec::new();
    each_matrix(model, &mut |matrix| trits.push(matrix.to_trits()));
    trits
}

/// Turns the latent weights of the first ternary matrix around, and decides the codes anew; without latent
/// weights, its trits.
fn turn_the_first_matrix(model: &mut Decoder<f32>) {
    let mut first = None;
    model.visit(&mut |tensor| {
        if trained(&tensor).is_some() {
            first = first.or(tensor.id);
        }
    });
    model.visit_mut(&mut |id, mut values| {
        if Some(id) != first {
            return;
        }
        if let ValuesMut::Ternary(matrix) = values {
            let negated: Vec<i8> = matrix.to_trits().into_iter().map(|trit| -trit).collect();
            let cols = matrix.cols();
            for row in 0..matrix.rows() {
                matrix.decide_row(row, |col, _| negated[row * cols + col]).unwrap();
            }
        } else {
            values.update(Rounding::Nearest, |_, weights| {
                weights.iter_mut().for_each(|weight| *weight = -*weight);
            });
        }
    });
    model.requantize(Update::hard(1, 1)).unwrap();
}

#[test]
fn shares_are_those_of_the_unpacked_trits_with_and_without_latent_weights() {
    for settings in [&[][..], &["dqt=true"], &["ternary.packing=five-trits"]] {
        let mut model = model(settings);
        let mut watch = Watch::default();
        watch.begin(&model);
        let before = trits(&model);
        turn_the_first_matrix(&mut model);
        let after = trits(&model);
        let changed = |index: usize| {
            before[index].iter().zip(&after[index]).filter(|(old, new)| old != new).count() as f64
        };
        let all = before.iter().map(Vec::len).sum::<usize>() as f64;
        assert!(changed(0) > 100.0 && changed(1) == 0.0, "{settings:?}");
        assert_eq!(watch.flips(&model), Some(changed(0) / all), "{settings:?}");
        assert_eq!(watch.flips(&model), Some(0.0));
        let layers = watch.layers(&model).unwrap();
        assert_eq!(layers.matrices.len(), before.len());
        assert_eq!(layers.flips, changed(0) / (2.0 * all));
        let first = &layers.matrices[0];
        assert_eq!(first.flips, changed(0) / (2.0 * before[0].len() as f64));
        let zeros = after[0].iter().filter(|trit| **trit == 0).count() as f64;
        assert_eq!(first.sparsity, zeros / before[0].len() as f64);
        assert!(first.name.ends_with(".weight") && (1.0..1.6).contains(&first.effective_bits));
        // Counting begins anew, but not that of the run.
        assert_eq!(watch.layers(&model).unwrap().flips, 0.0);
        let vitals = watch.vitals(&model).unwrap();
        assert_eq!(vitals.flips, changed(0) / (2.0 * all));
        assert_eq!(vitals.sparsity, layers.sparsity);
    }
}

#[test]
fn scales_and_what_is_learned_stand_beside_their_matrix() {
    let plain = watch_one(&["ternary.granularity=row"]);
    assert_eq!((plain.scales.negative_scale, plain.scales.positive_scale), (None, None));
    let scale = plain.scales.scale.unwrap();
    assert!(0.0 < scale.smallest && scale.smallest < scale.mean && scale.mean < scale.largest);
    assert!(plain.learned.is_empty());

    let learned = watch_one(&["ste=ttq", "ternary.threshold_learned=true"]);
    assert!(learned.scales.scale.is_none() && learned.scales.negative_scale.is_some());
    assert_eq!(
        learned.learned.keys().collect::<Vec<_>>(),
        ["negative_scale", "positive_scale", "threshold"]
    );
    assert_eq!(Some(learned.learned["positive_scale"]), learned.scales.positive_scale);
    let line = serde_json::to_value(&learned).unwrap();
    assert!(line["negative_scale"]["mean"].as_f64().unwrap() > 0.0, "{line}");
    assert!(line["learned"]["threshold"]["mean"].as_f64().unwrap() > 0.0, "{line}");
}

#[test]
fn what_matrices_learn_together_stands_beside_them_by_its_name() {
    let model =
        model(&["ste=ttq", "ternary.threshold_learned=true", "ternary.scale_sync=per-block"]);
    let mut watch = Watch::default();
    watch.begin(&model);
    let layers = watch.layers(&model).unwrap();
    let names = ["negative_scale", "positive_scale", "threshold"];
    let names = names.map(|name| format!("model.layers.0.{name}"));
    assert_eq!(layers.shared.keys().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
    let own =
        layers.matrices.iter().find(|matrix| matrix.name.ends_with("up_proj.weight")).unwrap();
    assert!(own.learned.is_empty());
    assert_eq!(Some(layers.shared[&names[1]]), own.scales.positive_scale);
}

fn watch_one(settings: &[&str]) -> Matrix {
    let model = model(settings);
    let mut watch = Watch::default();
    watch.begin(&model);
    watch.layers(&model).unwrap().matrices.swap_remove(0)
}

#[test]
fn latent_weights_are_told_where_there_are_any_and_drift_from_the_first_scale() {
    let mut model = model(&[]);
    let mut watch = Watch::default();
    watch.begin(&model);
    model.visit_mut(&mut |_, mut values| {
        values.update(Rounding::Nearest, |_, weights| weights.iter_mut().for_each(|w| *w *= 1.5));
    });
    model.requantize(Update::hard(1, 1)).unwrap();
    let matrix = watch.layers(&model).unwrap().matrices.swap_remove(0);
    assert!((matrix.scale_drift.unwrap() - 0.5).abs() < 1e-6, "{matrix:?}");
    let counts = matrix.histogram.as_ref().unwrap().counts();
    assert_eq!(counts.iter().sum::<u64>(), matrix.weights as u64);
    // Of |w| < α/2 that are zero, about half are in the middle half.
    let dead = matrix.dead_zone.unwrap() / matrix.sparsity;
    assert!((0.4..0.6).contains(&dead), "{dead}");
    let without = watch_one(&["dqt=true"]);
    assert_eq!((without.dead_zone, &without.histogram), (None, &None));
}

#[test]
fn a_watch_goes_on_from_its_state_as_if_it_had_not_stopped() {
    let mut model = model(&[]);
    let mut straight = Watch::default();
    straight.begin(&model);
    turn_the_first_matrix(&mut model);
    straight.flips(&model);
    let state = serde_json::to_string(&straight.state()).unwrap();
    let mut resumed = Watch::default();
    assert!(resumed.resume(&model, &serde_json::from_str(&state).unwrap()));
    turn_the_first_matrix(&mut model);
    assert_eq!(resumed.flips(&model), straight.flips(&model));
    assert_eq!(resumed.vitals(&model), straight.vitals(&model));
    assert_eq!(resumed.layers(&model), straight.layers(&model));
    let other = build(&configuration(&["model.layers=2"]), VOCABULARY).unwrap();
    assert!(!resumed.resume(&other, &straight.state()));
}

#[test]
fn layers_are_read_back_as_they_were_written() {
    for settings in [&[][..], &["ste=ttq", "ternary.scale_sync=per-block"], &["dqt=true"]] {
        let model = model(settings);
        let mut watch = Watch::default();
        watch.begin(&model);
        let layers = watch.layers(&model).unwrap();
        let line = serde_json::to_string(&layers).unwrap();
        assert_eq!(serde_json::from_str::<Layers>(&line).unwrap(), layers);
    }
}

#[test]
fn a_model_of_floats_has_no_vital_signs() {
    let model = model(&["float=true"]);
    let mut watch = Watch::default();
    watch.begin(&model);
    assert_eq!((watch.flips(&model), watch.layers(&model)), (None, None));
    assert_eq!(watch.vitals(&model), None);
}
