//! What is no sample, no setting and no adapter for a model: how it is told, and that nothing is left of it.

use std::fs;

use crate::{BASE, FOREIGN, LORA, answers, loss, prepared, succeeds};

#[test]
fn bad_lines_are_named_or_left_out_and_long_samples_are_cut_or_refused() {
    let folder = prepared("lora-lines");
    let good = answers(0..30);
    for (line, said) in [
        ("nonsense", "expected a JSON object"),
        ("{\"prompt\": \"a\", \"completion\": \" \"}", "completion: expected something to learn"),
        (
            "{\"prompt\": \"a\"}",
            "expected text, or prompt and completion, or messages; found prompt",
        ),
        ("{\"text\": 7}", "text: expected a text, found a number"),
        ("{\"text\": \"a\", \"text\": \"b\"}", "duplicate field"),
        ("{\"messages\": []}", "expected one whose role is assistant"),
    ] {
        fs::write(folder.path("bad.jsonl"), format!("{good}{line}\n")).unwrap();
        let done = folder.ternary(&format!("{LORA} --data bad.jsonl --out run"));
        assert_eq!(done.code, Some(1), "{line}: {}", done.stderr);
        let last = done.stderr.lines().last().unwrap();
        assert!(last.contains("bad.jsonl, line 31: ") && last.contains(said), "{line}: {last}");
        assert!(last.contains("--skip-bad-lines"), "{last}");
        assert!(!folder.path("run").exists(), "{line}");
    }
    let skip = "--data bad.jsonl --skip-bad-lines";
    let done = succeeds(&folder, &format!("{LORA} {skip} --steps 2 --out skipped"));
    assert!(done.stderr.contains("1 of 31 lines are left out"), "{}", done.stderr);
    assert_eq!(loss(&folder, &format!("--model base {skip}")).1, 120);
    let done = folder.ternary("eval --model base --data bad.jsonl");
    assert!(done.code == Some(1) && done.stderr.contains("line 31: "), "{}", done.stderr);

    let long = format!("{good}{{\"prompt\": \"a\", \"completion\": \"{}\"}}\n", "b".repeat(50));
    fs::write(folder.path("long.jsonl"), long).unwrap();
    let done = succeeds(&folder, &format!("{LORA} --data long.jsonl --steps 2 --out long"));
    assert!(
        done.stderr.contains("1 of 31 samples are longer than a window of 32"),
        "{}",
        done.stderr
    );
    let done = folder.ternary(&format!("{LORA} --data long.jsonl --long-samples refuse --out run"));
    assert!(done.code == Some(1) && done.stderr.contains("line 31: "), "{}", done.stderr);
    assert!(!folder.path("run").exists());
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_written() {
    let folder = prepared("lora-refused");
    fs::write(folder.path("one.jsonl"), answers(0..1)).unwrap();
    fs::write(folder.path("one.json"), answers(0..1)).unwrap();
    let entries = || folder.path("").read_dir().unwrap().count();
    let before = entries();
    let given = "--model base --data other.txt";
    for (code, arguments, said) in [
        (2, "lora".to_owned(), "model: expected the model that adapters are for, with --model"),
        (2, "lora --data other.txt --steps 2".to_owned(), "model: expected the model"),
        (2, "lora --model base".to_owned(), "with --data"),
        (2, format!("lora {given} --rank 0"), "lora.rank: expected a whole number from 1"),
        (2, format!("lora {given} --rank 5000"), "rank: expected 1 to "),
        (2, format!("lora {given} --alpha 0"), "lora.alpha: expected a number above 0"),
        (2, format!("lora {given} --dropout 1"), "lora.dropout: expected a number from 0"),
        (2, format!("lora {given} --targets no_proj"), "\"no_proj\": expected one of the model's"),
        (
            2,
            format!("lora {given} --targets q_proj --layers 0"),
            "found modules in the layers 1 only",
        ),
        (2, format!("lora {given} --layers 2"), "expected layers of the model, 0 to 1"),
        (2, format!("lora {given} --targets ("), "expression \"(\": expected one that can be read"),
        (2, format!("lora {given} --exclude no_proj"), "exclusion \"no_proj\": expected one of"),
        (2, format!("lora {given} --ste twn"), "unexpected argument '--ste'"),
        (2, format!("lora {given} --set model.width=64"), "no shape but that of the model"),
        (2, format!("lora {given} --set optimiser.scale_rate=2"), "no rates of codes and levels"),
        (2, format!("lora {given} --skip-bad-lines"), "expected files of samples (.jsonl)"),
        (2, format!("lora {given} --long-samples refuse"), "expected files of samples (.jsonl)"),
        (2, format!("lora {given} --with-prompts"), "expected files of samples (.jsonl)"),
        (2, "eval --model base --data other.txt --with-prompts".to_owned(), "files of samples"),
        (1, "lora --model base --data one.json".to_owned(), "whose names end in .jsonl"),
        (1, format!("lora {given} --length 65"), "expected at most 64 tokens"),
        (1, "lora --model no-such --data other.txt".to_owned(), "no-such"),
        (1, "lora --model base --data no-such".to_owned(), "no-such"),
        (1, "lora --model base --data one.jsonl".to_owned(), "two different samples"),
        (2, "merge --model base --out merged".to_owned(), "adapter: expected adapters"),
        (2, "merge --model base --adapter a".to_owned(), "--out"),
        (2, "eval --model base --data other.jsonl --stride 8".to_owned(), "stride, data"),
    ] {
        let done = folder.ternary(&arguments);
        assert_eq!(done.code, Some(code), "{arguments}: {}", done.stderr);
        assert!(done.stderr.contains(said), "{arguments}: {}", done.stderr);
        assert_eq!((&*done.stdout, entries()), ("", before), "{arguments}");
    }
    // Where nothing is said, a window is as long as the model allows.
    succeeds(&folder, &format!("lora {given} --steps 1 --out run"));
    let config = fs::read_to_string(folder.path("run/config.toml")).unwrap();
    assert!(config.contains("\nlength = 64 "), "{config}");
}

#[test]
fn adapters_for_another_model_broken_ones_and_runs_without_any_are_refused() {
    let folder = prepared("lora-others");
    succeeds(&folder, &format!("{LORA} --data other.txt --steps 2 --out run"));
    let wide = BASE.replace("--out base", "--out wide").replace("model.width=32", "model.width=64");
    succeeds(&folder, &wide);
    let refused = |arguments: &str, said: &str| {
        let done = folder.ternary(arguments);
        assert_eq!((done.code, &*done.stdout), (Some(1), ""), "{arguments}: {}", done.stderr);
        let last = done.stderr.lines().last().unwrap();
        assert!(last.starts_with("error: ") && last.contains(said), "{arguments}: {last}");
    };
    let eval = "--data held.txt --length 32";
    let narrow = "inputs: expected 64, found 32: the adapter belongs to another model";
    refused(&format!("eval --model wide --adapter run {eval}"), narrow);
    refused("generate --model wide --adapter run --prompt a", narrow);
    refused("merge --model wide --adapter run --out merged", narrow);
    let foreign = format!("{FOREIGN}small_qwen3_5_text/adapter");
    refused(&format!("eval --model base --adapter {foreign} {eval}"), "the adapter belongs to a");
    refused(&format!("eval --model base --adapter base {eval}"), "no adapter/");
    refused(&format!("eval --model base --adapter no-such {eval}"), "no-such");
    // A run of adapters is no model to train from, to learn from or to look into.
    for command in ["lora --data other.txt --model run", "train --from run", "inspect run"] {
        refused(command, "adapters and no model of its own");
    }
    refused(&format!("eval --model run --adapter run {eval}"), "adapters and no model of its own");
    // One that has not ended has none yet, and one whose base is gone says where it was.
    fs::rename(folder.path("run/adapter"), folder.path("adapter")).unwrap();
    refused(&format!("eval --model run {eval}"), "no adapter/ yet");
    refused(&format!("eval --model base --adapter run {eval}"), "no adapter/ yet");
    fs::rename(folder.path("adapter"), folder.path("run/adapter")).unwrap();
    fs::rename(folder.path("base"), folder.path("moved")).unwrap();
    refused(
        &format!("eval --model run {eval}"),
        "give it with --model, and this run with --adapter",
    );
    succeeds(&folder, &format!("eval --model moved --adapter run {eval}"));
    // Files that end too early, or are something else.
    let path = folder.path("run/adapter/adapter_model.safetensors");
    let whole = fs::read(&path).unwrap();
    for broken in [&whole[..whole.len() - 5], &whole[..40], b""] {
        fs::write(&path, broken).unwrap();
        refused(&format!("eval --model moved --adapter run {eval}"), "adapter_model.safetensors");
        refused("merge --model moved --adapter run --out merged", "adapter_model.safetensors");
    }
    assert!(!folder.path("merged").exists());
}

#[test]
fn adapters_that_are_taken_elsewhere_know_their_model_and_how_it_was_kept() {
    let folder = prepared("lora-elsewhere");
    succeeds(&folder, &format!("{LORA} --data other.txt --steps 4 --base ternary --out run"));
    let held = "--data held.txt --length 32";
    let told = loss(&folder, &format!("--model run {held}"));
    fs::create_dir(folder.path("elsewhere")).unwrap();
    for name in ["adapter_config.json", "adapter_model.safetensors", "manifest.json", "base.json"] {
        let from = folder.path("run/adapter").join(name);
        fs::copy(from, folder.path("elsewhere").join(name)).unwrap();
    }
    for named in ["base --adapter elsewhere", "run/adapter"] {
        assert_eq!(loss(&folder, &format!("--model {named} {held}")), told, "{named}");
    }
    let done = folder.ternary(&format!("eval --model elsewhere {held}"));
    assert!(done.code == Some(1) && done.stderr.contains("adapters alone"), "{}", done.stderr);
    let said = |model: &str| {
        succeeds(&folder, &format!("eval --model {model} --adapter elsewhere {held}")).stderr
    };
    succeeds(&folder, &format!("{} --seed 5", BASE.replace("--out base", "--out second")));
    assert!(said("second").contains("trained beside another model than"), "{}", said("second"));
    assert!(!said("base").contains("another model"), "{}", said("base"));
}

#[test]
fn no_text_is_mistaken_for_another_kind_or_lost_to_a_run() {
    let folder = prepared("lora-ways");
    let refused = |arguments: &str, code: i32, said: &str| {
        let done = folder.ternary(arguments);
        assert_eq!(done.code, Some(code), "{arguments}: {}", done.stderr);
        assert!(done.stderr.contains(said), "{arguments}: {}", done.stderr);
    };
    let run = format!("{LORA} --data other.txt --steps 2");
    refused(&format!("{run} --valid held.jsonl --out run"), 1, "expected a text, as the data");
    succeeds(&folder, &format!("{run} --out run"));
    let samples = folder.path("run/best/samples.jsonl");
    fs::create_dir(folder.path("run/best")).unwrap();
    fs::copy(folder.path("other.jsonl"), &samples).unwrap();
    let from_there = format!("{LORA} --steps 2 --data run/best/*.jsonl --out run --force");
    refused(&from_there, 1, "--data");
    refused(&format!("{run} --out run --force"), 1, "best/samples.jsonl");
    assert!(samples.is_file() && folder.path("run/adapter").is_dir());
    // All files of a folder are the text, those of the run too once it is there.
    fs::create_dir(folder.path("texts")).unwrap();
    fs::copy(folder.path("other.txt"), folder.path("texts/other.txt")).unwrap();
    let below = format!("{LORA} --steps 2 --data texts --out texts/runs/first");
    refused(&below, 2, "whose files are none of the text");
    refused(&format!("{below} --plan"), 2, "whose files are none of the text");
    let matched = below.replace("--data texts", "--data texts/**/*.*");
    refused(&matched, 2, "whose files are none of the text");
    refused(&format!("{LORA} --steps 2 --data ."), 2, "whose files are none of the text");
    assert!(!folder.path("texts/runs").exists());
    // What a merge that was killed has left is in nobody's way.
    fs::create_dir(folder.path("merged")).unwrap();
    fs::write(folder.path("merged/model.safetensors.new"), "half").unwrap();
    succeeds(&folder, "merge --model run --out merged");
    assert!(!folder.path("merged/model.safetensors.new").exists());
}
