//! How far the software that made a set is off counts as far as the set bears it out.

use std::fs;

use serde_json::Value;

use super::{LAYER, MODEL, change_json, copy, failure, report, report_of};
use crate::fixtures::tensors;

#[test]
fn recorded_distances_are_held_to_the_numbers_that_they_are_of() {
    let set = copy(&[LAYER]);
    let folder = set.path().join(LAYER);
    let reference = tensors::read(&folder.join("ref_f64.safetensors")).unwrap();
    let mut own = tensors::Tensors::from([("y".to_owned(), reference["y"].clone())]);
    let y = &mut own.get_mut("y").unwrap().values;
    let largest = y.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    y[0] += 1e-5 * largest;
    tensors::write(&folder.join("ref_f32.safetensors"), &own).unwrap();
    let record = |distance: f64| {
        change_json(&folder.join("case.json"), |case| {
            case["checks"]["library_f32_rel_err"] = serde_json::json!({"y": distance});
        });
    };
    record(1e-5);
    assert_eq!(report(set.path()).failures(), 0, "{}", report(set.path()).text());
    record(1e-2);
    assert!(failure(set.path()).contains("recorded is 1e-2"));
    fs::remove_file(folder.join("ref_f32.safetensors")).unwrap();
    let text = failure(set.path());
    assert!(text.contains("the distance of y is recorded, and there is no ref_f32"), "{text}");
}

#[test]
fn distances_of_a_model_widen_nothing_without_the_numbers_that_they_are_of() {
    let set = copy(&[MODEL]);
    let folder = set.path().join(MODEL);
    change_json(&folder.join("expected.json"), |expected| {
        expected["f32_vs_f64_rel_err"] = serde_json::json!({"logits": 1e-5, "block.0": 1e-2});
    });
    let text = failure(set.path());
    assert!(text.contains("is recorded, and there is no ref_f32"), "{text}");
    let mut own = tensors::read(&folder.join("ref_f64.safetensors")).unwrap();
    own.retain(|name, _| name == "logits");
    let logits = &mut own.get_mut("logits").unwrap().values;
    let largest = logits.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    logits[0] += 1e-5 * largest;
    tensors::write(&folder.join("ref_f32.safetensors"), &own).unwrap();
    assert_eq!(report(set.path()).failures(), 0, "{}", report(set.path()).text());
    // What the file does not bear out counts no more than what it does.
    let report = report_of(set.path(), "model/").to_json();
    let rows = report["cases"][0]["tensors"].as_array().unwrap();
    let is_block = |row: &&Value| row["tensor"] == "block.0" && row["check"] == "f32";
    let block = rows.iter().find(is_block).unwrap();
    let [allowed, largest] = ["allowed", "largest"].map(|key| block[key].as_f64().unwrap());
    assert!(allowed < 1.01e-4 * largest, "{block}");
}
