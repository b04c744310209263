//! The calls that are timed, each a closure over what it needs.

use std::sync::Arc;

use ternary_core::kernels::{Isa, Kernels, QuantizedRows, Store};
use ternary_core::quantize::Absmean;
use ternary_core::{
    Error, Granularity, Levels, Packing, Quantizer, Result, TernaryMatrix, Weights,
};

use super::operands::{Operands, Random, copies, granularity};
use super::plan::{Kernel, Source, Spec};
use crate::bench::machine::{self, Call};
use crate::bench::roofs::Roof;
use crate::bench::roofs::compute::Peak;
use crate::bench::rounds::Work;

/// Rows of activations up to which reading the weights may take longer than multiplying by them.
const MEMORY_BOUND_ROWS: usize = 8;

type Run = machine::Run<Error>;

/// Prepares a row of the report.
pub(crate) fn prepare(
    spec: Spec,
    kernels: Kernels,
    operands: &mut Operands,
    dram_bytes: usize,
) -> Result<Call<Error>> {
    let (run, bytes, cached): (Run, usize, usize) = match spec.kernel {
        Kernel::Requantise | Kernel::RequantiseBf16 => {
            let (run, bytes) = requantise(spec, kernels)?;
            (run, bytes, bytes)
        }
        Kernel::QuantiseRows => {
            let x = Random::default().floats(spec.m * spec.shape.k);
            // A float in, a byte out, and the scales.
            let bytes = 5 * x.len() + 4 * spec.m;
            let mut rows = QuantizedRows::new();
            (Box::new(move || kernels.quantize_rows(&x, spec.m, &mut rows)), bytes, bytes)
        }
        _ => {
            let packing = packing(spec.kernel);
            let weights = operands.matrices(packing, spec.scale, spec.source)?;
            let (bytes, cached) = (weights[0].size_bytes(), weights[0].codes().size_bytes());
            (product(spec, kernels, weights), bytes, cached)
        }
    };
    let macs = if is_product(spec.kernel) { spec.m * spec.shape.weights() } else { 0 };
    let memory = match spec.kernel {
        Kernel::Gemm | Kernel::Gemm5 => spec.m <= MEMORY_BOUND_ROWS,
        kernel => !is_product(kernel) || matches!(kernel, Kernel::Gemv2 | Kernel::Gemv5),
    };
    let buffer = if spec.source == Source::Dram { dram_bytes } else { cached };
    let roof = Roof {
        threads: spec.threads,
        memory_bytes: memory.then_some(buffer),
        peak: peak(spec.kernel, kernels.isa()),
    };
    Ok(Call { roof, work: Work { macs: macs as u64, bytes: bytes as u64 }, run })
}

/// Whether a kernel multiplies by the weights.
pub(crate) fn is_product(kernel: Kernel) -> bool {
    !matches!(kernel, Kernel::Requantise | Kernel::RequantiseBf16 | Kernel::QuantiseRows)
}

fn packing(kernel: Kernel) -> Packing {
    if matches!(kernel, Kernel::Gemv5 | Kernel::Gemm5) {
        Packing::FiveTrits
    } else {
        Packing::TwoBit
    }
}

/// The instruction that bounds a product.
fn peak(kernel: Kernel, isa: Isa) -> Option<Peak> {
    match kernel {
        Kernel::Gemv2 | Kernel::Gemv5 | Kernel::Gemm | Kernel::Gemm5 => Peak::of_bytes(isa),
        Kernel::I16Trits | Kernel::I16TritsT => Peak::of_words(isa),
        Kernel::F32Trits | Kernel::F32TritsT => Peak::of_floats(isa),
        Kernel::Requantise | Kernel::RequantiseBf16 | Kernel::QuantiseRows => None,
    }
}

/// The first `count` matrices, taken one after the other, over and over.
struct Rotation {
    matrices: Arc<[TernaryMatrix]>,
    count: usize,
    turn: usize,
}

