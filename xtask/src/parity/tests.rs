//! The gate passes on the project's own set, and fails on a copy that is broken in any way.

mod distances;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::report::Report;
use super::set::Set;
use crate::fixtures::tensors;

fn own_set() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/gdn")
}

/// A copy of some cases of the project's own set.
fn copy(cases: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut index = serde_json::json!({"layers": [], "models": []});
    for case in cases {
        copy_folder(&own_set().join(case), &folder.path().join(case));
        let (part, name) = case.split_once('/').unwrap();
        let list = index[format!("{part}s")].as_array_mut().unwrap();
        list.push(serde_json::json!({"name": name}));
    }
    fs::write(folder.path().join("index.json"), index.to_string()).unwrap();
    folder
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &to);
        } else {
            fs::copy(&path, to).unwrap();
        }
    }
}

fn report(set: &Path) -> Report {
    report_of(set, "")
}

/// The report on the cases whose names contain `filter`.
fn report_of(set: &Path, filter: &str) -> Report {
    Report { presets: Vec::new(), cases: Set::open(set).unwrap().run(filter) }
}

/// The text for a set that must not pass.
fn failure(set: &Path) -> String {
    failure_of(set, "")
}

/// The same for a part of it.
fn failure_of(set: &Path, filter: &str) -> String {
    let report = report_of(set, filter);
    assert!(report.failures() > 0, "{}", report.text());
    report.text()
}

fn change_tensors(path: &Path, change: impl FnOnce(&mut tensors::Tensors)) {
    let mut all = tensors::read(path).unwrap();
    change(&mut all);
    tensors::write(path, &all).unwrap();
}

