//! Quantise a matrix, pack it in both forms, multiply activations with it, and compare with `f32`.
//!
//! ```sh
//! cargo run --release -p ternary-core --example quantize_multiply
//! ```

use std::error::Error;
use std::time::{Duration, Instant};

use ternary_core::kernels::{Kernels, QuantizedRows};
use ternary_core::noise::Noise;
use ternary_core::quantize::Absmean;
use ternary_core::statistics::{Fidelity, TritCounts};
use ternary_core::{Granularity, Packing, TernaryMatrix};

type Result<T = (), E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// A projection of a small language model.
const OUTPUTS: usize = 2560;
const INPUTS: usize = 6912;
const TOKENS: usize = 32;

/// Times a product runs; the fastest counts.
const RUNS: usize = 5;

fn main() -> Result {
    // Outside a training run, Gaussian numbers stand in for latent weights and activations.
    let mut weights = vec![0.0; OUTPUTS * INPUTS];
    Noise::new(1, 0, 0).fill_normal(0, &mut weights);
    weights.iter_mut().for_each(|w| *w *= 0.02);
    let mut activations = vec![0.0; TOKENS * INPUTS];
    Noise::new(1, 1, 0).fill_normal(0, &mut activations);

    let rule = Absmean::new(Granularity::Tensor);
    let two_bit = TernaryMatrix::quantize(OUTPUTS, INPUTS, &weights[..], &rule, Packing::TwoBit)?;
    let five_trits = two_bit.repack(Packing::FiveTrits)?;
    describe(&weights, &two_bit, &five_trits)?;

    // One thread, so that the comparison with one plain loop is fair.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    pool.install(|| multiply(&weights, &activations, &two_bit, &five_trits))
}

/// Prints what quantising and packing made of the weights.
fn describe(weights: &[f32], two_bit: &TernaryMatrix, five_trits: &TernaryMatrix) -> Result {
    let counts = TritCounts::of(two_bit.codes());
    let fidelity = Fidelity::between(weights, two_bit)?;
    println!(
        "{OUTPUTS} x {INPUTS} weights, absmean, one scale: {:.5}",
        two_bit.scales().positive()[0]
    );
    println!("  zeros                {:>8.1} %", 100.0 * counts.sparsity());
    println!("  entropy              {:>8.3} bits a weight", counts.effective_bits());
    println!("  cosine with f32      {:>8.4}", fidelity.cosine);

    let dense = size_of_val(weights);
    println!("\nsize in memory");
    println!("  f32                  {:>8.2} MB", megabytes(dense));
    for (name, matrix) in [("two bits", two_bit), ("five trits a byte", five_trits)] {
        let bytes = matrix.size_bytes();
        let times = dense as f64 / bytes as f64;
        println!("  {name:<20} {:>8.2} MB, {times:.1} times smaller", megabytes(bytes));
    }
    Ok(())
}

/// Multiplies in both packings and in `f32`, and prints errors and times.
fn multiply(
    weights: &[f32],
    activations: &[f32],
    two_bit: &TernaryMatrix,
    five_trits: &TernaryMatrix,
) -> Result {
    let kernels = Kernels::detect()?;
    let mut codes = QuantizedRows::new();
    let mut product = |matrix: &TernaryMatrix, y: &mut [f32]| -> ternary_core::Result<()> {
        kernels.quantize_rows(activations, TOKENS, &mut codes)?;
        kernels.matmul_i8(&codes, matrix, y)
    };
    let mut y = vec![0.0; TOKENS * OUTPUTS];
    let mut y_five_trits = y.clone();
    let time_two_bit = fastest(|| product(two_bit, &mut y))?;
    let time_five_trits = fastest(|| product(five_trits, &mut y_five_trits))?;
    assert_eq!(y, y_five_trits, "a packing never changes a result");

    let (same_weights, _) = dense(activations, &two_bit.to_f32());
    let (latent, time_f32) = dense(activations, weights);
    println!("\nproduct with {TOKENS} rows of activations, kernels for {}", kernels.isa());
    println!(
        "  error of int8 activations            {:>8.3} %",
        100.0 * relative_error(&y, &same_weights)
    );
    println!(
        "  error of random weights made ternary {:>8.3} %",
        100.0 * relative_error(&y, &latent)
    );

    println!("\ntime on one thread, activations quantised anew each time");
    println!("  plain f32 loop       {:>8.2} ms", milliseconds(time_f32));
    for (name, time) in [("two bits", time_two_bit), ("five trits a byte", time_five_trits)] {
        let times = time_f32.as_secs_f64() / time.as_secs_f64();
        println!("  {name:<20} {:>8.2} ms, {times:.0} times faster", milliseconds(time));
    }
    Ok(())
}

/// y\[m\]\[n\] = Σ_k x\[m\]\[k\] · w\[n\]\[k\] as anybody would write it, and its time.
fn dense(x: &[f32], w: &[f32]) -> (Vec<f32>, Duration) {
    let start = Instant::now();
    let dot = |x: &[f32], w: &[f32]| x.iter().zip(w).map(|(x, w)| x * w).sum::<f32>();
    let rows = x.chunks_exact(INPUTS);
    let y = rows.flat_map(|x| w.chunks_exact(INPUTS).map(move |w| dot(x, w))).collect();
    (y, start.elapsed())
}

/// The shortest of some runs.
fn fastest(mut product: impl FnMut() -> ternary_core::Result<()>) -> Result<Duration> {
    let mut fastest = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        product()?;
        fastest = fastest.min(start.elapsed());
    }
    Ok(fastest)
}

/// √(Σ(found − expected)² / Σ expected²).
fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let error: f64 = found.iter().zip(expected).map(|(f, e)| square(f - e)).sum();
    let size: f64 = expected.iter().map(|&e| square(e)).sum();
    (error / size).sqrt()
}

fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
