//! Layers, as those of [`nn`].

mod gated_delta_net;

pub use gated_delta_net::{
    DeltaNetInputs, DeltaNetOptions, DeltaNetProjections, DeltaNetState, DeltaNetWeights,
    GatedDeltaNet,
};
