//! Trains language models of ternary weights: data, optimisers, schedules, the loop, and the command
//! `ternary`.
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | every setting, defined once, and the layers its value comes from |
//! | [`data`] | the text, its held-out tail, windows of it, and stories where there is no text |
//! | [`mining`] | which items of a batch a step learns from |
//! | [`optimiser`] | AdamW, the clip |
//! | [`schedule`] | the learning rate of a step |
//! | [`run`] | a run from its configuration to the saved model; evaluation |
//! | [`events`] | the curves of a run in a file for TensorBoard |
//! | [`inspect`] | what is inside a model |
//! | [`report`] | the page of a run, and runs beside each other |
//! | [`generate`] | texts that a model goes on with |
//! | [`command`] | what `ternary` does with its arguments |
//!
//! ```no_run
//! use trainer::config::Layers;
//! use trainer::run::{Progress, train};
//!
//! let mut layers = Layers::default();
//! layers.add_assignments(["steps=30", "out=runs/example"])?;
//! let configuration = layers.resolve()?;
//! let summary = train(&configuration, &Progress::new(30, 10))?;
//! println!("{summary}");
//! # Ok::<(), trainer::Error>(())
//! ```

pub mod command;
pub mod config;
pub mod data;
mod error;
pub mod events;
pub mod generate;
pub mod inspect;
pub mod mining;
pub mod optimiser;
mod randomness;
pub mod report;
pub mod run;
pub mod schedule;
#[cfg(test)]
mod temporary;
mod vocabulary;

pub use error::{Error, Result};
