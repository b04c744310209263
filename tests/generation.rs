//! Texts that models go on with, and models that others made.

mod ternary;

use std::fs;
use std::path::Path;

use serde_json::Value;
use ternary::{Done, Folder};

/// A run of a few seconds.
const SMALL: &str = "train --set model.width=64 --set model.heads=2 --set model.key_value_heads=1 \
                     --set model.feed_forward=96 --set batch.windows=4 --set batch.length=64 \
                     --set evaluation.windows=8";

/// Small models as Hugging Face's tools leave them.
const OTHERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../xtask/fixtures/gdn/model");

/// Six words, and an end of texts.
const TOKENIZER: &str = r#"{
  "version": "1.0", "truncation": null, "padding": null,
  "added_tokens": [{"id": 39, "content": "<end>", "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": true}],
  "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
  "decoder": null,
  "model": {"type": "WordLevel", "unk_token": "a",
            "vocab": {"a": 0, "cat": 1, "sat": 2, "on": 3, "the": 4, "mat": 5, "<end>": 39}}
}"#;

fn last_json(done: &Done) -> Value {
    assert_eq!(done.code, Some(0), "{done:?}");
    serde_json::from_str(done.stdout.lines().last().unwrap()).unwrap()
}

/// Copies the files of a model, in a folder of the name `to`.
fn copy_model(name: &str, folder: &Folder, to: &str) {
    fs::create_dir(folder.path(to)).unwrap();
    for entry in fs::read_dir(Path::new(OTHERS).join(name).join("base")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path(to).join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn a_trained_model_goes_on_with_a_text_the_same_for_the_same_seed() {
    let folder = Folder::new("generates");
    for (out, flags) in [("tiny", ""), ("hybrid", "--preset hybrid --set delta.attention_every=2")]
    {
        let done = folder.ternary(&format!("{SMALL} --steps 8 --out {out} {flags}"));
        assert_eq!(done.code, Some(0), "{done:?}");
        let generate = |flags: &str| {
            folder
                .ternary(&format!("generate --model {out}/model --prompt Once --tokens 30 {flags}"))
        };
        let told = generate("--seed 3");
        assert!(told.stderr.contains("4 tokens of the prompt in"), "{}", told.stderr);
        let found = last_json(&generate("--seed 3 --json"));
        assert_eq!(told.stdout, format!("{}\n", found["text"].as_str().unwrap()));
        assert_eq!(found["tokens"].as_array().unwrap().len(), 30);
        assert_ne!(generate("--seed 4").stdout, told.stdout);
        // The likeliest tokens are the same whatever the seed, and however few may be drawn from.
        let likeliest = generate("--temperature 0").stdout;
        assert_eq!(generate("--top-k 1 --seed 9").stdout, likeliest);
        assert_eq!(generate("--top-p 0.000001 --seed 9").stdout, likeliest);
        // Numbers instead of a text.
        let ids = format!("generate --model {out}/model --ids 79,110,99,101 --tokens 30 --seed 3");
        assert_eq!(folder.ternary(&ids).stdout, told.stdout);
        let done = folder.ternary(&format!("generate --model {out}/model --prompt a --tokens 65"));
        assert_eq!(done.code, Some(1));
        assert!(done.stderr.contains("64 positions") && done.stderr.contains("--tokens"));
        // Where nothing else is asked for, as many as there are positions for.
        let done = folder.ternary(&format!("generate --model {out}/model --prompt -a --json"));
        assert_eq!(last_json(&done)["tokens"].as_array().unwrap().len(), 63);
        let done = folder.ternary(&format!("generate --model {out}/model --ids ,"));
        assert!(done.code == Some(1) && done.stderr.contains("the prompt is empty"), "{done:?}");
    }
}

#[test]
fn models_that_others_made_are_evaluated_and_run_by_numbers() {
    let folder = Folder::new("others");
    fs::write(folder.path("ids"), "1, 5 7\n2 9 30 31 4 4 8").unwrap();
    for entry in fs::read_dir(OTHERS).unwrap() {
        let model = entry.unwrap().path().join("base");
        let model = model.display();
        let done = folder.ternary(&format!("eval --model {model} --data ids --ids"));
        assert!(done.stdout.contains("nats/token") && done.stdout.contains("over 9 tokens of ids"));
        let found =
            last_json(&folder.ternary(&format!("eval --model {model} --data ids --ids --json")));
        let nats = found["nats_per_token"].as_f64().unwrap();
        assert!((2.0..6.0).contains(&nats) && found["nats_per_byte"].is_null(), "{found}");
        let generate = format!("generate --model {model} --ids 1,5,7 --tokens 5 --temperature 0");
        let done = folder.ternary(&generate);
        let numbers: Vec<u32> =
            done.stdout.split_whitespace().map(|word| word.parse().unwrap()).collect();
        assert_eq!(numbers.len(), 5, "{done:?}");
        let done = folder.ternary(&format!("generate --model {model} --prompt a"));
        assert!(done.code == Some(1) && done.stderr.contains("--ids"), "{done:?}");
        let done = folder.ternary(&format!("generate --model {model} --ids 1,999 --tokens 3"));
        assert!(
            done.code == Some(1) && done.stderr.contains("--ids: ") && done.stderr.contains("999")
        );
        fs::write(folder.path("unknown"), "1 2 999").unwrap();
        let done = folder.ternary(&format!("eval --model {model} --data unknown --ids"));
        assert!(done.code == Some(1) && done.stderr.contains("unknown: "), "{done:?}");
    }
}

#[test]
fn a_tokenizer_reads_the_prompt_and_spells_what_comes_after_it() {
    let folder = Folder::new("tokenizer");
    copy_model("small_qwen3_5_text", &folder, "model");
    fs::write(folder.path("model/tokenizer.json"), TOKENIZER).unwrap();
    fs::write(folder.path("text"), "the cat sat on the mat").unwrap();
    let found = last_json(&folder.ternary("eval --model model --data text --json"));
    let [nats, bits] = ["nats_per_token", "bits_per_byte"].map(|key| found[key].as_f64().unwrap());
    assert_eq!(found["predictions"], 5);
    // Six tokens for 22 bytes.
    assert!((bits * 22.0 / 6.0 * std::f64::consts::LN_2 - nats).abs() < 1e-9, "{found}");
    let command = "generate --model model --prompt cat --tokens 3 --temperature 0 --json";
    let found = last_json(&folder.ternary(command));
    let tokens = found["tokens"].as_array().unwrap().clone();
    assert_eq!((found["prompt_tokens"].as_u64(), tokens.len()), (Some(1), 3));
    // The first of them, as the end of texts.
    let config = format!("{{\"eos_token_id\": [38, {}]}}", tokens[0]);
    fs::write(folder.path("model/generation_config.json"), config).unwrap();
    let found = last_json(&folder.ternary(command));
    assert_eq!((&found["is_ended"], &found["text"]), (&Value::Bool(true), &Value::from("")));
    fs::write(folder.path("model/generation_config.json"), "{\"eos_token_id\": -1}").unwrap();
    let done = folder.ternary(command);
    assert!(done.code == Some(1) && done.stderr.contains("eos_token_id"), "{done:?}");
    fs::write(folder.path("text"), b"the cat \xff").unwrap();
    let done = folder.ternary("eval --model model --data text");
    assert!(done.code == Some(1) && done.stderr.contains("UTF-8"), "{done:?}");
}
