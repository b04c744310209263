//! Texts that models go on with, and models that others made.

mod ternary;

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::Value;
use ternary::{Done, Folder};

/// A run of a few seconds, on the text of [`with_text`].
const SMALL: &str = "train --data text --set model.width=64 --set model.heads=2 --set model.key_value_heads=1 \
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

/// A folder with a text for windows that no story fits in.
fn with_text(name: &str) -> Folder {
    let folder = Folder::new(name);
    let line =
        |number| format!("Once there were {number} cats on the mat, and then {number} more.\n");
    fs::write(folder.path("text"), (0..400).map(line).collect::<String>()).unwrap();
    folder
}

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
    let folder = with_text("generates");
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

/// The numbers of the bytes of a text.
fn ids(text: &str) -> Vec<u64> {
    text.bytes().map(u64::from).collect()
}

#[test]
fn a_conversation_goes_on_where_it_was_and_only_forgets_what_has_no_room() {
    let folder = with_text("conversation");
    let done = folder.ternary(&format!("{SMALL} --steps 8 --out run"));
    assert_eq!(done.code, Some(0), "{done:?}");
    let chat = |flags: &str, input: &str| {
        let done = folder.ternary_on_input(&format!("chat --model run --seed 3 {flags}"), input);
        assert_eq!(done.code, Some(0), "{done:?}");
        done
    };
    // The text that comes after some tokens, and all of those tokens.
    let generate = |mut tokens: Vec<u64>| {
        let ids = tokens.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let how = "--seed 3 --temperature 0.5 --tokens 9 --json";
        let found = last_json(&folder.ternary(&format!("generate --model run {how} --ids {ids}")));
        let drawn = found["tokens"].as_array().unwrap().iter().map(|token| token.as_u64().unwrap());
        tokens.extend(drawn);
        (found["text"].as_str().unwrap().to_owned(), tokens)
    };
    // Each answer is what comes after everything that was said, and an empty line goes on.
    let (first, mut said) = generate(ids("Once"));
    said.extend(ids("\nThe"));
    let (second, said) = generate(said);
    let (more, _) = generate(said);
    let talk = "--tokens 9 --temperature 0.5";
    let told = chat(talk, "Once\nThe\n\n");
    assert_eq!(told.stdout, format!("{first}\n{second}\n{more}\n"));
    assert!(told.stderr.contains("a window of 64 tokens, plain text"), "{}", told.stderr);
    // Beginning anew gives the same again, unless the randomness is another.
    let told = chat(talk, "Once\n/reset\nOnce\n/reset\n/seed 4\nOnce\n");
    let other = told.stdout.strip_prefix(&format!("{first}\n{first}\n")).unwrap();
    assert_ne!(other.trim_end_matches('\n'), first);
    let told = chat("--tokens 9", "/temperature 0.5\nOnce\n/quit\nThe\n");
    assert_eq!(told.stdout, format!("{first}\n"));
    assert!(told.stderr.contains("temperature 0.5, seed 3"), "{}", told.stderr);
    let told = chat(talk, "\n/sede 4\n/temperature -1\n/help\n");
    assert_eq!(told.stdout, "");
    for said in ["nothing was said yet", "unknown command /sede", "temperature: expected", "/reset"]
    {
        assert!(told.stderr.contains(said), "{}", told.stderr);
    }
    // 64 positions are soon used up.
    let told = chat("--tokens 40 --json", "Once\nThe\nAnd then\n");
    let replies: Vec<Value> =
        told.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(replies.len(), 3);
    assert!(replies.iter().all(|reply| reply["tokens"] == 40), "{replies:?}");
    assert_eq!(
        [&replies[0], &replies[1]].map(|r| r["has_forgotten"].as_bool().unwrap()),
        [false, true]
    );
    assert!(told.stderr.contains("the window of 64 tokens was full"), "{}", told.stderr);
    // A message that is longer than the window.
    let told = chat("--tokens 5 --json", &format!("{}\n", "long ".repeat(40)));
    assert!(told.stdout.contains("\"has_forgotten\":true"), "{}", told.stdout);
}

#[test]
fn nothing_is_said_when_the_reader_of_answers_has_gone() {
    let folder = with_text("gone");
    let done = folder.ternary(&format!("{SMALL} --steps 1 --out run"));
    assert_eq!(done.code, Some(0), "{done:?}");
    let mut child = folder.begin("chat --model run --tokens 5");
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(b"Once\nThe\n").unwrap();
    let done = child.wait_with_output().unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(0), "{told}");
    assert!(!told.contains("error"), "{told}");
}

#[test]
fn messages_are_written_as_the_chat_template_of_a_model_says() {
    let folder = Folder::new("template");
    copy_model("small_qwen3_5_text", &folder, "model");
    fs::write(folder.path("model/tokenizer.json"), TOKENIZER).unwrap();
    let template = |earlier: &str| {
        let form =
            [("system", "{{ content }} "), ("user", "the {{ content }} "), ("assistant", earlier)];
        let form =
            form.map(|(role, form)| format!("{{% if role == '{role}' %}}\n{form}{{% endif %}}\n"));
        let content = "{% for message in messages %}\n{% set role = message.role %}\n\
                       {% set content = message['content'] %}\n";
        let template = format!("{content}{}{{% endfor %}}\non ", form.concat());
        let settings = serde_json::json!({ "chat_template": template }).to_string();
        fs::write(folder.path("model/tokenizer_config.json"), settings).unwrap();
    };
    template("on {{ content }} ");
    let chat = |flags: &str, input: &str| -> Vec<u64> {
        let chat = format!("chat --model model --tokens 3 --temperature 0 --json {flags}");
        let done = folder.ternary_on_input(&chat, input);
        assert_eq!(done.code, Some(0), "{done:?}");
        let reply = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        done.stdout.lines().map(|line| reply(line)["prompt_tokens"].as_u64().unwrap()).collect()
    };
    assert_eq!(chat("", "cat\nmat\n"), [3, 3]);
    assert_eq!(chat("--system mat", "cat\n"), [4]);
    assert_eq!(chat("--plain", "cat\nmat\n"), [1, 1]);
    // Where earlier answers are written in another way, everything is read again.
    template("");
    assert_eq!(chat("", "cat\nmat\n"), [3, 5]);
    let settings = serde_json::json!({ "chat_template": "{{ raise_exception('no users') }}" });
    fs::write(folder.path("model/tokenizer_config.json"), settings.to_string()).unwrap();
    let done = folder.ternary_on_input("chat --model model", "cat\n");
    assert!(done.code == Some(1) && done.stderr.contains("no users"), "{done:?}");
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
