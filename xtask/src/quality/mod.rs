//! `cargo xtask quality`: what adapters of each kind of layer learn beside a frozen ternary model, as a table.
//!
//! For each seed a hybrid model trains from nothing on the stories, and then stays as it is, ternary. Adapters of its gated
//! delta nets, of its attention and of both learn another text, which it knows nothing of. Runs are those of
//! `cargo xtask evidence`: each has a folder, and what is finished there is not run again.

mod shifted;
mod table;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use trainer::run::{EvaluationRequest, Summary, evaluate_file, model_folder};

use self::table::{Found, Table};
use crate::evidence::folder::{Run, State};
use crate::evidence::{document, running};
use crate::lock::lock;
use crate::workspace::Workspace;

/// What has adapters, and the ends of the names of those projections.
const ROWS: [(&str, &str); 3] = [
    ("delta", "in_proj_qkv,in_proj_z,in_proj_b,in_proj_a,out_proj"),
    ("attention", "q_proj,k_proj,v_proj,o_proj"),
    ("both", "in_proj_qkv,in_proj_z,in_proj_b,in_proj_a,out_proj,q_proj,k_proj,v_proj,o_proj"),
];
const RANK: usize = 8;
const LEARNING_RATE: f64 = 2e-3;
/// Tokens of a window, in training and evaluation.
const LENGTH: usize = 256;

/// The other text, and what is held out of it.
const TEXT: &str = "german.txt";
const HELD_OUT: &str = "german-held-out.txt";
/// Their seeds. Those of models have 32 bits: no model has been told a story that was translated.
const TEXT_SEED: u64 = u64::MAX - 1;
const HELD_OUT_SEED: u64 = u64::MAX;
const TEXT_BYTES: usize = 1 << 19;
const HELD_OUT_BYTES: usize = 1 << 15;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Steps of the runs that make the models
    #[arg(long, value_name = "N", default_value = "400",
          value_parser = clap::value_parser!(u32).range(1..))]
    base_steps: u32,
    /// Steps of the runs of adapters
    #[arg(long, value_name = "N", default_value = "150",
          value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Models, and runs of each row: with the seeds 0 to N − 1
    #[arg(long, value_name = "N", default_value = "3",
          value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,
    /// The folder of the runs [default: quality, in cargo's target folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write the table into this document, between its two markers
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// Runs what is not finished, prints the table, and fails where adapters did not lower the loss.
pub(crate) fn run(args: Args) -> Result<(), Box<dyn Error>> {
    if let Some(document) = &args.markdown {
        document::check(document)?;
    }
    let workspace = Workspace::read()?;
    let folder = args.out.clone().unwrap_or_else(|| workspace.target.join("quality"));
    let folder = std::path::absolute(folder)?;
    fs::create_dir_all(&folder)?;
    let _lock = lock(&folder, "quality")?;
    // The same bytes whenever they are written.
    fs::write(folder.join(TEXT), shifted::text(TEXT_SEED, TEXT_BYTES))?;
    fs::write(folder.join(HELD_OUT), shifted::text(HELD_OUT_SEED, HELD_OUT_BYTES))?;

    let runs = runs(&args);
    let refused = running::run_the_unfinished(&workspace, &folder, &runs)?;
    if let Some((row, why)) = refused.first_key_value() {
        return Err(format!("{row} did not run: {why}").into());
    }
    let mut table = Table::new(args.base_steps, args.steps);
    let base = base(args.base_steps);
    // Of the model that was read last: the models come before their adapters.
    let mut begun = 0;
    for run in &runs {
        let State::Finished(receipt) = run.state(&folder)? else {
            return Err(format!("{} is not finished", run.path(&folder).display()).into());
        };
        if let Some(failure) = receipt.failure {
            return Err(format!("{run} failed: {failure}").into());
        }
        table.of_revision(receipt.revision);
        if run.row == base {
            begun = receipt.invocation;
            continue;
        }
        if receipt.invocation < begun {
            let path = run.path(&folder);
            return Err(format!("{run} is older than its model: remove {}", path.display()).into());
        }
        table.add(&run.row, run.seed, found(&folder, &base, run)?);
    }
    println!("{table}");
    if let Some(document) = &args.markdown {
        document::replace(document, &table.to_string())?;
    }
    match table.findings().as_slice() {
        [] => Ok(()),
        findings => Err(findings.join("\nerror: ").into()),
    }
}