impl Rotation {
    fn next(&mut self) -> &TernaryMatrix {
        self.turn = (self.turn + 1) % self.count;
        &self.matrices[self.turn]
    }
}

/// A product with the next matrix at each call.
fn product(spec: Spec, kernels: Kernels, weights: Arc<[TernaryMatrix]>) -> Run {
    let (m, k, n) = (spec.m, spec.shape.k, spec.shape.n);
    let mut random = Random::default();
    let count = copies(spec.source, weights[0].size_bytes());
    let mut weights = Rotation { matrices: weights, count, turn: 0 };
    match spec.kernel {
        Kernel::F32Trits => {
            let (x, mut y) = (random.floats(m * k), vec![0.0; m * n]);
            Box::new(move || kernels.matmul_f32(&x, m, weights.next(), &mut y, Store::Set))
        }
        Kernel::F32TritsT => {
            let (dy, mut dx) = (random.floats(m * n), vec![0.0; m * k]);
            Box::new(move || {
                kernels.matmul_f32_transposed(&dy, m, weights.next(), &mut dx, Store::Set)
            })
        }
        Kernel::I16Trits => {
            let (x, mut sums) = (random.words(m * k), vec![0; m * n]);
            Box::new(move || kernels.sums_i16(&x, m, weights.next().codes(), &mut sums))
        }
        Kernel::I16TritsT => {
            let (dy, mut sums) = (random.words(m * n), vec![0; m * k]);
            Box::new(move || kernels.sums_i16_transposed(&dy, m, weights.next().codes(), &mut sums))
        }
        _ => {
            let (x, mut y) = (random.floats(m * k), vec![0.0; m * n]);
            let mut codes = QuantizedRows::new();
            Box::new(move || {
                kernels.quantize_rows(&x, m, &mut codes)?;
                kernels.matmul_i8(&codes, weights.next(), &mut y)
            })
        }
    }
}

/// Requantisation of the next matrix at each call, and the bytes that it must move.
fn requantise(spec: Spec, kernels: Kernels) -> Result<(Run, usize)> {
    let (k, n) = (spec.shape.k, spec.shape.n);
    let rule = Absmean::new(granularity(spec.scale)?);
    let count = spec.shape.weights();
    let latent_bytes = if spec.kernel == Kernel::RequantiseBf16 { 2 } else { 4 };
    let copies = copies(spec.source, latent_bytes * count);
    let mut random = Random::default();
    match spec.kernel {
        Kernel::RequantiseBf16 => rotate(kernels, rule, (n, k), vec![random.bf16s(count); copies]),
        _ => rotate(kernels, rule, (n, k), vec![random.floats(count); copies]),
    }
}

fn rotate<T: Send + 'static>(
    kernels: Kernels,
    rule: Absmean,
    (rows, cols): (usize, usize),
    latent: Vec<Vec<T>>,
) -> Result<(Run, usize)>
where
    for<'a> Weights<'a>: From<&'a [T]>,
{
    let first = TernaryMatrix::quantize(rows, cols, &latent[0][..], &rule, Packing::TwoBit)?;
    let bytes = size_of_val(&latent[0][..]) + first.size_bytes();
    let mut packed = vec![first; latent.len()];
    let mut turn = 0;
    let run = move || {
        turn = (turn + 1) % latent.len();
        let (weights, matrix) = (Weights::from(&latent[turn][..]), &mut packed[turn]);
        if rule.granularity() == Granularity::Tensor {
            let levels = Levels::symmetric(GIVEN_SCALE / 2.0, GIVEN_SCALE);
            kernels.requantize_with_levels(weights, levels, matrix)
        } else {
            kernels.requantize(weights, &rule, matrix)
        }
    };
    Ok((Box::new(run), bytes))
}

/// The mean of |w| of [`Random::floats`], handed in where there is one scale for the tensor: a step
/// of training knows it from the update before.
const GIVEN_SCALE: f32 = 0.5;
