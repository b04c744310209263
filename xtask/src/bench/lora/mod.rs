//! `cargo xtask bench lora`: steps that train adapters beside a frozen model, and its forward alone.
//!
//! The model has the layers of Qwen3.5-0.8B, three gated delta nets and one attention, with random weights: in `f32`, in
//! `bf16`, or ternary. Every projection of the layers has an adapter of rank 16. A step is one sequence: forward, backward
//! and AdamW. As in `bench train`, every figure of ours is that of a process of its own, in turn with those of peers.

mod child;
mod goals;
mod model;
mod plan;

use models::Base;
use ternary_core::kernels::Kernels;

use self::plan::{Part, plan};
use super::Result;
use super::arguments::{Running, or_default};
use super::measuring::Measuring;
use super::shape::parse_positive;
use super::turns;

/// What `--help` says of peers.
const PEERS: &str = "\
In the command of a peer, {tokens} becomes the length of a row's sequence, {base} its weights (f32 or bf16; ternary ones \
have no peer of their own, and are held to all), {vocabulary}, {threads} and {steps} what they say. Keys that are read of its \
JSON objects: ms (of a step), rss_mb (peak memory in MiB), rss_import_mb (the same before there is a model), and the first four \
of those. Ours: --peer 'python xtask/peers/lora.py --tokens {tokens} --base {base} --vocabulary {vocabulary} \
--threads {threads} --steps {steps}'";

/// Tokens when none are named.
const TOKENS: [usize; 2] = [512, 2048];

#[derive(Debug, clap::Args)]
#[command(after_help = PEERS)]
pub(crate) struct Args {
    #[command(flatten)]
    running: Running,
    /// How the frozen model is kept: f32, bf16 or ternary; may repeat
    #[arg(long = "base", value_name = "NAME", value_parser = parse_base)]
    bases: Vec<Base>,
    /// Tokens of the sequence; may repeat
    #[arg(long, value_name = "T", value_parser = parse_positive)]
    tokens: Vec<usize>,
    /// Training steps, or the forward alone; may repeat
    #[arg(long = "part", value_name = "NAME")]
    parts: Vec<Part>,
    /// Tokens there are. Those of the real model, 248320, have a head of three times the numbers of these four layers
    #[arg(long, value_name = "N", default_value = "4096", value_parser = parse_positive)]
    vocabulary: usize,
    /// Rounds; fewer than five are never steady
    #[arg(long, value_name = "N", default_value = "5", value_parser = parse_positive)]
    rounds: usize,
    /// Steps of a process that count, after one that does not
    #[arg(long, value_name = "N", default_value = "3", value_parser = parse_positive)]
    steps: usize,
    /// Runs one row in this process and prints its figures
    #[arg(long, hide = true)]
    child: bool,
}

/// Measures and prints.
pub(crate) fn run(args: Args) -> Result {
    let isa = Kernels::detect()?.isa();
    let threads = args.running.threads()?;
    let bases = or_default(&args.bases, &Base::ALL);
    let parts = or_default(&args.parts, &Part::ALL);
    let tasks = plan(&bases, &or_default(&args.tokens, &TOKENS), &parts, &threads, args.vocabulary);
    if args.child {
        return tasks.into_iter().try_for_each(|task| child::run(task, args.steps));
    }
    let mut file = args.running.create_file()?;
    let mut bench = Measuring::start(isa, &threads)?;
    let arguments = vec![format!("--steps={}", args.steps)];
    let choice = turns::Choice { rounds: args.rounds, arguments };
    let peers = peers(&args.running.peers, args.steps);
    turns::take(&mut bench, &tasks, isa, &choice, &peers)?;
    let goals = goals::goals(&bench.report);
    bench.conclude(&goals, true, file.as_mut())
}

/// The commands of peers, told the steps, which are the same in all rows.
fn peers(commands: &[String], steps: usize) -> Vec<String> {
    commands.iter().map(|command| command.replace("{steps}", &steps.to_string())).collect()
}

fn parse_base(text: &str) -> Result<Base, String> {
    let base = Base::ALL.into_iter().find(|base| base.name() == text);
    base.ok_or_else(|| format!("expected one of {}", Base::ALL.map(Base::name).join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_takes_as_many_steps_as_we_do() {
        let found = peers(&["peer --steps {steps} {tokens}".into(), "other".into()], 7);
        assert_eq!(found, ["peer --steps 7 {tokens}", "other"]);
    }
}
