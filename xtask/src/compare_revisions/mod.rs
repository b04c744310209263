//! `cargo xtask compare-revisions A B`: is B faster than A, and by how much, on this machine?
//!
//! A shared machine drifts between faster and slower states, so both revisions are built first and
//! then run in turn, A B A B …; only times of the same round are divided.

mod checkout;
mod ratios;
mod rows;

use std::error::Error;
use std::fs;

use self::checkout::Checkout;
use self::ratios::Comparison;
use self::rows::{Times, read_times};
use crate::lock::lock;
use crate::workspace::Workspace;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A revision, by any name git knows it by
    a: String,
    /// The revision to compare it with
    b: String,
    /// Times that each revision runs
    #[arg(long, value_name = "N", default_value = "3",
          value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The bench and its flags, as `cargo xtask bench` takes them
    #[arg(last = true, value_name = "BENCH ARGS", default_value = "kernels")]
    bench: Vec<String>,
}

/// Builds both revisions, runs the bench on them in turn and prints the ratios.
pub(crate) fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let workspace = Workspace::read()?;
    let folder = workspace.target.join("compare-revisions");
    fs::create_dir_all(&folder)?;
    let _lock = lock(&folder, "compare-revisions")?;

    let [a, b] = [&args.a, &args.b].map(|name| checkout::resolve(&workspace.root, name));
    let (a, b) = (a?, b?);
    println!("A = {} ({a})\nB = {} ({b})", args.a, args.b);
    let a = Checkout::new(&workspace.root, folder.join("a"), &args.a, &a)?;
    let b = Checkout::new(&workspace.root, folder.join("b"), &args.b, &b)?;
    let (a, b) = (a.build()?, b.build()?);

    let report = folder.join("report.json");
    let measure = |bench: &checkout::Bench<'_>| -> Result<Times, Box<dyn Error>> {
        let text = bench.run(&args.bench, &report)?;
        read_times(&text).map_err(|error| format!("{}: {error}", bench.revision()).into())
    };
    let mut rounds = Vec::new();
    for round in 1..=args.rounds {
        println!("round {round} of {}", args.rounds);
        rounds.push((measure(&a)?, measure(&b)?));
    }
    let comparison = Comparison::of(&rounds);
    print!("{comparison}");
    if comparison.is_empty() { Err("the two reports have no row in common".into()) } else { Ok(()) }
}
