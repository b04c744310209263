//! Runs of adapters. The command is tested from outside.

mod kept;
mod packs;

use std::fs;

use models::{DecoderConfig, Initial, WeightKind};

use super::*;
use crate::config::Layers;
use crate::run::resume::Resumed;
use crate::run::train::train_with;
use crate::run::{Interrupt, Progress, Summary, Used};
use crate::storage::faulty::{Fault, Faulty};
use crate::storage::{Disk, Storage, make_directories};
use crate::temporary::TemporaryFolder;

const STEPS: u32 = 8;

/// A model of random weights with a gated delta net and attention, and samples to learn.
fn prepared() -> TemporaryFolder {
    let folder = TemporaryFolder::new();
    save_model(&folder.path().join("model"), 1);
    let line = |number: usize| {
        let word = ["one", "two", "three", "four"][number % 4].repeat(1 + number % 3);
        format!("{{\"prompt\": \"{number}: \", \"completion\": \"{word}\"}}\n")
    };
    folder.file("data.jsonl", (0..40).map(line).collect::<String>());
    folder
}

fn save_model(path: &Path, seed: u64) {
    let config = DecoderConfig {
        width: 32,
        layers: 4,
        heads: 2,
        key_heads: 1,
        head_width: 16,
        rotary_width: 8,
        feed_forward: 48,
        positions: 64,
        ..DecoderConfig::hybrid()
    };
    let mut source = Initial { seed, kind: WeightKind::Dense };
    interop::save(&Decoder::build(config, &mut source).unwrap(), path).unwrap();
}

fn configuration(folder: &TemporaryFolder, out: &str, more: &[&str]) -> Configuration {
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut layers = Layers::default();
    let settings = format!(
        "steps={STEPS} checkpoint_every=2 batch.windows=4 batch.length=32 batch.unit=1 evaluation.every=4 \
         optimiser.learning_rate=2e-2 lora.rank=4 lora.dropout=0.1"
    );
    layers.add_assignments(settings.split_whitespace()).unwrap();
    layers.add_assignments(more.iter().copied()).unwrap();
    let paths = [("lora.model", path("model")), ("data", path("data.jsonl")), ("out", path(out))];
    layers.add_flags(paths.map(|(key, value)| (key.to_owned(), value))).unwrap();
    layers.resolve().unwrap()
}

fn train(configuration: &Configuration, storage: &dyn Storage) -> Result<Summary> {
    let (progress, interrupt) = (Progress::new(STEPS, 1000), Interrupt::default());
    train_with(configuration, &progress, &interrupt, storage)
}

fn resume(run: &Path, storage: &dyn Storage) -> Result<Summary> {
    let Resumed::Unfinished(run) = Resumed::open(run).unwrap() else { panic!() };
    run.train_with(&Progress::new(STEPS, 1000), &Interrupt::default(), storage)
}

fn adapter_bytes(run: &Path) -> Vec<u8> {
    fs::read(run.join("adapter/adapter_model.safetensors")).unwrap()
}

#[test]
fn adapters_learn_beside_a_model_that_stays_as_it_is_and_are_left_as_peft_keeps_them() {
    let folder = prepared();
    let before = fs::read(folder.path().join("model/model.safetensors")).unwrap();
    let mut configuration =
        configuration(&folder, "run", &["lora.targets=in_proj_qkv,q_proj", "lora.layers=2-3"]);
    configuration.evaluation.keep_best = true;
    let untrained = {
        let corpus = crate::data::CorpusRequest::of(&configuration).unwrap();
        let corpus = crate::data::Corpus::open(&corpus, &mut |_| ()).unwrap();
        let model = interop::open(&folder.path().join("model")).unwrap();
        crate::run::evaluation::evaluate(&model, corpus.held_out(), &mut |_| ()).unwrap()
    };
    let summary = train(&configuration, &Disk).unwrap();
    assert!(
        summary.held_out.nats < untrained.nats - 0.02,
        "{} {}",
        summary.held_out.nats,
        untrained.nats
    );
    assert_eq!(summary.model, folder.path().join("run/adapter"));
    assert!(!folder.path().join("run/model").exists());
    assert!(fs::read(folder.path().join("model/model.safetensors")).unwrap() == before);
    let run = folder.path().join("run");
    let read = peft::read::<f32>(&run.join("adapter")).unwrap();
    let modules: Vec<&str> = read.iter().map(|(module, _)| module).collect();
    assert_eq!(
        modules,
        ["model.layers.2.linear_attn.in_proj_qkv", "model.layers.3.self_attn.q_proj"]
    );
    assert_eq!(read.dropout, 0.1);
    // What was measured is what is left, read through the command's way; so is the best.
    for place in [run.clone(), run.join("adapter"), run.join("best")] {
        let model = folder.path().join("model");
        let adapted = crate::adapters::open(&model, Some(&place)).unwrap();
        assert_eq!(adapted.adapters().len(), 2, "{}", place.display());
    }
}

