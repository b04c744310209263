//! Trains language models of ternary weights: data, optimisers, schedules, the loop, and the command
//! `ternary`.
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | every setting, defined once, and the layers its value comes from |
//! | [`adapters`] | adapters beside a model that stays as it is |
//! | [`data`] | the text of a run and what is held out of it; stories where there is no text |
//! | [`measure`] | losses on text that is held out, and their units |
//! | [`mining`] | which items of a batch a step learns from |
//! | [`optimiser`] | AdamW, SGD, LAMB and Muon, the rates of each tensor, the clip |
//! | [`schedule`] | the learning rate and the weight decay of a step |
//! | [`guards`] | what watches over a run and stops it |
//! | [`checkpoint`], [`storage`] | what a run goes on from, whenever it is killed; the file system as saving needs it |
//! | [`run`] | a run from its configuration to the saved model; evaluation |
//! | [`plan`] | what a run takes, before it begins |
//! | [`events`] | the curves of a run in a file for TensorBoard |
//! | [`inspect`] | what is inside a model |
//! | [`report`] | the page of a run, and runs beside each other |
//! | [`generate`] | texts that a model goes on with |
//! | [`chat`] | a conversation with a model |
//! | [`command`] | what `ternary` does with its arguments |
//!
//! ```no_run
//! use trainer::config::Layers;
//! use trainer::run::{Interrupt, Progress, train};
//!
//! let mut layers = Layers::default();
//! layers.add_assignments(["steps=30", "out=runs/example"])?;
//! let configuration = layers.resolve()?;
//! let summary = train(&configuration, &Progress::new(30, 10), &Interrupt::default())?;
//! println!("{summary}");
//! # Ok::<(), trainer::Error>(())
//! ```

pub mod adapters;
pub mod chat;
pub mod checkpoint;
pub mod command;
pub mod config;
pub mod data;
mod error;
pub mod events;
pub mod generate;
pub mod guards;
pub mod inspect;
pub mod measure;
pub mod mining;
pub mod optimiser;
pub mod plan;
mod randomness;
pub mod report;
pub mod run;
pub mod schedule;
pub mod storage;
#[cfg(test)]
mod temporary;
mod visible;
mod vocabulary;

pub use error::{Error, Result};
