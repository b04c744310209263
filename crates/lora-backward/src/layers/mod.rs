//! Layers, as those of [`nn`].

mod gated_delta_net;
mod lora;

pub use gated_delta_net::{
    DeltaNetInputs, DeltaNetOptions, DeltaNetProjections, DeltaNetState, DeltaNetWeights,
    GatedDeltaNet,
};
pub use lora::{AdapterMode, Lora};