/// The name of the runs that make the models. It tells their steps, and with it the arguments of every other run do.
fn base(steps: u32) -> String {
    format!("hybrid-{steps}")
}

/// All runs in their order: of each seed the model, then the adapters for it.
fn runs(args: &Args) -> Vec<Run> {
    let mut runs = Vec::new();
    let base = base(args.base_steps);
    for seed in 0..args.seeds {
        let words = |text: String| text.split(' ').map(str::to_owned).collect();
        let steps = args.base_steps;
        let told = format!("train --preset hybrid --steps {steps} --seed {seed}");
        let told = words(format!("{told} --set evaluation.every={steps}"));
        runs.push(Run::of(&base, seed, steps, told));
        for (row, targets) in ROWS {
            let steps = args.steps;
            let told = format!(
                "lora --model {base}-{seed} --data {TEXT} --valid {HELD_OUT} --targets {targets} --rank {RANK} \
                 --length {LENGTH} --learning-rate {LEARNING_RATE} --steps {steps} --seed {seed} \
                 --set evaluation.every={steps}"
            );
            runs.push(Run::of(row, seed, steps, words(told)));
        }
    }
    runs
}

/// What came of adapters: the losses of what was saved.
fn found(folder: &Path, base: &str, run: &Run) -> Result<Found, Box<dyn Error>> {
    let path = run.path(folder);
    let summary = Summary::read(&path)?;
    let summary = summary.ok_or_else(|| format!("{} has no summary", path.display()))?;
    let model = model_folder(&folder.join(format!("{base}-{}", run.seed)))?;
    let loss = |adapter: Option<PathBuf>| -> trainer::Result<f64> {
        let request = EvaluationRequest {
            model: model.clone(),
            adapter,
            data: folder.join(HELD_OUT),
            is_ids: false,
            cache: Some(folder.join("cache")),
            length: Some(LENGTH),
            stride: None,
            windows: None,
            learns_prompts: false,
            skips_bad_lines: false,
        };
        Ok(evaluate_file(&request)?.loss.nats)
    };
    let (before, after) = (loss(None)?, loss(Some(path))?);
    Ok(Found { parameters: summary.start.parameters, before, after })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use trainer::data::stories;

    use super::*;

    #[test]
    fn adapters_follow_the_model_of_their_seed() {
        let (out, markdown) = (None, None);
        let args = Args { base_steps: 9, steps: 5, seeds: 2, out, markdown };
        let runs = runs(&args);
        let names: Vec<_> = runs.iter().map(|run| (run.row.as_str(), run.seed)).collect();
        let of_seed = |seed| ["hybrid-9", "delta", "attention", "both"].map(|row| (row, seed));
        assert_eq!(names, [of_seed(0), of_seed(1)].concat());
        let told = runs[6].arguments.join(" ");
        assert!(told.starts_with("lora --model hybrid-9-1 --data german.txt "), "{told}");
        assert!(told.contains(" --targets q_proj,k_proj,v_proj,o_proj --rank 8 "), "{told}");
        assert!(told.ends_with(" --steps 5 --seed 1 --set evaluation.every=5"), "{told}");
    }

    #[test]
    fn no_model_is_told_a_story_of_the_other_text_nor_does_that_hold_what_is_held_out() {
        // The seed of a run has 32 bits.
        let largest = u64::from(u32::MAX);
        assert!([TEXT_SEED, HELD_OUT_SEED].iter().all(|&seed| seed > largest));
        let told = |seed, bytes| -> BTreeSet<Vec<u8>> {
            stories(seed, bytes).chunks(256).map(<[u8]>::to_vec).collect()
        };
        let (text, held_out) = (told(TEXT_SEED, TEXT_BYTES), told(HELD_OUT_SEED, HELD_OUT_BYTES));
        assert_eq!((text.len(), held_out.len()), (TEXT_BYTES / 256, HELD_OUT_BYTES / 256));
        assert!(text.is_disjoint(&held_out));
        for seed in [0, 1, 2, largest] {
            let of_model = told(seed, TEXT_BYTES);
            assert!(of_model.is_disjoint(&text) && of_model.is_disjoint(&held_out), "{seed}");
        }
    }
}
