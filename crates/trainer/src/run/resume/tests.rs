//! Runs whose checkpoints are on a disk that fails. The command is tested from outside.

use std::fs;
use std::path::PathBuf;

use models::Shadow;

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

/// The run in a folder, killed at a save in the middle of it, and the disk with the checkpoint before.
fn killed(folder: &TemporaryFolder, configuration: &Configuration, name: &str) -> Faulty {
    let (progress, interrupt) = (Progress::new(8, 1000), Interrupt::default());
    let run = folder.path().join(name);
    let whole = disk(&run, Fault::None);
    train_with(configuration, &progress, &interrupt, &whole).unwrap();
    fs::remove_dir_all(&run).unwrap();
    let disk = disk(&run, Fault::Error(whole.operations() * 5 / 8));
    train_with(configuration, &progress, &interrupt, &disk).unwrap_err();
    disk.repair();
    disk
}

fn unfinished(run: &Path) -> Unfinished {
    let Resumed::Unfinished(unfinished) = Resumed::open(run).unwrap() else { panic!() };
    *unfinished
}

#[test]
fn a_run_goes_on_with_the_teacher_that_it_began_with_and_no_other() {
    let folder = TemporaryFolder::new();
    let (progress, interrupt) = (Progress::new(8, 1000), Interrupt::default());
    let with_seed = |out: &str, seed: u64, teacher: Option<PathBuf>| {
        let mut configuration = configuration(&folder, out);
        (configuration.run.seed, configuration.run.teacher) = (seed, teacher);
        configuration
    };
    for seed in [5, 6] {
        let teacher = with_seed(&format!("teacher-{seed}"), seed, None);
        train_with(&teacher, &progress, &interrupt, &Disk).unwrap();
    }
    let [teacher, other] = [5, 6].map(|seed| folder.path().join(format!("teacher-{seed}/model")));
    let disk = killed(&folder, &with_seed("run", 1, Some(teacher.clone())), "run");
    let run = folder.path().join("run");
    let away = folder.path().join("away");
    fs::rename(&teacher, &away).unwrap();
    fs::rename(&other, &teacher).unwrap();
    let said = unfinished(&run).train_with(&progress, &interrupt, &disk).unwrap_err().to_string();
    assert!(said.contains("the teacher: expected that which the run began with"), "{said}");
    // The same one at another place will do.
    let mut moved = unfinished(&run);
    moved.configuration.run.teacher = Some(away);
    assert_eq!(moved.train_with(&progress, &interrupt, &disk).unwrap().steps, 8);
}

#[test]
fn a_run_that_lost_its_weights_names_the_checkpoint_before_and_leaves_it() {
    let folder = TemporaryFolder::new();
    let (progress, interrupt) = (Progress::new(8, 1000), Interrupt::default());
    let mut begun = configuration(&folder, "run");
    // Those of bf16 stop at its largest number.
    begun.ternary.latent = Shadow::F32;
    let disk = killed(&folder, &begun, "run");
    let Unfinished { folder: run, mut configuration } = unfinished(&folder.path().join("run"));
    let checkpoints = Checkpoints::new(&disk, run.path(), 2);
    let mut checkpoint = checkpoints.newest(&mut |line| panic!("{line}")).unwrap().unwrap();
    let path = checkpoint.path.clone();
    configuration.optimiser.learning_rate = 1e60;
    let given = Given::new(&configuration, &progress, &interrupt, &disk);
    let corpus = open_corpus(given).unwrap();
    let mut ready = Ready::new(given, &corpus, None).unwrap();
    ready.training.restore(&mut checkpoint).unwrap();
    let snapshot = checkpoint.finish().unwrap();
    let records = run.begin_records().unwrap();
    let failed = Running::go_on(given, ready, &run, &snapshot, || Ok(records));
    let said = failed.unwrap_err().to_string();
    assert!(said.contains("infinite") && said.contains(&*path.to_string_lossy()), "{said}");
    assert_eq!(checkpoints.newest(&mut |line| panic!("{line}")).unwrap().unwrap().path, path);
}
