//! Operations on rows, each beside its hand-written backward, as those of [`nn::ops`].
//!
//! | op | forward |
//! |---|---|
//! | [`delta_rule`] | S ← eᵍ·S + k̂·(β(v − eᵍ·Sᵀk̂))ᵀ, o = Sᵀq̂/√dk, in chunks |
//! | [`delta_rule_tokens`] | the same token by token, for decoding |

mod delta_rule;

pub use delta_rule::{
    CHUNK, DeltaGradients, DeltaRows, DeltaShape, delta_rule, delta_rule_backward,
    delta_rule_tokens,
};
