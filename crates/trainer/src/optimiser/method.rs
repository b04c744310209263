//! Optimisers by name.

use std::fmt;

/// An optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// [`AdamW`](super::AdamW).
    #[default]
    AdamW,
    /// [`Sgd`](super::Sgd).
    Sgd,
    /// [`Lamb`](super::Lamb).
    Lamb,
    /// [`Muon`](super::Muon).
    Muon,
}

impl Method {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::AdamW, Self::Sgd, Self::Lamb, Self::Muon];

    /// The name on a command line and in a file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AdamW => "adamw",
            Self::Sgd => "sgd",
            Self::Lamb => "lamb",
            Self::Muon => "muon",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
