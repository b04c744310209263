//! `cargo xtask bench`: measurements, each beside the limit of the machine that bounds it.

mod arguments;
mod child;
mod clock;
mod gdn;
mod goal;
mod kernels;
mod layers;
mod lora;
mod machine;
mod measuring;
mod named;
mod peer;
mod report;
mod roofs;
mod rounds;
mod shape;
mod train;
mod turns;

use std::error::Error;

use clap::Subcommand;

/// What the benches return: any error ends the command.
type Result<T = (), E = Box<dyn Error>> = std::result::Result<T, E>;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// The kernels of `ternary-core`, as shares of the roofs measured beside them.
    Kernels(kernels::Args),
    /// The layers of `nn`, forward and with backward: ternary against dense, beside the roofs.
    Layers(layers::Args),
    /// The gated delta net: speed, memory and decoding, beside the roofs.
    Gdn(gdn::Args),
    /// Training steps of adapters beside a frozen hybrid model: speed and peak memory.
    Lora(lora::Args),
    /// Training steps and decoding of a whole model, beside the roofs: speed and peak memory.
    Train(train::Args),
}

/// Runs one bench.
pub(crate) fn run(args: Args) -> Result {
    match args.bench {
        Bench::Kernels(args) => kernels::run(args),
        Bench::Layers(args) => layers::run(args),
        Bench::Gdn(args) => gdn::run(args),
        Bench::Lora(args) => lora::run(args),
        Bench::Train(args) => train::run(args),
    }
}
