//! Configurations that have a name.

use super::{Configuration, Mixture, Model, Run};

/// A named configuration, which files, `--set` and flags then change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preset {
    /// A byte model of under a million parameters that trains in a minute or two on two cores: the
    /// default of every setting.
    #[default]
    Tiny,
    /// The same with a mixture of experts in each block, of half the inner width: two of four, and a shared one.
    Moe,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 2] = [Self::Tiny, Self::Moe];

    /// The name on a command line and in a file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Moe => "moe",
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
        }
    }
}
