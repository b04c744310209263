//! A training run: its folder, what it tells, its steps; and the evaluation of a finished model.

mod evaluation;
mod fogzo;
mod folder;
mod hard;
mod loss;
mod memory;
mod metrics;
mod model;
mod progress;
mod pull;
mod start;
mod step;
mod summary;
mod train;
mod vitals;

pub use evaluation::{Evaluation, EvaluationRequest, evaluate_file};
pub use fogzo::Probed;
pub use folder::RunFolder;
pub(crate) use folder::{cut, write_whole};
pub use hard::Mined;
pub use loss::{HeldOutLoss, Measure, Measured, Unit};
pub use metrics::{Metrics, Record, Start, StepRecord};
pub use model::build;
pub use progress::{Progress, StepNews};
pub use summary::{Best, Summary};
pub use train::train;
pub use vitals::{Histogram, Layers, Matrix, MatrixScales, Spread, Vitals, Watch, WatchState};
