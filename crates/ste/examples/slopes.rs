//! What each mode multiplies a gradient by, for weights below and above the threshold, at the beginning, in the
//! middle and at the end of a run.
//!
//! ```sh
//! cargo run --release -p ste --example slopes
//! ```

use ste::{Estimator, Levels, Mode, Progress};

/// Latent weights: two that are rounded to zero, and three that are not, ever farther away.
const LATENT: [f32; 5] = [0.1, 0.45, 0.55, 1.0, 2.0];
/// Updates of the run.
const TOTAL: u32 = 100;

fn main() {
    // Those of absmean for weights whose mean magnitude is 1.
    let levels = Levels::symmetric(0.5, 1.0);
    println!("dq/dw, threshold {}, scale {}\n", levels.threshold, levels.positive);
    print!("{:<14}{:>6}{:>10}", "mode", "step", "forward");
    LATENT.iter().for_each(|w| print!("{:>9}", format!("w = {w}")));
    println!();
    for mode in Mode::ALL {
        let estimator = mode.estimator();
        let estimator: &dyn Estimator<f32> = &*estimator;
        for step in [0, TOTAL / 2, TOTAL] {
            let progress = Progress { step, total: TOTAL };
            let mut slopes = [1.0; LATENT.len()];
            estimator.pass(&LATENT, levels, progress, &mut slopes);
            let is_soft = estimator.is_relaxed(progress) || mode.ramp().lambda(progress) < 1.0;
            let forward = match mode {
                Mode::None => "float",
                _ if is_soft => "soft",
                _ => "ternary",
            };
            print!("{:<14}{step:>6}{forward:>10}", mode.name());
            slopes.iter().for_each(|slope| print!("{slope:>9.3}"));
            println!();
        }
    }
}
