//! A training run: its folder, what it tells, its steps; and the evaluation of a finished model.

mod evaluation;
mod fogzo;
mod folder;
mod hard;
mod loss;
mod metrics;
mod model;
mod progress;
mod pull;
mod rehearsal;
mod replace;
mod start;
mod step;
mod summary;
mod train;
mod vitals;

pub use evaluation::{Evaluation, EvaluationRequest, evaluate_file};
pub use fogzo::Probed;
pub use folder::RunFolder;
pub use hard::Mined;
pub use loss::HeldOutLoss;
pub use metrics::{Metrics, Record};
pub use model::build;
pub use progress::{Progress, StepNews};
pub(crate) use rehearsal::{Rehearsal, rehearse};
pub use replace::model_folder;
pub use summary::Summary;
pub(crate) use train::STORIES;
pub use train::train;
pub use vitals::{Layers, Matrix, Spread, Vitals};
