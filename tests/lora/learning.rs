//! Adapters that learn, go on after a kill, are evaluated, generated from, talked with and merged; and their plan.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::ternary::{Folder, untimed};
use crate::{BASE, FOREIGN, LORA, json, loss, prepared, succeeds};

/// Words for some tokens of that model, and an end of texts.
const TOKENIZER: &str = r#"{
  "version": "1.0", "truncation": null, "padding": null,
  "added_tokens": [{"id": 35, "content": "<eos>", "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": true}],
  "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
  "model": {"type": "WordLevel", "unk_token": "a",
            "vocab": {"a": 0, "cat": 1, "sat": 2, "on": 3, "the": 4, "mat": 5, "user": 6, "assistant": 7, "<eos>": 35}}
}"#;

const TEMPLATE: &str = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}\
                        {% if add_generation_prompt %}assistant: {% endif %}";

/// The same of the summary of a run.
fn held_out(summary: &Value) -> (f64, u64) {
    let held_out = &summary["held_out"];
    (held_out["nats"].as_f64().unwrap(), held_out["predictions"].as_u64().unwrap())
}

/// The adapters of a run.
fn adapters(run: &Path) -> Vec<u8> {
    fs::read(run.join("adapter/adapter_model.safetensors")).unwrap()
}

#[test]
fn adapters_learn_a_text_and_are_evaluated_generated_from_talked_with_and_merged() {
    let folder = prepared("lora-text");
    let weights = || fs::read(folder.path("base/model/model.safetensors")).unwrap();
    let before = weights();
    let held = "--data held.txt --length 32";
    let untrained = loss(&folder, &format!("--model base {held}"));
    let summary =
        json(&folder, &format!("{LORA} --data other.txt --valid held.txt --steps 40 --out run"));
    let trained = held_out(&summary);
    assert!(trained.0 < untrained.0 - 0.3, "{trained:?} {untrained:?}");
    assert_eq!(trained.1, untrained.1);
    assert!(summary["model"].as_str().unwrap().ends_with("adapter"), "{summary}");
    assert!(weights() == before, "the base is what it was");

    let config = fs::read(folder.path("run/adapter/adapter_config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!((&config["peft_type"], &config["r"]), (&"LORA".into(), &4.into()));
    let base = config["base_model_name_or_path"].as_str().unwrap();
    assert!(Path::new(base).ends_with("base/model") && Path::new(base).is_absolute(), "{base}");
    assert!(!folder.path("run/model").exists() && folder.path("run/report.html").is_file());

    // The same bits, however the adapters are named.
    for named in ["base --adapter run", "base/model --adapter run/adapter", "run"] {
        assert_eq!(loss(&folder, &format!("--model {named} {held}")), trained, "{named}");
    }
    let generate = |model: &str| {
        let how = "--prompt 9 --tokens 30 --temperature 0";
        succeeds(&folder, &format!("generate --model {model} {how}")).stdout
    };
    assert_eq!(generate("base --adapter run"), generate("run"));
    assert_ne!(generate("base"), generate("run"));
    let chat = |model: &str| {
        let how = format!("chat --model {model} --tokens 30 --temperature 0");
        folder.ternary_on_input(&how, "9\n").stdout
    };
    assert_eq!(chat("base --adapter run"), generate("run"));

    let told = succeeds(&folder, "merge --model run --out merged").stdout;
    assert!(told.contains("adapters into the model merged"), "{told}");
    let merged = loss(&folder, &format!("--model merged {held}"));
    assert!((merged.0 / trained.0 - 1.0).abs() < 1e-5, "{merged:?} {trained:?}");
    let again = folder.ternary("merge --model base --adapter run --out merged");
    assert!(again.code == Some(1) && again.stderr.contains("--force"), "{}", again.stderr);
    succeeds(&folder, "merge --model base --adapter run --out merged --force");
    assert_eq!(loss(&folder, &format!("--model merged {held}")), merged);
}

#[test]
fn a_ternary_base_stays_ternary_under_its_adapters() {
    let folder = prepared("lora-ternary");
    succeeds(&folder, &BASE.replace("--float ", "").replace("--out base", "--out trits"));
    let held = "--data held.txt --length 32";
    let untrained = loss(&folder, &format!("--model trits {held}"));
    let lora = LORA.replace("--model base", "--model trits");
    let summary =
        json(&folder, &format!("{lora} --data other.txt --valid held.txt --steps 20 --out run"));
    let trained = held_out(&summary);
    assert!(trained.0 < untrained.0 - 0.1, "{trained:?} {untrained:?}");
    assert!(summary["start"]["packed"].as_u64().unwrap() > 0, "{summary}");
    assert_eq!(loss(&folder, &format!("--model run {held}")), trained);

    // One that is made ternary is so for whoever uses the adapters.
    for base in ["bf16", "ternary"] {
        let run = format!("{LORA} --data other.txt --valid held.txt --steps 3 --base {base}");
        let trained = held_out(&json(&folder, &format!("{run} --out {base}")));
        assert_eq!(loss(&folder, &format!("--model {base} {held}")), trained, "{base}");
        let named = format!("--model base --adapter {base}/adapter {held}");
        assert_eq!(loss(&folder, &named), trained, "{base}");
    }
}

#[test]
fn completions_and_answers_are_learnt_and_evaluated_as_the_run_did() {
    let folder = prepared("lora-samples");
    let untrained = loss(&folder, "--model base --data held.jsonl");
    // Four bytes of each of ten answers.
    assert_eq!(untrained.1, 40);
    let run =
        "--data other.jsonl --valid held.jsonl --steps 30 --every 10 --keep-best --patience 3";
    let summary = json(&folder, &format!("{LORA} {run} --out run"));
    let trained = held_out(&summary);
    assert!(trained.0 < untrained.0 - 1.0, "{trained:?} {untrained:?}");
    assert_eq!(loss(&folder, "--model run --data held.jsonl"), trained);
    assert!(folder.path("run/best/adapter_model.safetensors").is_file());
    let best = loss(&folder, "--model base --adapter run/best --data held.jsonl");
    assert_eq!(best.0, summary["best"]["nats"].as_f64().unwrap());

    // With their prompts: all bytes of each but the first, `Is 60? ` and the answer.
    let run = "--data other.jsonl --valid held.jsonl --steps 4 --with-prompts --out prompts";
    let whole = held_out(&json(&folder, &format!("{LORA} {run}")));
    assert_eq!(whole.1, 100);
    assert_eq!(loss(&folder, "--model prompts --data held.jsonl --with-prompts"), whole);
    assert_eq!(loss(&folder, "--model prompts --data held.jsonl").1, 40);

    // A share is held out where there is nothing else, and samples in one window learn what they would alone.
    let run = |settings: &str, out: &str| {
        let run = "--data other.jsonl --steps 3 --held-out 0.3";
        json(&folder, &format!("{LORA} {run} {settings} --out {out}"))
    };
    let (packed, alone) = (run("", "packed"), run("--set samples.pack=false", "alone"));
    assert_eq!(held_out(&packed).1, held_out(&alone).1);
    let held = held_out(&packed).1 / 4;
    assert!((5..40).contains(&held), "{held}");
}

#[test]
fn a_conversation_is_written_as_the_model_wants_it() {
    let folder = prepared("lora-chat");
    let talk = |number: usize| {
        format!(
            "{{\"messages\": [{{\"role\": \"user\", \"content\": \"{number}?\"}}, \
             {{\"role\": \"assistant\", \"content\": \"NO {number}\"}}]}}\n"
        )
    };
    fs::write(folder.path("talks.jsonl"), (10..60).map(talk).collect::<String>()).unwrap();
    let run = format!("{LORA} --data talks.jsonl --valid talks.jsonl --steps 30");
    let done = folder.ternary(&format!("{run} --out run"));
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("talks.jsonl, line 1: "), "{}", done.stderr);
    assert!(done.stderr.contains("the model has no chat template"), "{}", done.stderr);
    assert!(!folder.path("run").exists());

    fs::write(folder.path("base/model/chat_template.jinja"), TEMPLATE).unwrap();
    let trained = held_out(&json(&folder, &format!("{run} --out run")));
    // `NO 10` and the line break that the template writes after it.
    assert_eq!(trained.1, 50 * 6);
    assert_eq!(loss(&folder, "--model run --data talks.jsonl"), trained);
    let chat = "chat --model base --adapter run --tokens 6 --temperature 0";
    let said = folder.ternary_on_input(chat, "33?\n");
    assert!(said.stderr.contains("its chat template"), "{}", said.stderr);
    assert!(said.stdout.starts_with("NO "), "{said:?}");
    succeeds(&folder, "merge --model run --out merged");
    assert!(folder.path("merged/chat_template.jinja").is_file());
}

/// Copies the files of a foreign model.
fn copy_foreign(name: &str, folder: &Folder) {
    fs::create_dir(folder.path(name)).unwrap();
    for entry in fs::read_dir(Path::new(FOREIGN).join(name).join("base")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path(name).join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn a_model_from_elsewhere_learns_in_its_own_tokens_and_its_adapters_have_its_names() {
    let folder = Folder::new("lora-foreign");
    let answer = |number: usize| {
        let prompt = ["the cat", "the mat", "a cat on"][number % 3];
        format!(
            "{{\"prompt\": \"{prompt}\", \"completion\": \"{}\"}}\n",
            "sat ".repeat(1 + number % 5)
        )
    };
    fs::write(folder.path("data.jsonl"), (0..15).map(answer).collect::<String>()).unwrap();
    for (name, prefix) in [
        ("small_qwen3_5_text", "base_model.model.model.layers.0.linear_attn.in_proj_qkv.lora_A"),
        (
            "small_qwen3_5_nested",
            "base_model.model.model.language_model.layers.0.linear_attn.in_proj_qkv.lora_A",
        ),
    ] {
        copy_foreign(name, &folder);
        let run = format!(
            "lora --model {name} --data data.jsonl --valid data.jsonl --steps 40 --rank 2 --windows 4 \
             --learning-rate 3e-2 --targets in_proj_qkv,q_proj,down_proj --out run-{name}"
        );
        let done = folder.ternary(&run);
        assert!(done.code == Some(1) && done.stderr.contains("tokenizer.json"), "{}", done.stderr);
        fs::write(folder.path(name).join("tokenizer.json"), TOKENIZER).unwrap();
        let untrained = loss(&folder, &format!("--model {name} --data data.jsonl"));
        let trained = held_out(&json(&folder, &run));
        assert!(trained.0 < untrained.0 - 0.1, "{name}: {trained:?} {untrained:?}");
        assert_eq!(loss(&folder, &format!("--model run-{name} --data data.jsonl")), trained);
        let tensors = adapters(&folder.path(&format!("run-{name}")));
        let names = String::from_utf8_lossy(&tensors);
        assert!(names.contains(prefix) && !names.contains("up_proj"), "{name}");
        // Each answer ends as the tokenizer says that texts do.
        assert_eq!(trained.1, (0..15).map(|number| 2 + number % 5).sum::<u64>());
    }
}

#[test]
fn a_run_that_was_killed_goes_on_to_the_bits_of_the_straight_one() {
    let folder = prepared("lora-resume");
    let run = format!(
        "{LORA} --data other.jsonl --steps 80 --checkpoint-every 4 --every 20 --dropout 0.2 --b-rate 4 \
         --delta-rate 0.5 --schedule wsd --accumulation 2 --recompute --keep-last 100"
    );
    succeeds(&folder, &format!("{run} --out straight"));
    let mut child = folder.begin(&format!("{run} --out killed"));
    let deadline = Instant::now() + Duration::from_secs(60);
    while !folder.path("killed/checkpoints/step-00000004").exists() {
        assert!(Instant::now() < deadline, "no checkpoint within a minute");
        sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait_with_output().unwrap();
    if folder.path("killed/adapter").exists() {
        // It was faster than the signal: back to where it would have been killed.
        fs::remove_dir_all(folder.path("killed/adapter")).unwrap();
        let _ = fs::remove_file(folder.path("killed/summary.json"));
        for entry in folder.path("killed/checkpoints").read_dir().unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() != "step-00000004" {
                fs::remove_dir_all(entry.path()).unwrap();
            }
        }
    }
    let done = succeeds(&folder, "lora --resume killed");
    assert!(done.stderr.contains("going on after step"), "{}", done.stderr);
    let [straight, killed] = ["straight", "killed"].map(|run| folder.path(run));
    assert!(adapters(&straight) == adapters(&killed));
    let metrics = |run: &Path| untimed(&run.join("metrics.jsonl"));
    assert_eq!(metrics(&straight), metrics(&killed));
}

#[test]
fn a_plan_tells_memory_and_time_before_the_model_is_read() {
    let folder = prepared("lora-plan");
    let weights = folder.path("base/model/model.safetensors");
    let length = fs::metadata(&weights).unwrap().len();
    // Nothing that could be read, as long as before.
    fs::write(&weights, vec![b' '; length as usize]).unwrap();
    let plan = format!("{LORA} --data other.jsonl --steps 20 --plan");
    let told = succeeds(&folder, &plan).stdout;
    for said in ["frozen weights", "gradients", "fits: about", "for 20 steps of "] {
        assert!(told.contains(said), "{said}: {told}");
    }
    let plan = json(&folder, &plan);
    let frozen = plan["memory"]["frozen"].as_u64().unwrap();
    assert!((length * 9 / 10..2 * length).contains(&frozen), "{plan}");
    assert!(plan["seconds"].as_f64().unwrap() > 0.0, "{plan}");
    let done = folder.ternary(&format!("{LORA} --data other.jsonl --out run"));
    assert!(done.code == Some(1) && !folder.path("run").exists(), "{}", done.stderr);
    // What no run could be is told here too.
    let done = folder.ternary(&format!("{LORA} --data other.jsonl --plan --layers 9"));
    assert!(done.code == Some(2) && done.stderr.contains("0 to 1"), "{}", done.stderr);
}
