//! What a run is told: every setting, where its value came from, and whether the whole makes sense.
//!
//! A setting is defined once, in `settings.rs`: name, type, default, range and help. Flags, keys of
//! files and `--set`, help texts and error messages come from that definition. Values come in layers:
//!
//! ```text
//! --preset  <  --config FILE.toml  <  --set key=value  <  flags
//! ```
//!
//! ```
//! use trainer::config::Layers;
//!
//! let mut layers = Layers::default();
//! layers.add_assignments(["model.width=64", "ternary.quantiser=twn0.7"])?;
//! layers.add_flags([("steps".into(), "30".into())])?;
//! let configuration = layers.resolve()?;
//! assert_eq!((configuration.model.width, configuration.run.steps), (64, 30));
//! assert!(configuration.to_toml().contains("quantiser = \"twn0.7\""));
//! # Ok::<(), trainer::config::Error>(())
//! ```

mod check;
mod error;
mod layers;
mod preset;
mod setting;
mod settings;
mod training;
mod value;

pub use error::{Error, Source};
pub use layers::Layers;
pub use preset::Preset;
pub use setting::Setting;
pub use settings::{
    Batch, Configuration, Delta, Distillation, Evaluation, Fogzo, Guard, Log, Lora, Mining,
    Mixture, Model, Optimiser, Run, SETTINGS, Samples, Schedule, Ternary,
};

impl Configuration {
    /// The configuration as a file that `--config` reads, with the help of each setting beside it.
    ///
    /// The folder of the run is left out, and whether it replaces one: the next run with this file needs another.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut section = "";
        for setting in SETTINGS.iter().filter(|setting| setting.is_kept()) {
            if setting.section != section {
                section = setting.section;
                text.push_str(&format!("\n[{section}]\n"));
            }
            text.push_str(&match setting.value(self) {
                Some(value) => format!("{} = {value} # {}\n", setting.name, setting.help()),
                None => format!("# {} is absent: {}\n", setting.name, setting.help()),
            });
        }
        text
    }
}