fn change_json(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

const LAYER: &str = "layer/three_tokens";
const MODEL: &str = "model/small_qwen3_next";

#[test]
fn the_own_set_passes_and_each_case_counts_once() {
    let report = report(&own_set());
    assert_eq!(report.failures(), 0, "{}", report.text());
    let text = report.text();
    assert_eq!(text.lines().count(), 10 + 3 + 3 + 1, "{text}");
    assert_eq!(text.lines().last(), Some("16 passed, 0 failed, 0 not run"));
    let json = report.to_json();
    assert_eq!((json["passed"].as_u64(), json["not_run"].as_u64()), (Some(16), Some(0)));
    let first = &json["cases"][0]["tensors"][0];
    assert!(first["share"].is_number() && first["passed"] == true, "{first}");
}

#[test]
fn a_wrong_number_in_any_tensor_of_a_layer_is_noticed() {
    let reference = Path::new(LAYER).join("ref_f64.safetensors");
    let names: Vec<String> =
        tensors::read(&own_set().join(&reference)).unwrap().into_keys().collect();
    assert!(names.len() > 40);
    for name in names {
        let set = copy(&[LAYER]);
        change_tensors(&set.path().join(&reference), |tensors| {
            let values = &mut tensors.get_mut(&name).unwrap().values;
            let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
            *values.last_mut().unwrap() += 1e-3 * largest.max(1e-3);
        });
        let text = failure(set.path());
        assert!(text.ends_with("0 passed, 1 failed, 0 not run\n"), "{name}: {text}");
    }
}

#[test]
fn a_wrong_number_in_any_tensor_of_a_model_is_noticed() {
    let reference = Path::new(MODEL).join("ref_f64.safetensors");
    let names: Vec<String> =
        tensors::read(&own_set().join(&reference)).unwrap().into_keys().collect();
    assert!(names.len() > 30);
    for name in names {
        let set = copy(&[MODEL]);
        change_tensors(&set.path().join(&reference), |tensors| {
            let values = &mut tensors.get_mut(&name).unwrap().values;
            let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
            values[0] += 1e-3 * largest;
        });
        let text = failure_of(set.path(), "model/");
        assert!(text.contains("0 passed, 1 failed, 0 not run\n"), "{text}");
        assert!(text.contains(&name), "{name}: {text}");
    }
    for (loss, words) in [("batch0_f64", "loss of batch0"), ("all_batches_f64", "loss of all")] {
        let set = copy(&[MODEL]);
        change_json(&set.path().join(MODEL).join("expected.json"), |expected| {
            let loss = &mut expected["loss"][loss];
            let number = if loss.is_array() { &mut loss[1] } else { loss };
            *number = (number.as_f64().unwrap() + 1e-3).into();
        });
        let text = failure_of(set.path(), "model/");
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn a_gradient_of_an_adapter_that_is_off_by_a_billionth_fails() {
    for (case, count) in [(LAYER, 10), (MODEL, 20)] {
        let reference = Path::new(case).join("ref_f64.safetensors");
        let all = tensors::read(&own_set().join(&reference)).unwrap();
        let of_adapter = |name: &&String| name.starts_with("grad.") && name.contains(".lora_");
        let names: Vec<&String> = all.keys().filter(of_adapter).collect();
        assert!(names.len() >= count, "{case}: {names:?}");
        let set = copy(&[case]);
        for name in names {
            let changed = set.path().join(&reference);
            change_tensors(&changed, |tensors| {
                let values = &mut tensors.get_mut(name).unwrap().values;
                let largest = values.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
                assert!(largest > 0.0, "{name}");
                values[1] += 1e-9 * largest;
            });
            let text = failure_of(set.path(), case);
            assert!(text.contains(&format!("worst {name} (")), "{name}: {text}");
            tensors::write(&changed, &all).unwrap();
        }
    }
}

/// A change of a document.
type Change<'a> = &'a dyn Fn(&mut Value);

#[test]
fn training_that_leads_elsewhere_fails() {
    let training = MODEL.replace("model/", "training/");
    let set = copy(&[MODEL]);
    let folder = set.path().join(MODEL);
    let refused = |words: &str| {
        let text = failure_of(set.path(), &training);
        assert!(text.contains(words), "{words}: {text}");
    };
    let kept = fs::read(folder.join("expected.json")).unwrap();
    let changes: [(&str, Change<'_>); 7] = [
        ("loss of saved before step 8 ", &|json| {
            let loss = &mut json["loss"]["adamw_saved_f64"][7];
            *loss = (loss.as_f64().unwrap() * (1.0 + 1e-7)).into();
        }),
        ("loss of zero_b before step 20 ", &|json| {
            let loss = &mut json["loss"]["adamw_zero_b_f64"][19];
            *loss = (loss.as_f64().unwrap() * (1.0 + 1e-7)).into();
        }),
        ("21 losses of adamw_saved_f64 for 20 steps", &|json| {
            json["loss"]["adamw_saved_f64"].as_array_mut().unwrap().push(1.0.into());
        }),
        ("expected 20 steps of training, found 0", &|json| {
            json["adamw"]["steps"] = 0.into();
            for curve in ["adamw_saved_f64", "adamw_zero_b_f64"] {
                json["loss"][curve] = serde_json::json!([]);
            }
        }),
        ("FAILED", &|json| json["adamw"]["weight_decay"] = 0.02.into()),
        ("FAILED", &|json| json["adamw"]["betas"] = serde_json::json!([0.9, 0.99])),
        ("without amsgrad", &|json| json["adamw"]["amsgrad"] = true.into()),
    ];
    for (words, change) in changes {
        change_json(&folder.join("expected.json"), change);
        refused(words);
        fs::write(folder.join("expected.json"), &kept).unwrap();
    }

    let path = folder.join("trained.safetensors");
    let trained = tensors::read(&path).unwrap();
    let last = trained.keys().next_back().unwrap().clone();
    change_tensors(&path, |tensors| {
        let values = &mut tensors.get_mut(&last).unwrap().values;
        let largest = values.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
        values[0] += 1e-5 * largest;
    });
    refused(&last);
    change_tensors(&path, |tensors| drop(tensors.remove(&last)));
    refused(&last);
    let mut more = trained.clone();
    more.insert("saved.stranger".into(), trained[&last].clone());
    tensors::write(&path, &more).unwrap();
    refused("nobody reads saved.stranger");
}

#[test]
fn a_case_that_is_not_run_is_a_failure() {
    let set = copy(&[LAYER]);
    change_json(&set.path().join("index.json"), |index| {
        index["decoders"] = serde_json::json!([{"name": "later"}]);
        index["made_with"] = serde_json::json!({"torch": "2"});
    });
    let text = failure(set.path());
    assert!(text.contains("not run  decoders/later: this gate knows no check"), "{text}");
    assert!(text.ends_with("1 passed, 0 failed, 1 not run\n"), "{text}");
    assert_eq!(report_of(set.path(), LAYER).failures(), 0);
}

#[test]
fn a_tensor_that_is_gone_or_that_nobody_reads_fails_whatever_the_lists_say() {
    for (case, list) in [(LAYER, "ref_shapes"), (MODEL, "ref_f64")] {
        let described = if case == LAYER { "case.json" } else { "expected.json" };
        for is_listed in [true, false] {
            let (gone, more) = (copy(&[case]), copy(&[case]));
            let shapes = |set: &TempDir, change: &dyn Fn(&mut Value)| {
                change_json(&set.path().join(case).join(described), |json| {
                    let json = if case == LAYER { json } else { &mut json["shapes"] };
                    change(&mut json[list]);
                });
            };
            let name = if case == LAYER { "y" } else { "logits" };
            let reference = |set: &TempDir| set.path().join(case).join("ref_f64.safetensors");
            change_tensors(&reference(&gone), |tensors| drop(tensors.remove(name)));
            change_tensors(&reference(&more), |tensors| {
                let twin = tensors[name].clone();
                tensors.insert("grad.stranger".into(), twin);
            });
            if !is_listed {
                shapes(&gone, &|shapes| drop(shapes.as_object_mut().unwrap().remove(name)));
                shapes(&more, &|shapes| shapes["grad.stranger"] = shapes[name].clone());
            }
            assert!(failure(gone.path()).contains(name), "{}", failure(gone.path()));
            let text = failure(more.path());
            assert!(text.contains("grad.stranger"), "{text}");
        }
    }
}

#[test]
fn what_nobody_reads_fails() {
    let set = copy(&[LAYER, MODEL]);
    for place in [LAYER, &format!("{MODEL}/base"), &format!("{MODEL}/adapter"), MODEL] {
        let path = set.path().join(place).join("more.safetensors");
        fs::write(&path, b"").unwrap();
        let text = failure(set.path());
        assert!(text.contains("nobody reads this file"), "{text}");
        fs::remove_file(path).unwrap();
    }
    assert_eq!(report(set.path()).failures(), 0);
    let folder = set.path().join(LAYER).join("more");
    fs::create_dir(&folder).unwrap();
    assert!(failure(set.path()).contains("nobody reads this file"));
    fs::remove_dir(folder).unwrap();
    let inputs = set.path().join(LAYER).join("inputs.safetensors");
    change_tensors(&inputs, |tensors| {
        let twin = tensors["x"].clone();
        tensors.insert("ds".into(), twin);
    });
    assert!(failure(set.path()).contains("ds is not listed"));
    fs::write(set.path().join("more.txt"), b"").unwrap();
    assert!(Set::open(set.path()).unwrap_err().to_string().contains("nobody reads this file"));
}

#[test]
fn files_that_are_gone_or_cut_off_fail_their_case() {
    let files = [
        (LAYER, vec!["case.json", "inputs.safetensors", "ref_f64.safetensors"]),
        (
            MODEL,
            vec![
                "expected.json",
                "tokens.safetensors",
                "ref_f64.safetensors",
                "base/config.json",
                "base/model-00002-of-00003.safetensors",
                "base/model.safetensors.index.json",
                "adapter/adapter_config.json",
                "adapter/adapter_model.safetensors",
                "trained.safetensors",
            ],
        ),
    ];
    for (case, files) in files {
        for file in files {
            let set = copy(&[case]);
            let path = set.path().join(case).join(file);
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            failure(set.path());
            fs::remove_file(&path).unwrap();
            failure(set.path());
        }
    }
}

#[test]
fn an_adapter_that_counts_otherwise_or_fits_no_module_fails() {
    let set = copy(&[MODEL]);
    let adapter = set.path().join(MODEL).join("adapter");
    let config = adapter.join("adapter_config.json");
    change_json(&config, |config| config["lora_alpha"] = 5.into());
    assert!(failure(set.path()).contains("lora_scale"));
    change_json(&config, |config| config["lora_alpha"] = 4.into());
    assert_eq!(report(set.path()).failures(), 0);
    change_tensors(&adapter.join("adapter_model.safetensors"), |tensors| {
        let prefix = "base_model.model.model.layers";
        for matrix in ["lora_A", "lora_B"] {
            let tensor =
                tensors[&format!("{prefix}.0.linear_attn.out_proj.{matrix}.weight")].clone();
            tensors.insert(format!("{prefix}.9.linear_attn.out_proj.{matrix}.weight"), tensor);
        }
    });
    let text = failure_of(set.path(), MODEL);
    assert!(text.contains("model.layers.9.linear_attn.out_proj"), "{text}");
}

#[test]
fn the_list_must_be_that_of_the_folders() {
    let set = copy(&[LAYER]);
    let index = set.path().join("index.json");
    let refused = |words: &str| {
        let error = Set::open(set.path()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    change_json(&index, |index| {
        index["layers"].as_array_mut().unwrap().push(serde_json::json!({"name": "gone"}));
    });
    refused("gone is in index.json and not here");
    change_json(&index, |index| {
        let layers = index["layers"].as_array_mut().unwrap();
        layers[1] = layers[0].clone();
    });
    refused("lists a case twice");
    for more in [serde_json::json!({"name": "later"}), serde_json::json!([]), Value::Null] {
        let kept = fs::read(&index).unwrap();
        change_json(&index, |index| {
            index["layers"].as_array_mut().unwrap().truncate(1);
            index["decoders"] = more;
        });
        refused("nobody reads decoders");
        fs::write(&index, kept).unwrap();
    }
    fs::create_dir(set.path().join("decoder")).unwrap();
    change_json(&index, |index| index["layers"].as_array_mut().unwrap().truncate(1));
    refused("nobody reads this file");
    fs::remove_dir(set.path().join("decoder")).unwrap();
    change_json(&index, |index| index["layers"] = serde_json::json!([]));
    refused("three_tokens is not in index.json");
    fs::remove_dir_all(set.path().join("layer")).unwrap();
    refused("lists no case");
    fs::remove_file(&index).unwrap();
    refused("index.json");
}
