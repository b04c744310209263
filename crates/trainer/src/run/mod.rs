//! A training run: its folder, what it tells, its steps; and the evaluation of a finished model.

mod evaluation;
mod examples;
mod fogzo;
mod folder;
mod hard;
mod memory;
mod metrics;
mod model;
mod progress;
mod pull;
mod rehearsal;
mod replace;
mod sample;
mod start;
mod step;
mod summary;
mod teacher;
mod totals;
mod train;
mod units;
mod update;
mod vitals;
mod watchers;

pub use crate::measure::{HeldOutLoss, Measure, Measured, Unit};
pub use evaluation::{Evaluation, EvaluationRequest, evaluate_file};
pub use fogzo::Probed;
pub use folder::RunFolder;
pub use hard::Mined;
pub use metrics::{Metrics, Record, Start, StepRecord};
pub use model::build;
pub use progress::{Progress, StepNews};
pub(crate) use rehearsal::{Rehearsal, rehearse};
pub use replace::model_folder;
pub use summary::{Best, Summary};
pub use train::train;
pub use vitals::{Histogram, Layers, Matrix, MatrixScales, Spread, Vitals, Watch, WatchState};