#[test]
fn a_run_that_was_killed_goes_on_to_the_same_adapters_and_keeps_nothing_of_the_model() {
    let folder = prepared();
    let straight = folder.path().join("straight");
    let whole = Faulty::new();
    make_directories(&whole, &straight).unwrap();
    train(&configuration(&folder, "straight", &[]), &whole).unwrap();
    let run = folder.path().join("run");
    let disk = Faulty::new();
    make_directories(&disk, &run).unwrap();
    let disk = disk.copy(Fault::Error(whole.operations() * 5 / 8));
    train(&configuration(&folder, "run", &[]), &disk).unwrap_err();
    disk.repair();
    assert_eq!(resume(&run, &disk).unwrap().steps, STEPS);
    assert!(adapter_bytes(&run) == adapter_bytes(&straight));
    let adapted = build_adapted(&configuration(&folder, "none", &[]));
    let mut names = Vec::new();
    nn::visit_state(&adapted, &mut |name, _| names.push(name.to_owned()));
    assert!(!names.is_empty() && names.iter().all(|name| name.contains(".lora_")), "{names:?}");
}

fn build_adapted(configuration: &Configuration) -> Decoder<f32> {
    crate::run::build(configuration, VOCABULARY).unwrap()
}

#[test]
fn a_run_goes_on_with_the_model_that_it_began_with_and_no_other() {
    let folder = prepared();
    let run = folder.path().join("run");
    let whole = Faulty::new();
    make_directories(&whole, &run).unwrap();
    train(&configuration(&folder, "run", &[]), &whole).unwrap();
    fs::remove_dir_all(&run).unwrap();
    let disk = Faulty::new();
    make_directories(&disk, &run).unwrap();
    let disk = disk.copy(Fault::Error(whole.operations() * 5 / 8));
    train(&configuration(&folder, "run", &[]), &disk).unwrap_err();
    disk.repair();
    save_model(&folder.path().join("model"), 2);
    let said = resume(&run, &disk).unwrap_err().to_string();
    assert!(
        said.contains("the model of the adapters: expected that which the run began"),
        "{said}"
    );
    save_model(&folder.path().join("model"), 1);
    assert_eq!(resume(&run, &disk).unwrap().steps, STEPS);
}

#[test]
fn a_run_is_not_used_beside_a_model_that_was_trained_anew_in_its_place() {
    let folder = prepared();
    let (run, model) = (folder.path().join("run"), folder.path().join("model"));
    let configuration = configuration(&folder, "run", &["steps=1", "lora.base=bf16"]);
    let summary = train(&configuration, &Disk).unwrap();
    let own = Used { model: model.clone(), adapter: Some(summary.model) };
    assert_eq!(Used::open(&run, None).unwrap(), own);
    save_model(&model, 2);
    let said = Used::open(&run, None).unwrap_err().to_string();
    assert!(
        said.contains("by the hash of its config.json, weights and tokenizer, found another one"),
        "{said}"
    );
    assert!(said.contains("--adapter"), "{said}");
    // Who names both knows.
    assert_eq!(Used::open(&model, Some(&run)).unwrap(), own);
    save_model(&model, 1);
    assert_eq!(Used::open(&run, None).unwrap(), own);
    // How the model was kept is no longer a setting.
    let settings = fs::read_to_string(run.join("config.toml")).unwrap();
    let edited = settings.replace("base = \"bf16\"", "base = \"f32\"");
    assert_ne!(edited, settings);
    fs::write(run.join("config.toml"), edited).unwrap();
    assert_eq!(crate::run::trained_beside(&run).unwrap(), models::Base::Bf16);
    fs::write(run.join(BASE), "{}").unwrap();
    let said = Used::open(&run, None).unwrap_err().to_string();
    assert!(said.contains("base.json: expected what a run of adapters leaves"), "{said}");
}

