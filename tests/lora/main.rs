//! `ternary lora` and what is done with its adapters.

mod learning;
mod refusing;
#[path = "../ternary/mod.rs"]
mod ternary;

use std::fs;

use serde_json::Value;
use ternary::{Done, Folder, words};

/// A hybrid of a moment: a gated delta net and attention, with float weights.
const BASE: &str = "train --preset hybrid --float --data text --steps 10 --out base --set model.width=32 \
                    --set model.feed_forward=48 --set model.layers=2 --set delta.attention_every=2 \
                    --set delta.key_width=8 --set delta.value_width=8 --set batch.windows=4 --set batch.length=64 \
                    --set evaluation.windows=2";

/// Adapters that learn in a moment.
const LORA: &str =
    "lora --model base --rank 4 --alpha 8 --length 32 --windows 4 --learning-rate 2e-2";

/// A small hybrid as Hugging Face's tools leave it, with adapters as PEFT leaves them.
const FOREIGN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../xtask/fixtures/gdn/model/");

/// A folder with a base model, and texts and samples that are nothing like the text it knows.
fn prepared(name: &str) -> Folder {
    let folder = Folder::new(name);
    let line = |number: usize| format!("{} times 7 IS {}!\n", number, 7 * number);
    let text = |numbers: std::ops::Range<usize>| numbers.map(line).collect::<String>();
    fs::write(folder.path("text"), words()).unwrap();
    fs::write(folder.path("other.txt"), text(0..200)).unwrap();
    fs::write(folder.path("held.txt"), text(200..240)).unwrap();
    fs::write(folder.path("other.jsonl"), answers(0..60)).unwrap();
    fs::write(folder.path("held.jsonl"), answers(60..70)).unwrap();
    succeeds(&folder, BASE);
    folder
}

/// Questions, each with an answer of four bytes.
fn answers(numbers: std::ops::Range<usize>) -> String {
    let line = |number: usize| {
        let answer = ["EVEN", "ODD."][number % 2];
        format!(
            "{{\"prompt\": \"Is {number}? \", \"completion\": \"{answer}\", \"id\": {number}}}\n"
        )
    };
    numbers.map(line).collect()
}

fn succeeds(folder: &Folder, arguments: &str) -> Done {
    let done = folder.ternary(arguments);
    assert_eq!(done.code, Some(0), "{arguments}: {}", done.stderr);
    done
}

fn json(folder: &Folder, arguments: &str) -> Value {
    let printed = succeeds(folder, &format!("{arguments} --json")).stdout;
    serde_json::from_str(printed.lines().last().unwrap()).unwrap()
}

/// What `eval` tells: nats for each prediction, and how many there were.
fn loss(folder: &Folder, arguments: &str) -> (f64, u64) {
    let told = json(folder, &format!("eval {arguments}"));
    (told["nats_per_token"].as_f64().unwrap(), told["predictions"].as_u64().unwrap())
}
