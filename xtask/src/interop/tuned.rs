//! A run of `ternary lora` on each model, whose held-out loss PEFT computes too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use trainer::data::stories;
use trainer::run::Summary;

use super::check::{Checks, Finding};
use super::made::{BASE, Heard};
use crate::parity::Outcome;
use crate::process::output;

const TEXT: &str = "text.txt";
const HELD_OUT: &str = "held_out.txt";
/// Bytes of the texts. All windows of the latter are evaluated.
const TEXT_BYTES: usize = 1 << 16;
const HELD_OUT_BYTES: usize = 1 << 12;

/// What every run is told. Python evaluates in windows of the same length.
const ARGUMENTS: &str =
    "--steps 60 --length 64 --rank 4 --learning-rate 5e-3 --set evaluation.every=60";

/// Of a loss, in f32.
const LOSSES: f64 = 1e-4;

/// The texts and the command.
pub(super) struct Tuning {
    models: PathBuf,
    ternary: PathBuf,
}

impl Tuning {
    /// Writes the texts: stories, and others.
    pub(super) fn prepare(models: &Path, ternary: &Path) -> std::io::Result<Self> {
        fs::write(models.join(TEXT), stories(1, TEXT_BYTES))?;
        fs::write(models.join(HELD_OUT), stories(2, HELD_OUT_BYTES))?;
        Ok(Self { models: models.to_owned(), ternary: ternary.to_owned() })
    }

    /// Trains the adapters that a run has by default; returns the held-out loss at the end, as the run told it.
    pub(super) fn run(&self, place: &Path) -> Outcome<f64> {
        let out = place.join("tuned");
        let mut command = Command::new(&self.ternary);
        command.arg("lora").arg("--model").arg(place.join(BASE)).arg("--out").arg(&out);
        command.arg("--data").arg(self.models.join(TEXT));
        command.arg("--valid").arg(self.models.join(HELD_OUT));
        command.args(ARGUMENTS.split_whitespace());
        output(&mut command)?;
        let summary = Summary::read(&out)?.ok_or("the run left no summary")?;
        Ok(summary.held_out.nats)
    }
}

/// Whether the loss has fallen, and is what PEFT computes.
pub(super) fn check(
    checks: &mut Checks,
    of_kind: impl Fn(&str) -> String,
    heard: &Heard,
    tuned: Outcome<f64>,
) {
    let losses = tuned.and_then(|tuned| {
        let [base, theirs] = heard.losses()?;
        Ok((tuned, base, theirs))
    });
    let found = |found: &dyn Fn((f64, f64, f64)) -> Finding| match &losses {
        Ok(losses) => Ok(found(*losses)),
        Err(error) => Err(error.to_string().into()),
    };
    checks.add(of_kind("the held-out loss falls in ternary lora"), || {
        found(&|(tuned, base, _)| Finding {
            passed: tuned < base,
            told: format!("from {base:.4} to {tuned:.4}"),
        })
    });
    checks.add(of_kind("PEFT has the same held-out loss"), || {
        found(&|(tuned, _, theirs)| Finding::near(&[tuned], &[theirs], LOSSES))
    });
}
