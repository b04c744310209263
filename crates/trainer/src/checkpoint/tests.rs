//! Tests of saving and loading.

mod faults;
mod hands;

use std::path::{Path, PathBuf};

use super::*;
use crate::storage::faulty::Faulty;

const RUN: &str = "/run";

/// Numbers that only the checkpoint of this step has.
fn numbers(step: u32) -> ([f32; 5], [u8; 3]) {
    let number = step as f32;
    ([number, -number, f32::from_bits(step), 1.0 / number, 0.0], [1, step as u8, 3])
}

fn snapshot(step: u32) -> Snapshot {
    let mut snapshot = Snapshot { step, seconds: f64::from(step) / 3.0, ..Snapshot::default() };
    snapshot.lengths.insert("metrics.jsonl".to_owned(), u64::from(step) * 100);
    snapshot.optimiser_times = vec![step, step - 1];
    snapshot.insert("guard", &(step, 0.1)).unwrap();
    snapshot
}

fn save(storage: &dyn Storage, keep: usize, step: u32) -> Result<PathBuf> {
    let (weights, codes) = numbers(step);
    Checkpoints::new(storage, Path::new(RUN), keep).save(&snapshot(step), &|visit| {
        visit("weights", Numbers::F32(&weights));
        visit("codes", Numbers::U8(&codes));
    })
}

/// The step of the newest checkpoint, all of which is read and must be of that step, and the lines that were told.
fn newest(storage: &dyn Storage) -> Result<(Option<u32>, Vec<String>)> {
    let mut lines = Vec::new();
    let checkpoints = Checkpoints::new(storage, Path::new(RUN), 1);
    let found = checkpoints.newest(&mut |line| lines.push(line.to_owned()))?;
    let Some(mut found) = found else { return Ok((None, lines)) };
    let step = found.snapshot.step;
    assert_eq!(found.snapshot, snapshot(step));
    let (mut weights, mut codes) = ([f32::NAN; 5], [0xff; 3]);
    found.read("codes", NumbersMut::U8(&mut codes))?;
    found.read("weights", NumbersMut::F32(&mut weights))?;
    found.finish()?;
    assert_eq!((weights.map(f32::to_bits), codes), {
        let (weights, codes) = numbers(step);
        (weights.map(f32::to_bits), codes)
    });
    Ok((Some(step), lines))
}

/// A disk with a run and its checkpoints.
fn run_with(keep: usize, steps: &[u32]) -> Faulty {
    let disk = Faulty::new();
    make_directories(&disk, Path::new(RUN)).unwrap();
    for &step in steps {
        save(&disk, keep, step).unwrap();
    }
    disk
}

fn file(step: u32, name: &str) -> PathBuf {
    Path::new(RUN).join("checkpoints").join(final_name(step)).join(name)
}
