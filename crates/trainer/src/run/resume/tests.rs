//! Runs whose checkpoints are on a disk that fails. The command is tested from outside.

use std::fs;

use super::*;
use crate::checkpoint::Checkpoints;
use crate::run::train::train_with;
use crate::storage::faulty::{Fault, Faulty};
use crate::storage::make_directories;
use crate::temporary::TemporaryFolder;

/// Settings of a run of milliseconds with four checkpoints.
fn configuration(folder: &TemporaryFolder, out: &str) -> Configuration {
    let path = |name: &str| folder.path().join(name).display().to_string();
    folder.file("text", "the cat sat on the mat and ran. ".repeat(50));
    let mut layers = Layers::default();
    let settings = "steps=8 checkpoint_every=2 model.width=32 model.feed_forward=32 model.layers=1 batch.windows=2 \
                    batch.length=32 evaluation.windows=1 ternary.latent=bf16 ternary.boundary_noise=0.2";
    layers.add_assignments(settings.split_whitespace()).unwrap();
    layers
        .add_flags([("data", path("text")), ("out", path(out))].map(|(k, v)| (k.to_owned(), v)))
        .unwrap();
    layers.resolve().unwrap()
}

/// A disk with the folder of a run, where `fault` is to happen.
fn disk(run: &Path, fault: Fault) -> Faulty {
    let disk = Faulty::new();
    make_directories(&disk, run).unwrap();
    disk.copy(fault)
}

fn model(run: &Path) -> Vec<u8> {
    fs::read(run.join("model/model.safetensors")).unwrap()
}

#[test]
fn a_full_disk_ends_a_run_which_goes_on_as_if_nothing_had_been_once_there_is_room() {
    let folder = TemporaryFolder::new();
    let (progress, interrupt) = (Progress::new(8, 1000), Interrupt::default());
    let straight = folder.path().join("straight");
    let whole = disk(&straight, Fault::None);
    train_with(&configuration(&folder, "straight"), &progress, &interrupt, &whole).unwrap();
    let operations = whole.operations();
    for (number, at) in (0..operations).step_by(operations / 8).enumerate() {
        let (name, fault) = match number % 2 {
            0 => (format!("full-{at}"), Fault::DiskFull(at)),
            _ => (format!("error-{at}"), Fault::Error(at)),
        };
        let run = folder.path().join(&name);
        let disk = disk(&run, fault);
        let failed = train_with(&configuration(&folder, &name), &progress, &interrupt, &disk);
        let Err(error) = failed else {
            // All that is left to do then is to remove an old one.
            assert!(fault == Fault::DiskFull(at) && at > operations * 3 / 4, "{name}");
            continue;
        };
        assert!(error.to_string().contains("checkpoints"), "{error}");
        disk.repair();
        let kept = Checkpoints::new(&disk, &run, 2).newest(&mut |line| panic!("{line}")).unwrap();
        // Where the first one failed, there is none.
        assert!(kept.is_some() || at < operations / 4, "{name}");
        let Resumed::Unfinished(unfinished) = Resumed::open(&run).unwrap() else { panic!() };
        let summary = unfinished.train_with(&progress, &interrupt, &disk).unwrap();
        assert_eq!(summary.steps, 8);
        assert!(model(&run) == model(&straight), "{name}");
    }
}
