//! What each rule does to a Gaussian matrix: `cargo run --release --example quantizers`.
//!
//! Learned rules stand where they start. TWN's rule of thumb is next to the optimum, absmean loses more
//! than a third more.

use ternary_core::noise::Noise;
use ternary_core::statistics::{Fidelity, TritCounts};
use ternary_core::{Granularity, Packing, Result, Rule, TernaryMatrix, Weights};

const ROWS: usize = 512;
const COLS: usize = 1024;
const SIGMA: f32 = 0.02;

fn main() -> Result<()> {
    let mut weights = vec![0.0; ROWS * COLS];
    Noise::new(42, 0, 0).fill_normal(0, &mut weights);
    weights.iter_mut().for_each(|w| *w *= SIGMA);

    println!("{ROWS} x {COLS} weights of N(0, {SIGMA}²); the error is in units of the variance\n");
    let header = ["rule", "scales", "zeros %", "bits", "MSE", "cosine", "SNR dB"];
    let [rule, scales, zeros, bits, mse, cosine, snr] = header;
    println!("{rule:<10} {scales:<7} {zeros:>8} {bits:>6} {mse:>7} {cosine:>7} {snr:>7}");

    let numbered =
        [Rule::Twn { factor: 0.7 }, Rule::Fixed { threshold: SIGMA }, Rule::Ttq { threshold: 0.1 }];
    let granularities = [
        ("tensor", Granularity::Tensor),
        ("row", Granularity::Row),
        ("group32", Granularity::group(32)?),
    ];
    for (scales, granularity) in granularities {
        for rule in Rule::DEFAULTS.into_iter().chain(numbered) {
            let quantizer =
                rule.initialised(granularity, ROWS, COLS, Weights::from(&weights[..]))?;
            let matrix =
                TernaryMatrix::quantize(ROWS, COLS, &weights[..], &*quantizer, Packing::TwoBit)?;
            let counts = TritCounts::of(matrix.codes());
            let Fidelity { mse, cosine, snr_db } = Fidelity::between(&weights[..], &matrix)?;
            println!(
                "{rule:<10} {scales:<7} {:>8.1} {:>6.3} {:>7.4} {cosine:>7.4} {snr_db:>7.2}",
                100.0 * counts.sparsity(),
                counts.effective_bits(),
                mse / f64::from(SIGMA * SIGMA),
            );
        }
        println!();
    }
    Ok(())
}
