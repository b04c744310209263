//! The memory of a run, worked out from its configuration alone.

use models::Shadow;
use ste::Ramp;
use ternary_core::Packing;

use super::shape::Shape;
use super::teacher::TeacherSize;
use crate::config::{Batch, Configuration};
use crate::optimiser::Method;

/// What a run keeps in memory, in bytes.
///
/// ```text
/// packed       a quarter of a byte (two-bit) or a fifth (five-trits) for each ternary weight
/// latent       4 or 2 bytes for each ternary weight, or none
/// other        4 bytes for each number that is not ternary and each angle; 4 more for each ternary weight on a ramp
/// gradients    4 bytes for each parameter, for each lane
/// frozen       the weights that stay as they are beside adapters
/// optimiser    4 bytes for each array that it keeps of a parameter: two of adamw and lamb, one of sgd and of the
///              matrices of muon
/// activations  rows × (4 · saved + b · inputs + 4 · working), b = 1 for int8 codes, 4 for real numbers; rows are
///              those of the units that run at the same time; with the scores of the rows that each of them scores,
///              and 4 · working for each row of the one window that an evaluation runs at a time
/// teacher      its weights, and what it works in for each row, with the scores of both models at a time
/// program      the code, its threads, what the corpus is counted with, and 16 bytes for each window evaluated
/// ```
///
/// A text in files is read window by window, and the pages that the system keeps of it are its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct PlannedMemory {
    /// Codes.
    pub packed: u64,
    /// Latent weights.
    pub latent: u64,
    /// Everything else of the model.
    pub other: u64,
    /// Weights of the model that adapters are for, where there is one.
    pub frozen: u64,
    /// Gradients of all parameters that train.
    pub gradients: u64,
    /// The state of the optimiser.
    pub optimiser: u64,
    /// What a step saves for its backward, and works in.
    pub activations: u64,
    /// The model that the run learns from, where there is one.
    pub teacher: u64,
    /// The program itself.
    pub program: u64,
}

/// Bytes of a number.
const NUMBER: u128 = 4;
/// Rows that a decoder scores at a time.
const SCORED_ROWS: u128 = 512;
/// Measured where a model is tiny: most of it is code.
const PROGRAM: u64 = 11 << 20;

impl PlannedMemory {
    /// Those of a run on this many threads.
    pub(super) fn of(
        configuration: &Configuration,
        shape: &Shape,
        vocabulary: usize,
        threads: usize,
        teacher: Option<TeacherSize>,
    ) -> Self {
        let parameters = shape.parameters();
        let units = Units::of(&configuration.batch, threads);
        let is_float = configuration.is_float();
        let is_ramped = configuration.ramp().is_ok_and(|ramp| ramp != Ramp::NONE);
        let (ternary, real) =
            if is_float { (0, parameters) } else { (shape.projected, shape.real) };
        let packed = match configuration.ternary.packing {
            Packing::FiveTrits => ternary.div_ceil(5),
            _ => ternary.div_ceil(4),
        };
        let latent = match configuration.latent() {
            Shadow::F32 => NUMBER,
            Shadow::Bf16 => 2,
            Shadow::None => 0,
        };
        let soft = if is_ramped { NUMBER * ternary } else { 0 };
        let is_coded = !is_float && configuration.ternary.activations == nn::Activations::Int8;
        let input = if is_coded { 1 } else { NUMBER };
        let (saved, inputs) = match configuration.batch.recompute {
            true => shape.recomputed(),
            false => (shape.saved, shape.inputs),
        };
        let row = NUMBER * (saved + shape.working) + input * inputs;
        let scored = 2 * NUMBER * SCORED_ROWS.min(units.rows) * vocabulary as u128;
        let kept = match configuration.optimiser.method {
            Method::AdamW | Method::Lamb => 2 * parameters,
            Method::Sgd if configuration.optimiser.momentum == 0.0 => 0,
            Method::Sgd => parameters,
            Method::Muon => shape.projected + 2 * shape.real,
        };
        let evaluated = NUMBER * shape.working * configuration.batch.length as u128;
        let taught = teacher.map_or(0, |TeacherSize { weights, working }| {
            weights + units.together * (NUMBER * working * units.rows + scored)
        });
        Self {
            packed: bytes(packed),
            latent: bytes(latent * ternary),
            other: bytes(NUMBER * (real + shape.angles) + soft),
            frozen: bytes(shape.frozen),
            gradients: bytes(NUMBER * parameters * units.lanes),
            optimiser: bytes(NUMBER * kept),
            activations: bytes(units.together * (row * units.rows + scored) + evaluated),
            teacher: bytes(taught),
            program: PROGRAM + 16 * configuration.evaluation.windows as u64,
        }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.parts().iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }

    /// Each part by its name.
    pub(super) fn parts(&self) -> [(&'static str, u64); 9] {
        [
            ("packed codes", self.packed),
            ("latent weights", self.latent),
            ("other weights", self.other),
            ("frozen weights", self.frozen),
            ("gradients", self.gradients),
            ("optimiser", self.optimiser),
            ("activations", self.activations),
            ("teacher", self.teacher),
            ("program", self.program),
        ]
    }
}

/// The units of a step: windows whose gradients are computed one after the other in each lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Units {
    /// Rows of one.
    rows: u128,
    /// Those that run at the same time.
    together: u128,
    /// Gradients that are added up apart.
    lanes: u128,
}

impl Units {
    fn of(batch: &Batch, threads: usize) -> Self {
        let unit = batch.unit.min(batch.windows);
        let count = batch.windows.div_ceil(batch.unit).max(1);
        let lanes = batch.lanes.min(count);
        let together = threads.clamp(1, lanes.div_ceil(batch.accumulation));
        Self {
            rows: unit as u128 * batch.length as u128,
            together: together as u128,
            lanes: lanes as u128,
        }
    }
}

/// A number of bytes; one that no address space holds stays as large as can be.
pub(super) fn bytes(bytes: u128) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_units_run_at_a_time_as_there_are_lanes_and_threads() {
        let of = |windows, unit, accumulation, threads| {
            let batch = Batch { windows, unit, accumulation, length: 10, ..Batch::default() };
            let Units { rows, together, lanes } = Units::of(&batch, threads);
            [rows, together, lanes]
        };
        assert_eq!(of(8, 4, 1, 2), [40, 2, 2]);
        assert_eq!(of(8, 4, 1, 1), [40, 1, 2]);
        assert_eq!(of(3, 4, 1, 8), [30, 1, 1]);
        assert_eq!(of(64, 4, 1, 8), [40, 2, 2]);
        assert_eq!(of(64, 4, 2, 2), [40, 1, 2]);
        assert_eq!(of(64, 4, 16, 2), [40, 1, 2]);
    }
}
