//! `cargo xtask evidence`: every way to train, side by side, as the table of the documentation.
//!
//! Each way is run with several seeds, one run at a time. Each run leaves a folder; what is finished there is
//! not run again. What a step costs is measured afterwards, in a short pass of its own (`timed`).

pub(crate) mod document;
pub(crate) mod folder;
mod measured;
mod rows;
pub(crate) mod running;
pub(crate) mod table;
#[cfg(test)]
mod temporary;
mod timed;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use self::folder::Run;
use self::rows::Row;
use self::table::Table;
use self::timed::Pass;
use crate::lock::lock;
use crate::workspace::Workspace;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Steps of each run
    #[arg(long, value_name = "N", default_value = "400",
          value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Runs of each row: with the seeds 0 to N − 1
    #[arg(long, value_name = "N", default_value = "3",
          value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,
    /// Steps of each run of the timed pass, which follows the long runs and needs a quiet machine: 3 or
    /// more, or 0 for no times
    #[arg(long, value_name = "N", default_value = "30", value_parser = timed::steps)]
    timed_steps: u32,
    /// Rounds of the timed pass; the fastest counts
    #[arg(long, value_name = "N", default_value = "2",
          value_parser = clap::value_parser!(u32).range(1..))]
    timed_rounds: u32,
    /// Rows to run, by name; otherwise all
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = rows::name)]
    only: Vec<String>,
    /// The folder of the runs [default: evidence, in cargo's target folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write the table into this document, between its two markers
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// List the rows with their arguments, and run nothing
    #[arg(long)]
    list: bool,
}

/// Runs what is not finished, prints the table, and fails where a row did not learn.
pub(crate) fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let rows = rows::chosen(&args.only);
    if args.list {
        rows.iter().for_each(|row| println!("{:<20} {}", row.name, row.arguments.join(" ")));
        return Ok(());
    }
    if let Some(document) = &args.markdown {
        document::check(document)?;
    }
    let workspace = Workspace::read()?;
    let folder = args.out.unwrap_or_else(|| workspace.target.join("evidence"));
    let folder = std::path::absolute(folder)?;
    fs::create_dir_all(&folder)?;
    let _lock = lock(&folder, "evidence")?;

    let runs = runs(&rows, args.seeds, args.steps);
    let refused = running::run_the_unfinished(&workspace, &folder, &runs)?;
    let learnt = rows.iter().filter(|row| !refused.contains_key(&row.name));
    let pass = Pass::new(learnt, args.timed_rounds, args.timed_steps);
    let run_all = |runs: &[&Run]| {
        let rounds = args.timed_rounds;
        eprintln!("timed pass of {} runs in {rounds} rounds: leave the machine alone", runs.len());
        running::run_all(&workspace, &folder, runs, BTreeMap::new())
    };
    let times = pass.times(&folder, run_all)?;
    let table = Table::of(&folder, &runs, refused, &times)?;
    println!("{table}");
    if let Some(document) = &args.markdown {
        document::replace(document, &table.to_string())?;
    }
    match table.findings() {
        [] => Ok(()),
        findings => Err(findings.join("\nerror: ").into()),
    }
}

/// All runs in their order: the rows of the first seed, then those of the second.
fn runs(rows: &[Row], seeds: u32, steps: u32) -> Vec<Run> {
    let of_seed = |seed| rows.iter().map(move |row| Run::new(row, seed, steps));
    (0..seeds).flat_map(of_seed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        evidence: Args,
    }

    #[test]
    fn the_page_says_what_a_run_without_arguments_does() {
        let Command { evidence } = <Command as clap::Parser>::parse_from(["evidence"]);
        let page = include_str!("../../../docs/science/evidence.md");
        let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(evidence.seeds, 3);
        let long = format!("{} steps with each of three seeds", evidence.steps);
        let timed = format!("each row once more for {} steps, in two rounds", evidence.timed_steps);
        assert!(page.contains(&long) && page.contains(&timed) && evidence.timed_rounds == 2);
    }

    #[test]
    fn seeds_are_the_outer_loop() {
        let runs = runs(&rows::chosen(&["absmean".into(), "float".into()]), 2, 5);
        let names: Vec<_> = runs.iter().map(|run| (run.row.as_str(), run.seed)).collect();
        assert_eq!(names, [("float", 0), ("absmean", 0), ("float", 1), ("absmean", 1)]);
    }
}
