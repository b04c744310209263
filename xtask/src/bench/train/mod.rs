//! `cargo xtask bench train`: full training steps, and decoding of the model that is trained.
//!
//! Every figure of ours is that of a process of its own, started anew in each round, so that its peak memory is its
//! alone. In each round a row runs, then each peer with the same configuration and threads; the roof is measured
//! before and after ours. What is compared with peers are medians over the rounds.

mod child;
mod goals;
mod plan;
mod profile;

use clap::ValueEnum;
use ternary_core::kernels::Kernels;
use trainer::config::Preset;

use self::plan::{Part, Task, plan};
use super::Result;
use super::arguments::{Running, or_default};
use super::measuring::Measuring;
use super::named::display_by_name;
use super::shape::parse_positive;
use super::turns;

/// What `--help` says of peers.
const PEERS: &str = "\
In the command of a peer, {cfg} becomes the preset of a row and {threads} its threads, so that one --peer serves all \
rows; a command without them runs once a round. Keys that are read of its JSON objects: ms (of a step), rss_mb (peak \
memory in MiB), cpu_ms, tok_s, cfg, threads.";

#[derive(Debug, clap::Args)]
#[command(after_help = PEERS)]
pub(crate) struct Args {
    #[command(flatten)]
    running: Running,
    /// Configurations to measure; may repeat
    #[arg(long = "preset", value_name = "NAME")]
    presets: Vec<Size>,
    /// Training steps, or decoding; may repeat
    #[arg(long = "part", value_name = "NAME")]
    parts: Vec<Part>,
    /// Rounds; fewer than five are never steady
    #[arg(long, value_name = "N", default_value = "7", value_parser = parse_positive)]
    rounds: usize,
    /// Steps of a process that count, after two that do not
    #[arg(long, value_name = "N", default_value = "3", value_parser = parse_positive)]
    steps: usize,
    /// Windows of a unit, where not as the preset has them
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    unit: Option<usize>,
    /// Print what each part of a step takes on one thread, instead; needs a build with the feature `profile`
    #[arg(long)]
    profile: bool,
    /// Runs one row in this process and prints its figures
    #[arg(long, hide = true)]
    child: bool,
}

/// A configuration that peers have too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Size {
    /// Width 256, 6 layers, 16 windows of 256
    Small,
    /// Width 512, 8 layers, 8 windows of 512
    Base,
}
display_by_name!(Size);

impl Size {
    const fn preset(self) -> Preset {
        match self {
            Self::Small => Preset::Small,
            Self::Base => Preset::Base,
        }
    }
}

/// Measures and prints.
pub(crate) fn run(args: Args) -> Result {
    let isa = Kernels::detect()?.isa();
    let threads = args.running.threads()?;
    let presets = or_default(&args.presets, Size::value_variants());
    let parts = or_default(&args.parts, Part::value_variants());
    let tasks = plan(&presets, &parts, &threads);
    if args.child {
        return tasks.into_iter().try_for_each(|task| child::run(task, args.steps, args.unit));
    }
    if tasks.is_empty() {
        return Err("this choice of presets and parts leaves nothing".into());
    }
    if args.profile {
        let steps = |task: &&Task| task.part == Part::Step && task.threads == 1;
        let mut tasks = tasks.iter().filter(steps);
        return tasks.try_for_each(|&task| profile::print(task, args.steps, args.unit));
    }
    let mut file = args.running.create_file()?;
    let mut bench = Measuring::start(isa, &threads)?;
    let mut arguments = vec![format!("--steps={}", args.steps)];
    arguments.extend(args.unit.map(|unit| format!("--unit={unit}")));
    let choice = turns::Choice { rounds: args.rounds, arguments };
    turns::take(&mut bench, &tasks, isa, &choice, &args.running.peers)?;
    let goals = goals::goals(&bench.report);
    bench.conclude(&goals, true, file.as_mut())
}
