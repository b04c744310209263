//! Configurations that have a name.

use super::{Configuration, Delta, Mixture, Model, Run};

/// A named configuration, which files, `--set` and flags then change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preset {
    /// A byte model of under a million parameters that trains in a minute or two on two cores: the
    /// default of every setting.
    #[default]
    Tiny,
    /// The same with a mixture of experts in each block, of half the inner width: two of four, and a shared one.
    Moe,
    /// The same with the layers of Qwen3.5: gated delta nets in three of four, and gated attention in the last.
    Hybrid,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 3] = [Self::Tiny, Self::Moe, Self::Hybrid];

    /// The name on a command line and in a file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Moe => "moe",
            Self::Hybrid => "hybrid",
        }
    }

    /// The settings the preset stands for.
    pub fn configuration(self) -> Configuration {
        match self {
            Self::Tiny => Configuration::default(),
            Self::Moe => Configuration {
                run: Run { preset: self, ..Run::default() },
                model: Model { feed_forward: 192, ..Model::default() },
                mixture: Mixture { experts: 4, used: 2, shared: true, ..Mixture::default() },
                ..Configuration::default()
            },
            Self::Hybrid => Configuration {
                run: Run { preset: self, ..Run::default() },
                model: Model {
                    rotary_width: Some(8),
                    gated_attention: true,
                    head_norms: true,
                    shifted_norms: true,
                    ..Model::default()
                },
                delta: Delta { attention_every: 4, ..Delta::default() },
                ..Configuration::default()
            },
        }
    }
}
