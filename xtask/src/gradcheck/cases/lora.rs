//! Adapters: beside each kind of projection, and in every layer that holds projections.

mod adapted;
mod alone;
mod masks;

use lora_backward::{Adapter, AdapterError, Lora, Scaling};
use nn::{Compute, Nonlinearity, Parameters, Projection, Sequences};

use super::delta_net::Net;
use super::hybrid_block::Hybrid;
use super::layers::{Channels, Mixer, Options};
use super::mixture::Mixture;
use super::part::both;
use crate::gradcheck::case::Case;

use self::adapted::Adapted;

/// The cases of adapters.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let mut cases = alone::all();
    cases.push(masks::case());
    cases.extend(delta_nets());
    let mixer = |options| Mixer { options };
    let qwen: Targets = &[("query", 3), ("key", 2), ("value", 1), ("output", 4)];
    cases.extend(both("Lora, gated attention", "Lora", Adapted::new(mixer(Options::Qwen), qwen)));
    let own: Targets = &[("query", 2), ("value", 3), ("gate", 4), ("output", 1)];
    let own = Adapted::new(mixer(Options::All), own);
    cases.extend(both("Lora, attention with a gate of its own", "Lora", own));
    let nonlinearity = Nonlinearity::SwiGlu;
    let channels = Channels { nonlinearity, has_norm: false };
    let all: Targets = &[("gate", 2), ("up", 4), ("down", 3)];
    let dropping = Adapted { dropout: 0.5, ..Adapted::new(channels.clone(), all) };
    cases.extend(both("Lora, feed-forward", "Lora", Adapted::new(channels, all)));
    cases.extend(both("Lora, feed-forward under dropout", "Lora", dropping));
    let mixture = |is_frozen| Mixture { used: 2, is_shared: true, is_frozen };
    let experts: Targets = &[
        ("expert0.gate", 2),
        ("expert0.down", 3),
        ("expert1.up", 1),
        ("expert2.gate", 4),
        ("expert3.up", 2),
        ("shared.down", 2),
    ];
    cases.extend(both("Lora, experts", "Lora", Adapted::new(mixture(false), experts)));
    let ternary: Targets =
        &[("expert0.gate_proj", 2), ("expert1.up_proj", 3), ("expert2.down_proj", 1)];
    let ternary = Adapted { dropout: 0.25, ..Adapted::new(mixture(true), ternary) };
    cases.extend(both("Lora, ternary experts under dropout", "Lora", ternary));
    let block: Targets = &[("qkv", 3), ("a", 2), ("down", 1)];
    let block = Adapted { dropout: 0.5, ..Adapted::new(Hybrid { recomputes: true }, block) };
    cases.extend(both("Lora, recomputed block under dropout", "Lora", block));
    cases
}

/// Any of the projections of a delta net, each with a rank of its own, in both layouts.
fn delta_nets() -> Vec<Box<dyn Case>> {
    let net = Net { sequences: Sequences { count: 2, length: 5 }, ..Net::PLAIN };
    let fused = Net { is_fused: true, ..net };
    let subsets: [(&str, Net, Targets); 8] = [
        ("qkv", net, &[("qkv", 3)]),
        ("z", net, &[("z", 2)]),
        ("a and b", net, &[("b", 1), ("a", 3)]),
        ("output", net, &[("output", 4)]),
        ("all", net, &[("qkv", 5), ("z", 4), ("b", 2), ("a", 3), ("output", 1)]),
        ("fused qkvz", fused, &[("qkvz", 3)]),
        ("fused ba and output", fused, &[("ba", 2), ("output", 4)]),
        ("fused all", fused, &[("qkvz", 1), ("ba", 4), ("output", 3)]),
    ];
    let mut cases = Vec::new();
    for (name, net, targets) in subsets {
        let name = format!("Lora, delta net: {name}");
        cases.extend(both(&name, "Lora", Adapted::new(net, targets)));
    }
    cases
}

/// Projections by their names, with the ranks of their adapters.
type Targets = &'static [(&'static str, usize)];

/// Puts an adapter beside a projection. Its factors are no 1, whatever the rank is, and are set by the case.
fn attach<T: Compute>(
    place: &mut Box<dyn Projection<T>>,
    rank: usize,
    dropout: f64,
    parameters: &mut Parameters,
) -> nn::Result<()> {
    let alpha = 1.75 + 0.5 * rank as f64;
    let scaling = Scaling { alpha, rank_stabilised: rank.is_multiple_of(2) };
    let (name, shape) = (place.name().to_owned(), [place.outputs(), place.inputs()]);
    let adapter = Adapter::kaiming(&name, shape, rank, scaling, 1).map_err(refused)?;
    Lora::attach(place, adapter, dropout, parameters).map_err(refused)
}

/// An error of adapters as one of layers.
fn refused(error: AdapterError) -> nn::Error {
    let (layer, found) = ("case".to_owned(), error.to_string());
    nn::Error::Setting { layer, what: "adapter", expected: "one that fits", found }
}
