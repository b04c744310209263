//! Criterion benches of the kernels: for comparing one change with another on one machine. How far a
//! kernel is from the limit of the machine, `cargo xtask bench kernels` says.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use half::bf16;
use ternary_core::kernels::{Kernels, QuantizedRows, Store};
use ternary_core::{Levels, Packing, Result, Scales, TernaryMatrix, Weights};

const COLS: usize = 2560;
const ROWS: usize = 2560;

/// Trits in a pattern that repeats after many columns.
fn matrix(packing: Packing) -> Result<TernaryMatrix> {
    let trits: Vec<i8> = (0..ROWS * COLS).map(|i| (i * i / 7 % 3) as i8 - 1).collect();
    TernaryMatrix::from_trits(ROWS, COLS, &trits, Scales::tensor(0.05)?, packing)
}

fn floats(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 37 % 255) as f32 / 127.0 - 1.0).collect()
}

/// Quantise rows to int8 and multiply them by the weights.
fn int8(criterion: &mut Criterion) -> Result<()> {
    let kernels = Kernels::detect()?;
    let mut group = criterion.benchmark_group("int8");
    for packing in Packing::ALL {
        let weights = matrix(packing)?;
        for m in [1, 8, 128] {
            let (x, mut y) = (floats(m * COLS), vec![0.0; m * ROWS]);
            let mut codes = QuantizedRows::new();
            group.throughput(Throughput::Elements((m * ROWS * COLS) as u64));
            group.bench_function(BenchmarkId::new(format!("{packing:?}"), m), |bencher| {
                bencher.iter(|| {
                    kernels.quantize_rows(black_box(&x), m, &mut codes).expect("finite rows");
                    kernels.matmul_i8(&codes, &weights, &mut y).expect("matching shapes");
                });
            });
        }
    }
    Ok(())
}

/// Rows of floats and of int16 times the weights, as they are and transposed (the matrix is square).
fn wide(criterion: &mut Criterion) -> Result<()> {
    let kernels = Kernels::detect()?;
    let weights = matrix(Packing::TwoBit)?;
    let m = 128;
    let (x, mut y) = (floats(m * COLS), vec![0.0; m * ROWS]);
    let words: Vec<i16> = x.iter().map(|value| (value * 32_000.0) as i16).collect();
    let mut sums = vec![0; m * ROWS];
    let mut group = criterion.benchmark_group("wide");
    group.throughput(Throughput::Elements((m * ROWS * COLS) as u64));
    group.bench_function("f32_trits", |bencher| {
        bencher.iter(|| kernels.matmul_f32(black_box(&x), m, &weights, &mut y, Store::Set));
    });
    group.bench_function("f32_trits_t", |bencher| {
        bencher
            .iter(|| kernels.matmul_f32_transposed(black_box(&x), m, &weights, &mut y, Store::Set));
    });
    group.bench_function("i16_trits", |bencher| {
        bencher.iter(|| kernels.sums_i16(black_box(&words), m, weights.codes(), &mut sums));
    });
    group.bench_function("i16_trits_t", |bencher| {
        bencher
            .iter(|| kernels.sums_i16_transposed(black_box(&words), m, weights.codes(), &mut sums));
    });
    Ok(())
}

/// Latent weights to packed trits, by levels that are handed in.
fn requantise(criterion: &mut Criterion) -> Result<()> {
    let kernels = Kernels::detect()?;
    let latent = floats(ROWS * COLS);
    let bf16: Vec<_> = latent.iter().map(|&weight| bf16::from_f32(weight)).collect();
    let levels = Levels::symmetric(0.25, 0.5);
    let mut packed = matrix(Packing::TwoBit)?;
    let mut group = criterion.benchmark_group("requantise");
    let storages = [("f32", 4, Weights::F32(&latent)), ("bf16", 2, Weights::Bf16(&bf16))];
    for (name, bytes, weights) in storages {
        let moved = bytes * weights.len() + packed.size_bytes();
        group.throughput(Throughput::Bytes(moved as u64));
        group.bench_function(name, |bencher| {
            bencher
                .iter(|| kernels.requantize_with_levels(black_box(weights), levels, &mut packed));
        });
    }
    Ok(())
}

/// Rows of floats to int8, alone.
fn quantise_rows(criterion: &mut Criterion) -> Result<()> {
    let kernels = Kernels::detect()?;
    let m = 128;
    let x = floats(m * COLS);
    let mut codes = QuantizedRows::new();
    let mut group = criterion.benchmark_group("quantise_rows");
    group.throughput(Throughput::Bytes(5 * (m * COLS) as u64));
    group.bench_function("f32", |bencher| {
        bencher.iter(|| kernels.quantize_rows(black_box(&x), m, &mut codes));
    });
    Ok(())
}

fn kernels(criterion: &mut Criterion) {
    for bench in [int8, wide, requantise, quantise_rows] {
        bench(criterion).expect("operands of matching shapes");
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
