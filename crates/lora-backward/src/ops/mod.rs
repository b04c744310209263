//! Operations on rows, each beside its hand-written backward, as those of [`nn::ops`].
//!
//! | op | forward |
//! |---|---|
//! | [`decay_gates`](decay_gates()) | g = −A·softplus(a + dt_bias), β = σ(b) |
//! | [`delta_rule`] | S ← eᵍ·S + k̂·(β(v − eᵍ·Sᵀk̂))ᵀ, o = Sᵀq̂/√dk, in chunks |
//! | [`delta_rule_tokens`] | the same token by token, for decoding |
//! | [`short_conv`](short_conv()) | a few taps along time, channel by channel |

mod decay_gates;
mod delta_rule;
mod short_conv;

pub use decay_gates::{
    DecayParameterGradients, DecayParameters, decay_gates, decay_gates_backward,
};
pub use delta_rule::{
    CHUNK, DeltaGradients, DeltaRows, DeltaShape, delta_rule, delta_rule_backward,
    delta_rule_tokens,
};
pub use short_conv::{ConvInputs, ConvShape, short_conv, short_conv_backward};
