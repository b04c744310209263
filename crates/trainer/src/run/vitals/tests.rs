use models::Decoder;
use nn::{Rounding, Update, ValuesMut};

use super::*;
use crate::config::{self, Configuration};
use crate::run::model::build;

fn configuration(settings: &[&str]) -> Configuration {
    let mut layers = config::Layers::default();
    let small = ["model.width=32", "model.layers=1", "model.feed_forward=48"];
    layers.add_assignments(small).unwrap();
    layers.add_assignments(settings.iter().copied()).unwrap();
    layers.resolve().unwrap()
}

fn model(settings: &[&str]) -> Decoder<f32> {
    build(&configuration(settings)).unwrap()
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
    assert_eq!(plain.scales.keys().collect::<Vec<_>>(), [&"scale"]);
    let scale = plain.scales["scale"];
    assert!(0.0 < scale.smallest && scale.smallest < scale.mean && scale.mean < scale.largest);
    assert!(plain.learned.is_empty());

    let learned = watch_one(&["ste=ttq", "ternary.threshold_learned=true"]);
    assert_eq!(learned.scales.keys().collect::<Vec<_>>(), [&"negative_scale", &"positive_scale"]);
    assert_eq!(
        learned.learned.keys().collect::<Vec<_>>(),
        ["negative_scale", "positive_scale", "threshold"]
    );
    assert_eq!(learned.learned["positive_scale"], learned.scales["positive_scale"]);
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
    assert_eq!(layers.shared[&names[1]], own.scales["positive_scale"]);
}

fn watch_one(settings: &[&str]) -> Matrix {
    let model = model(settings);
    let mut watch = Watch::default();
    watch.begin(&model);
    watch.layers(&model).unwrap().matrices.swap_remove(0)
}

#[test]
fn a_model_of_floats_has_no_vital_signs() {
    let model = model(&["float=true"]);
    let mut watch = Watch::default();
    watch.begin(&model);
    assert_eq!((watch.flips(&model), watch.layers(&model)), (None, None));
    assert_eq!(watch.vitals(&model), None);
}
