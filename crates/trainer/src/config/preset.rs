//! Configurations that have a name.

use super::Configuration;

/// A named configuration, which files, `--set` and flags then change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preset {
    /// A byte model of under a million parameters that trains in a minute or two on two cores: the
    /// default of every setting.
    #[default]
    Tiny,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 1] = [Self::Tiny];

    /// The name on a command line and in a file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
        }
    }

    /// The settings the preset stands for.
    pub fn configuration(self) -> Configuration {
        match self {
            Self::Tiny => Configuration::default(),
        }
    }
}
