//! Schedules by name.

use std::fmt;

/// A schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// [`Constant`](super::Constant).
    Constant,
    /// [`Cosine`](super::Cosine).
    #[default]
    Cosine,
    /// [`Linear`](super::Linear).
    DecayToZero,
    /// [`StableDecay`](super::StableDecay).
    StableDecay,
    /// [`Restarts`](super::Restarts).
    Restarts,
    /// [`ThreePhase`](super::ThreePhase).
    ThreePhase,
    /// [`TwoStage`](super::TwoStage).
    TwoStage,
}

impl Shape {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Cosine,
        Self::StableDecay,
        Self::Restarts,
        Self::DecayToZero,
        Self::ThreePhase,
        Self::TwoStage,
        Self::Constant,
    ];

    /// The name on a command line and in a file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Cosine => "cosine",
            Self::DecayToZero => "decay-to-zero",
            Self::StableDecay => "wsd",
            Self::Restarts => "restarts",
            Self::ThreePhase => "three-phase",
            Self::TwoStage => "two-stage",
        }
    }

    /// The share of the peak that the last step has, where it is not told: what whoever proposed the schedule
    /// ended at.
    pub const fn final_share(self) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Cosine | Self::Restarts => 0.05,
            Self::ThreePhase => 0.1,
            Self::DecayToZero | Self::StableDecay | Self::TwoStage => 0.0,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
