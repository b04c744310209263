//! The memory of a run, worked out from its configuration alone.

use std::fs;

use models::Shadow;
use ste::Ramp;
use ternary_core::Packing;

use super::shape::Shape;
use crate::config::{Batch, Configuration};

/// What a run keeps in memory, in bytes.
///
/// ```text
/// packed       a quarter of a byte (two-bit) or a fifth (five-trits) for each ternary weight
/// latent       4 or 2 bytes for each ternary weight, or none
/// other        4 bytes for each number that is not ternary and each angle; 4 more for each ternary weight on a ramp
/// gradients    4 bytes for each parameter, as often as sums of units exist at a time
/// optimiser    8 bytes for each parameter: the two means of AdamW
/// activations  rows × (4 · saved + b · inputs + 4 · working), b = 1 for int8 codes, 4 for real numbers,
///              and 4 · working for each row of the one window that an evaluation runs at a time
/// text         what is trained on, and held out
/// program      the code, its threads, the first pages of everything
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct PlannedMemory {
    /// Codes.
    pub packed: u64,
    /// Latent weights.
    pub latent: u64,
    /// Everything else of the model.
    pub other: u64,
    /// Gradients of all parameters.
    pub gradients: u64,
    /// The state of the optimiser.
    pub optimiser: u64,
    /// What a step saves for its backward, and works in.
    pub activations: u64,
    /// The text.
    pub text: u64,
    /// The program itself.
    pub program: u64,
}

/// Bytes of a number.
const NUMBER: u128 = 4;
/// Measured where a model is tiny: 11 MiB, of which most is code.
const PROGRAM: u64 = 11 << 20;

impl PlannedMemory {
    pub(super) fn of(configuration: &Configuration, shape: &Shape) -> Self {
        let parameters = shape.parameters();
        let (rows, sums) = at_a_time(configuration);
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
        let row = NUMBER * (shape.saved + shape.working) + input * shape.inputs;
        let evaluated = NUMBER * shape.working * configuration.batch.length as u128;
        Self {
            packed: bytes(packed),
            latent: bytes(latent * ternary),
            other: bytes(NUMBER * (real + shape.angles) + soft),
            gradients: bytes(NUMBER * parameters * sums),
            optimiser: bytes(2 * NUMBER * parameters),
            activations: bytes(row * rows + evaluated),
            text: text(configuration),
            program: PROGRAM,
        }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.parts().iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }

    /// Each part by its name.
    pub(super) fn parts(&self) -> [(&'static str, u64); 8] {
        [
            ("packed codes", self.packed),
            ("latent weights", self.latent),
            ("other weights", self.other),
            ("gradients", self.gradients),
            ("optimiser", self.optimiser),
            ("activations", self.activations),
            ("text", self.text),
            ("program", self.program),
        ]
    }
}

/// Rows of the units that run at the same time, and sums of gradients that exist then: of u units on k threads
/// each thread has those of a tree of u / k, a finished one for each level and one that is worked on.
fn at_a_time(configuration: &Configuration) -> (u128, u128) {
    let Batch { windows, length, unit, accumulation, .. } = configuration.batch;
    let units = windows.div_ceil(unit);
    let running = units.div_ceil(accumulation).min(rayon::current_num_threads()).max(1);
    let levels = (units.div_ceil(running)).next_power_of_two().ilog2() as usize;
    let rows = (running * unit).min(windows) as u128 * length as u128;
    (rows, (running * (levels + 1)).min(units) as u128)
}

/// The length of a text in bytes, as far as it is known before it is read: it is mapped, and stories are told when
/// they are needed.
fn text(configuration: &Configuration) -> u64 {
    configuration
        .run
        .data
        .as_ref()
        .map_or(0, |path| fs::metadata(path).map_or(0, |data| data.len()))
}

/// A number of bytes; one that no address space holds stays as large as can be.
pub(super) fn bytes(bytes: u128) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