#[test]
fn what_a_run_leaves_needs_nothing_more_of_the_model() {
    let folder = prepared();
    let configuration = configuration(&folder, "run", &[]);
    let base = BaseModel::of(&configuration).unwrap();
    let adapted = build_adapted(&configuration);
    fs::remove_dir_all(folder.path().join("model")).unwrap();
    let run = RunFolder::choose(&configuration).unwrap();
    for is_best in [true, false] {
        let place = save(base.as_ref(), &adapted, None, &run, is_best).unwrap();
        let read = peft::read::<f32>(&place).unwrap();
        assert_eq!(read.len(), adapted.adapters().len());
    }
}

#[test]
fn rates_of_places_and_factors_reach_the_update_and_multiply_those_of_groups() {
    let folder = prepared();
    let moved = |more: &[&str]| -> Vec<(String, f32)> {
        let steady = ["steps=1", "optimiser.warm_up=0", "optimiser.final_share=1", "force=true"];
        let steps = [&steady, more].concat();
        train(&configuration(&folder, "run", &steps), &Disk).unwrap();
        let read = peft::read::<f32>(&folder.path().join("run/adapter")).unwrap();
        let most = |values: &[f32]| values.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        // B begins at zero.
        read.iter().map(|(module, adapter)| (module.to_owned(), most(&adapter.b))).collect()
    };
    let plain = moved(&[]);
    assert!(plain.iter().all(|(_, b)| *b > 0.0), "{plain:?}");
    for group in [&[][..], &["optimiser.groups=*.lora_?.weight: rate=0.5"]] {
        let share = if group.is_empty() { 1.0 } else { 0.5 };
        let rates = ["lora.delta_rate=0", "lora.attention_rate=2", "lora.b_rate=3"];
        let found = moved(&[&rates, group].concat());
        for ((module, found), (_, plain)) in found.iter().zip(&plain) {
            let factor = match module {
                _ if module.contains(".linear_attn.") => 0.0,
                _ if module.contains(".self_attn.") => 6.0,
                _ => 3.0,
            };
            let expected = plain * factor * share;
            assert!((found - expected).abs() <= 1e-4 * expected, "{module}: {found} {expected}");
        }
    }
}

#[test]
fn the_frozen_model_has_no_gradients_and_no_state_of_the_optimiser() {
    let folder = prepared();
    let adapted = build_adapted(&configuration(&folder, "none", &[]));
    let adapters = adapted.adapters();
    let of_adapters: usize =
        adapters.iter().map(|(_, adapter)| adapter.a.len() + adapter.b.len()).sum();
    assert_eq!(adapted.parameters().numbers(), of_adapters);
}

#[test]
fn what_the_model_cannot_have_is_an_error_before_anything_is_written() {
    let folder = prepared();
    for (more, said) in [
        (
            &["lora.targets=no_such_proj"][..],
            "target \"no_such_proj\": expected one of the model's",
        ),
        (&["lora.layers=9"], "layers: expected layers of the model, 0 to 3"),
        (&["lora.rank=1000"], "rank"),
        (&["lora.targets=(", "lora.rank=1"], "expression"),
        (&["batch.length=65"], "expected at most 64 tokens"),
    ] {
        let error = train(&configuration(&folder, "run", more), &Disk).unwrap_err().to_string();
        assert!(error.contains(said), "{more:?}: {error}");
        assert!(!folder.path().join("run").exists(), "{more:?}");
    }
}
