//! Whole runs through the command: they learn, repeat, and can be evaluated again.

mod ternary;

use std::fs;

use serde_json::Value;
use ternary::{Done, Folder};

/// A model that a test can wait for.
const SMALL: &str = "--set model.width=64 --set model.layers=2 --set model.feed_forward=128 \
                     --set batch.windows=2 --set batch.length=256 --set evaluation.windows=16";

fn train(folder: &Folder, out: &str, arguments: &str) -> Done {
    let done = folder.ternary(&format!("train {SMALL} --out {out} {arguments}"));
    assert_eq!(done.code, Some(0), "{done:?}");
    done
}

/// The metrics of a run.
fn metrics(folder: &Folder, out: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder.path(out).join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The metrics of a run without what depends on the clock.
fn timeless_metrics(folder: &Folder, out: &str) -> Vec<Value> {
    let mut records = metrics(folder, out);
    for record in &mut records {
        let record = record.as_object_mut().unwrap();
        assert!(record.remove("seconds").is_some() || record["kind"] == "start");
        record.remove("tokens_per_second");
        record.remove("peak_memory");
        record.remove("fogzo_seconds");
        record.remove("mining_seconds");
    }
    records
}

/// The losses of the steps, and the held-out ones.
fn losses(records: &[Value]) -> (Vec<f64>, Vec<f64>) {
    let of = |kind: &str, key: &str| {
        let records = records.iter().filter(|record| record["kind"] == kind);
        records.map(|record| record[key].as_f64().unwrap()).collect::<Vec<_>>()
    };
    (of("step", "loss"), of("evaluation", "nats"))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Bytes with a pattern that a model can learn: words of a small vocabulary.
fn text_of_a_user() -> Vec<u8> {
    let words = [&b"ternary "[..], b"weights ", b"learn ", b"from bytes\n", &[0xff, 0x00]];
    (0..4000_usize).flat_map(|i| words[(i * i + i / 7) % words.len()].iter().copied()).collect()
}

#[test]
fn ternary_and_float_models_learn_and_the_run_folder_tells_how() {
    let folder = Folder::new("learns");
    for (out, flag) in [("ternary", ""), ("float", "--float")] {
        train(&folder, out, &format!("--steps 30 --set evaluation.every=10 {flag}"));
        let records = metrics(&folder, out);
        let (steps, evaluations) = losses(&records);
        assert_eq!((steps.len(), evaluations.len()), (30, 3), "{out}");
        // Untrained, all 256 bytes are about equally likely: scores of variance 1 cost half a nat.
        assert!((5.5..6.7).contains(&steps[0]), "{out}: {}", steps[0]);
        assert!(mean(&steps[25..]) < steps[0] - 1.5, "{out}: {steps:?}");
        assert!(evaluations[2] < evaluations[0], "{out}: {evaluations:?}");
        for record in records.iter().filter(|record| record["kind"] == "step") {
            for key in ["learning_rate", "gradient_norm", "tokens_per_second", "seconds"] {
                assert!(record[key].as_f64().unwrap() > 0.0, "{out}: {key} in {record}");
            }
        }
        let is_layers = |record: &&Value| record["kind"] == "layers";
        let layers: Vec<&Value> = records.iter().filter(is_layers).collect();
        if out == "float" {
            assert!(layers.is_empty() && records.iter().all(|record| record["flips"].is_null()));
        } else {
            let flips = records.iter().filter(|record| record["kind"] == "step");
            let flips: Vec<f64> = flips.map(|record| record["flips"].as_f64().unwrap()).collect();
            assert!(flips.iter().all(|share| (0.0..0.5).contains(share)), "{flips:?}");
            assert_eq!(layers.len(), 3);
            for (index, record) in layers.into_iter().enumerate() {
                let share = record["flips"].as_f64().unwrap();
                assert!((share - mean(&flips[10 * index..][..10])).abs() < 1e-12, "{record}");
                assert!((0.1..0.6).contains(&record["sparsity"].as_f64().unwrap()), "{record}");
                assert_eq!(record["matrices"].as_array().unwrap().len(), 2 * 7);
            }
        }
        for name in ["config.toml", "metrics.jsonl", "model", "summary.json", "report.html"] {
            assert!(folder.path(out).join(name).exists(), "{out}: {name}");
        }
        let config = fs::read_to_string(folder.path(out).join("config.toml")).unwrap();
        assert!(config.contains(&format!("\nfloat = {} ", !flag.is_empty())), "{config}");
    }
}

#[test]
fn piped_the_last_line_of_standard_output_is_the_summary_and_there_is_no_bar() {
    let folder = Folder::new("piped");
    let done = train(&folder, "run", "--steps 3 --set log.every=1");
    let last = losses(&metrics(&folder, "run")).1.pop().unwrap();
    let summary = done.stdout.lines().last().unwrap();
    assert!(summary.starts_with(&format!("held-out loss {last:.4} nats/byte (")), "{summary}");
    for part in
        ["bits/byte, perplexity ", " after 3 steps in ", " tokens/s; ", "; the model is in run"]
    {
        assert!(summary.contains(part), "{summary}");
    }
    assert!(!done.stderr.chars().any(|c| c.is_control() && c != '\n'), "{:?}", done.stderr);
    let logged = done.stderr.lines().filter(|line| line.starts_with("step ")).count();
    assert_eq!(logged, 3, "{}", done.stderr);
}

#[test]
fn a_saved_model_has_the_loss_that_its_run_reported() {
    let folder = Folder::new("evaluates");
    let text = text_of_a_user();
    fs::write(folder.path("text"), &text).unwrap();
    // The tenth that the run holds out.
    let held_out = &text[text.len() - text.len().div_ceil(10)..];
    fs::write(folder.path("held-out"), held_out).unwrap();
    let shared = "--preset moe --set ternary.scale_sync=per-block --set model.per_layer_embedding=16 \
                  --ste ttq";
    for (out, flag) in [
        ("ternary", ""),
        ("float", "--float"),
        ("shared", shared),
        ("hybrid", "--preset hybrid --set delta.attention_every=2 --set delta.fused=true"),
    ] {
        train(&folder, out, &format!("--steps 10 --data text {flag}"));
        let reported = losses(&metrics(&folder, out)).1.pop().unwrap();
        let arguments = format!("eval --model {out}/model --data held-out --windows 16 --json");
        let done = folder.ternary(&arguments);
        assert_eq!(done.code, Some(0), "{done:?}");
        let found: Value = serde_json::from_str(done.stdout.lines().last().unwrap()).unwrap();
        assert_eq!(found["nats_per_byte"].as_f64(), Some(reported), "{out}");

        let done = folder.ternary(&format!("eval --model {out}/model --data text"));
        let summary = done.stdout.lines().last().unwrap();
        let bytes = text.len() - 1;
        assert!(summary.contains(&format!("over {bytes} bytes of text")), "{summary}");
    }
    let slide = |arguments: &str| {
        let done =
            folder.ternary(&format!("eval --model float --data held-out --json {arguments}"));
        let found: Value = serde_json::from_str(&done.stdout).unwrap_or_default();
        (done.code, found["predictions"].as_u64(), found["nats_per_byte"].as_f64(), done.stderr)
    };
    let (whole, sliding) = (slide(""), slide("--stride 64"));
    assert_eq!((whole.0, whole.1), (Some(0), Some(held_out.len() as u64 - 1)));
    assert!(sliding.1 == whole.1 && sliding.2 != whole.2, "{sliding:?}");
    for stride in ["257", "0"] {
        assert_eq!(slide(&format!("--stride {stride}")).0, Some(2), "{stride}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run_on_any_number_of_threads() {
    let folder = Folder::new("repeats");
    for (name, flag) in [
        ("ternary", ""),
        ("float", "--float"),
        ("measured", "--fogzo-from 0.5 --ohem 0.7"),
        (
            "experts",
            "--preset moe --set ternary.scale_sync=per-expert --set model.per_layer_embedding=8",
        ),
    ] {
        let arguments = format!("--steps 12 --set evaluation.every=5 --seed 7 {flag}");
        for threads in 1..=3 {
            let out = format!("{name}-{threads}");
            let arguments = format!("train {SMALL} --out {out} {arguments}");
            assert_eq!(folder.ternary_on_threads(threads, &arguments).code, Some(0));
        }
        let first = timeless_metrics(&folder, &format!("{name}-1"));
        for threads in 2..=3 {
            let other = timeless_metrics(&folder, &format!("{name}-{threads}"));
            assert_eq!(first, other, "{name}, {threads} threads");
        }
    }
    train(&folder, "other-seed", "--steps 12 --seed 8");
    let other = losses(&timeless_metrics(&folder, "other-seed")).0;
    assert_ne!(losses(&timeless_metrics(&folder, "ternary-1")).0, other);
}

#[test]
fn the_configuration_of_a_run_repeats_it_from_any_folder() {
    let (folder, elsewhere) = (Folder::new("config"), Folder::new("config-elsewhere"));
    fs::write(folder.path("text"), text_of_a_user()).unwrap();
    let set = "--set ternary.quantiser=twn0.7 --set ternary.granularity=row \
               --set ste=clipped --set ternary.packing=five-trits";
    train(&folder, "first", &format!("--steps 6 --seed 3 --data text {set}"));
    fs::copy(folder.path("first/config.toml"), elsewhere.path("copy.toml")).unwrap();
    let done = elsewhere.ternary("train --config copy.toml --out second");
    assert_eq!(done.code, Some(0), "{done:?}");
    let (first, second) = ((&folder, "first"), (&elsewhere, "second"));
    assert_eq!(timeless_metrics(first.0, first.1), timeless_metrics(second.0, second.1));
    let [first, second] = [first, second]
        .map(|(folder, out)| fs::read_to_string(folder.path(out).join("config.toml")).unwrap());
    assert_eq!(first, second);
}

#[test]
fn a_run_without_a_folder_gets_the_next_free_one() {
    let folder = Folder::new("numbered");
    for number in 1..=2 {
        let done = folder.ternary(&format!("train {SMALL} --steps 1"));
        assert_eq!(done.code, Some(0), "{done:?}");
        let path = format!("runs/tiny-{number:04}/model");
        assert!(done.stdout.replace('\\', "/").contains(&path) && folder.path(&path).is_dir());
    }
}

#[test]
fn a_run_that_diverges_fails_at_its_step_and_saves_no_model() {
    let folder = Folder::new("diverges");
    let done = folder.ternary(&format!(
        "train {SMALL} --out run --steps 30 --set optimiser.learning_rate=1e38 \
         --set optimiser.warm_up=0"
    ));
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(done.stdout, "");
    let error = done.stderr.lines().last().unwrap();
    assert!(error.starts_with("error: step ") && error.contains("finite"), "{error}");
    assert!(!folder.path("run/model").exists());
    let (losses, _) = losses(&metrics(&folder, "run"));
    assert!(losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
}

#[test]
fn mixtures_learn_and_experts_start_as_copies_of_a_dense_model() {
    let folder = Folder::new("moe");
    train(&folder, "moe", "--preset moe --steps 30");
    let records = metrics(&folder, "moe");
    let (steps, _) = losses(&records);
    assert!(mean(&steps[25..]) < steps[0] - 1.5, "{steps:?}");
    let router = records.iter().filter(|record| record["kind"] == "step");
    // Two layers, each with 0.01 for a balanced router and little more.
    assert!(router.into_iter().all(|record| record["router_loss"].as_f64().unwrap() > 0.019));

    train(&folder, "dense", "--float --steps 20");
    let model = folder.path("dense/model");
    let from = format!("--from {} --steps 1 --float", model.display());
    train(&folder, "copies", &format!("{from} --set mixture.experts=3"));
    let [dense, copies] = ["dense", "copies"].map(|out| losses(&metrics(&folder, out)));
    // The first batch is the same text; a mixture of equal experts is the dense model.
    assert!(copies.0[0] < dense.0[0] - 1.0, "{} and {}", copies.0[0], dense.0[0]);
    let written = fs::read_to_string(folder.path("copies/config.toml")).unwrap();
    assert!(written.contains("dense/model"), "{written}");

    let moe = folder.path("moe/model");
    let refused =
        folder.ternary(&format!("train {SMALL} --preset moe --out x --from {}", moe.display()));
    assert!(refused.code != Some(0) && refused.stderr.contains("float weights"), "{refused:?}");
}

/// The scales of matrices by name, from the last record of layers.
fn scales(records: &[Value]) -> Vec<(String, Value)> {
    let last = records.iter().rfind(|record| record["kind"] == "layers").unwrap();
    let matrices = last["matrices"].as_array().unwrap().iter();
    matrices.map(|matrix| (matrix["name"].as_str().unwrap().to_owned(), matrix.clone())).collect()
}

#[test]
fn the_channels_of_a_block_learn_with_one_scale_and_a_per_layer_embedding() {
    let folder = Folder::new("shared");
    let block =
        "--preset moe --set ternary.scale_sync=per-block --set model.per_layer_embedding=16";
    let keys = ["positive_scale", "negative_scale"];
    for (out, mode) in [("fitted", "twn"), ("learned", "ttq")] {
        train(&folder, out, &format!("{block} --ste {mode} --steps 30"));
        let records = metrics(&folder, out);
        let (steps, _) = losses(&records);
        assert!(mean(&steps[25..]) < steps[0] - 1.5, "{steps:?}");
        for layer in 0..2 {
            let of_layer = format!("model.layers.{layer}.");
            let mut channels = scales(&records);
            channels.retain(|(name, _)| name.starts_with(&of_layer) && !name.contains("self_attn"));
            // Gate, up and down of four experts and the shared one, and two of the embedding.
            assert_eq!(channels.len(), 5 * 3 + 2);
            let first = &channels[0].1;
            let keys = if mode == "ttq" { &keys[..] } else { &["scale"] };
            for (name, matrix) in &channels {
                for key in keys {
                    assert!(matrix[key]["mean"].is_number() || matrix[key].is_number(), "{matrix}");
                    assert_eq!(matrix[key], first[key], "{name}");
                }
            }
        }
    }
    for (refused, keys) in [
        ("--set ternary.granularity=row", "ternary.scale_sync, ternary.granularity"),
        ("--dqt", "ternary.scale_sync, dqt"),
    ] {
        let done = folder.ternary(&format!("train {SMALL} {block} --out x {refused}"));
        assert!(done.code == Some(2) && done.stderr.contains(keys), "{done:?}");
    }
}

/// Words as tokens, of which one begins every text.
const WORDS: &str = r#"{"version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [{"id": 5, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true}],
    "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
    "model": {"type": "WordLevel", "vocab": {"?": 0, "one": 1, "two": 2, "three": 3, "four": 4, "</s>": 5},
        "unk_token": "?"}}"#;

#[test]
fn a_model_of_tokens_goes_with_its_tokenizer() {
    let folder = Folder::new("tokens");
    fs::write(folder.path("words.json"), WORDS).unwrap();
    let words = ["one ", "two ", "three ", "four "];
    let text: String = (0..6000_usize).map(|i| words[(i + i / 5) % 4]).collect();
    fs::create_dir(folder.path("texts")).unwrap();
    fs::write(folder.path("texts/a.txt"), &text).unwrap();
    fs::write(folder.path("valid.txt"), &text[..2000]).unwrap();
    let arguments = "--data texts/*.txt --valid valid.txt --tokenizer words.json --set text.cache=cache \
                     --steps 20 --set evaluation.keep_best=true";
    let small = SMALL.replace("batch.length=256", "batch.length=32");
    let done = folder.ternary(&format!("train {small} --out run {arguments}"));
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.contains("nats/token"), "{}", done.stdout);
    for model in ["run", "run/best"] {
        let done = folder.ternary(&format!("eval --model {model} --data valid.txt --json"));
        let found: Value = serde_json::from_str(&done.stdout).unwrap();
        let [token, byte] =
            ["nats_per_token", "nats_per_byte"].map(|key| found[key].as_f64().unwrap());
        assert!(token < 1.5 && byte < token / 4.0, "{model}: {found}");
        let done = folder.ternary(&format!("generate --model {model} --prompt one --tokens 6"));
        assert!(words.iter().any(|word| done.stdout.contains(word.trim())), "{done:?}");
    }
    // The second run finds the tokens of the first.
    let again = folder.ternary(&format!("train {small} --out again {arguments}"));
    assert_eq!(losses(&metrics(&folder, "again")), losses(&metrics(&folder, "run")), "{again:?}");
}
