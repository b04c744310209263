//! [`Base`]: how a model is kept that stays as it is.

use std::fmt;

use super::Role;

/// How the matrices of a model are kept that stays as it is, for adapters to train beside it.
///
/// | matrices | `F32` | `Bf16` | `Ternary` |
/// |---|---|---|---|
/// | of attention, delta nets, nets, experts, per-layer embeddings | as they are | bf16 | ternary |
/// | tables, heads | as they are | bf16 | bf16 |
/// | routers, gates of experts and of delta nets | as they are | as they are | as they are |
///
/// Gates are a thousandth of a model, and an error in what a delta net forgets by grows with the length of a text. Gains,
/// taps, decays and biases are no matrices, and stay as they are.
///
/// ```
/// use models::{Base, Role};
///
/// assert_eq!(Base::Ternary.of(Role::Channels), Base::Ternary);
/// assert_eq!(Base::Ternary.of(Role::Head), Base::Bf16);
/// assert_eq!(Base::Bf16.of(Role::Router), Base::F32);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Base {
    /// As numbers of the decoder's type.
    #[default]
    F32,
    /// Rounded to `bf16`, which is exact for what a file has as that.
    Bf16,
    /// Quantised by the rule of BitNet b1.58, one scale for each matrix.
    Ternary,
}

impl Base {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::Ternary];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Ternary => "ternary",
        }
    }

    /// How a matrix is kept that is for this; tables are as heads.
    #[must_use]
    pub fn of(self, role: Role) -> Self {
        match (self, role) {
            (_, Role::Router | Role::DeltaGate) => Self::F32,
            (Self::Ternary, Role::Head) => Self::Bf16,
            (base, _) => base,
        }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
