//! Configurations that have a name.

use super::{Batch, Configuration, Delta, Mixture, Model, Optimiser, Run};

/// A named configuration, which files, `--set` and flags then change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preset {
    /// A byte model of under a million parameters that trains in a minute or two on two cores: the
    /// default of every setting.
    #[default]
    Tiny,
    /// Twice as wide, with half as many layers more: some five million parameters, and twice the text a step.
    Small,
    /// Four times as wide, with twice the layers and twice the window: some 25 million parameters.
    Base,
    /// Tiny with a mixture of experts in each block, of half the inner width: two of four, and a shared one.
    Moe,
    /// Tiny with the layers of Qwen3.5: gated delta nets in three of four, and gated attention in the last.
    Hybrid,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 5] = [Self::Tiny, Self::Small, Self::Base, Self::Moe, Self::Hybrid];

    /// The name on a command line and in a file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Base => "base",
            Self::Moe => "moe",
            Self::Hybrid => "hybrid",
        }
    }

    /// What it is, in a line.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Tiny => {
                "width 128, 4 layers, windows of 256: 0.8 million parameters; the default, in minutes"
            }
            Self::Small => "width 256, 6 layers, windows of 256: 4.8 million parameters",
            Self::Base => {
                "width 512, 8 layers, windows of 512: 25.3 million parameters; plan for hours"
            }
            Self::Moe => {
                "tiny with four experts a layer and a shared one, two for each byte: 1.7 million parameters"
            }
            Self::Hybrid => {
                "tiny with gated delta nets in three of four layers: 0.9 million parameters"
            }
        }
    }

    /// The settings the preset stands for.
    ///
    /// Learning rates of wider models fall as 1/width, as the optimal rate of Adam does (Yang et al., "Tensor
    /// Programs V", arXiv 2203.03466).
    pub fn configuration(self) -> Configuration {
        let run = Run { preset: self, ..Run::default() };
        let default = Configuration { run, ..Configuration::default() };
        match self {
            Self::Tiny => default,
            Self::Small => Configuration {
                model: Model {
                    width: 256,
                    layers: 6,
                    heads: 4,
                    key_value_heads: 2,
                    feed_forward: 768,
                    ..Model::default()
                },
                batch: Batch { windows: 16, ..Batch::default() },
                optimiser: Optimiser { learning_rate: 3e-3, ..Optimiser::default() },
                ..default
            },
            Self::Base => Configuration {
                model: Model {
                    width: 512,
                    layers: 8,
                    heads: 8,
                    key_value_heads: 4,
                    feed_forward: 1536,
                    ..Model::default()
                },
                batch: Batch { length: 512, unit: 1, ..Batch::default() },
                optimiser: Optimiser { learning_rate: 1.5e-3, ..Optimiser::default() },
                ..default
            },
            Self::Moe => Configuration {
                model: Model { feed_forward: 192, ..Model::default() },
                mixture: Mixture { experts: 4, used: 2, shared: true, ..Mixture::default() },
                ..default
            },
            Self::Hybrid => Configuration {
                model: Model {
                    rotary_width: Some(8),
                    gated_attention: true,
                    head_norms: true,
                    shifted_norms: true,
                    ..Model::default()
                },
                delta: Delta { attention_every: 4, ..Delta::default() },
                ..default
            },
        }
    }
}
