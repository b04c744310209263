//! A stranger who uses `ste` and nothing else: gradients of a layer of their own.

use ste::{Estimator, Mode, Progress};

/// Passes gradients of quantised weights on to latent ones, by a mode's name. The levels come
/// with the estimator: Δ, W_n and W_p of one scaling group.
///
/// # Errors
/// For a name that no mode has.
pub fn pass(
    name: &str,
    latent: &[f64],
    levels: ste::Levels,
    gradient: &mut [f64],
) -> Result<(), ste::Error> {
    let mode: Mode = name.parse()?;
    Estimator::pass(&*mode.estimator(), latent, levels, Progress::DONE, gradient);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_all_it_takes() {
        let mut gradient = [1.0, -2.0];
        let levels = ste::Levels::symmetric(0.5, 1.0);
        pass("clipped-hard", &[0.5, 1.5], levels, &mut gradient).unwrap();
        assert_eq!(gradient, [1.0, 0.0]);
        let error = pass("clip", &[], levels, &mut []).unwrap_err();
        assert!(error.to_string().contains("twn, clipped, clipped-hard"), "{error}");
    }
}
