//! Cross-entropy of logits and target tokens.

use rayon::prelude::*;
use ternary_core::{Real, mutant};

use super::Rowwise;
use super::blocks::rows_per_block;
use super::softmax::row_maximum;
use crate::error::{Error, Result, check_size};
use ternary_core::profile::span;

const OP: &str = "cross_entropy";

/// The target of a position that does not count.
pub const IGNORED: u32 = u32::MAX;

/// Losses of a block that a backward computes and does not report.
const UNREPORTED: usize = 64;

/// What [`cross_entropy`] reports.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// The mean over the positions that count; 0 where none does.
    pub mean: f64,
    /// The number of positions that count.
    pub count: usize,
}

/// The number of targets that are not [`IGNORED`].
pub fn count_targets(targets: &[u32]) -> usize {
    targets.iter().filter(|&&target| target != IGNORED).count()
}

/// The loss −ln softmax(x)ₜ = ln Σᵢ e^(xᵢ) − xₜ of each row of logits x with its target t, and, where
/// `d_logits` is given, its gradient, in one pass.
///
/// A call may hold any part of the rows: `weight` is 1 / (number of all targets that count), or
/// whatever the losses are to be multiplied by, and the logits of one block of rows can be thrown away
/// before the next is computed. `losses`, one for each row, are neither weighted nor smoothed.
///
/// The gradient is that of weight · Σ over rows of (1 − ε) · loss + ε · mean over all tokens v of
/// −ln softmax(x)ᵥ, with ε the label `smoothing`:
/// dxᵢ += weight · (softmax(x)ᵢ − (1 − ε) · \[i = t\] − ε / V).
///
/// An [`IGNORED`] target has the loss 0 and leaves its row of the gradient untouched. A logit that is
/// NaN or infinite makes loss and gradient of its row NaN.
///
/// # Errors
/// [`Error::Token`] where a target is not below V, the width of the rows; [`Error::Shape`] where the
/// sizes do not fit; [`Error::Setting`] where ε is not in 0 ..= 1.
pub fn cross_entropy_rows<T: Rowwise>(
    logits: &[T],
    targets: &[u32],
    smoothing: T,
    weight: T,
    losses: &mut [f64],
    d_logits: Option<&mut [T]>,
) -> Result<()> {
    let _span = span("cross-entropy");
    let vocabulary = check(logits.len(), targets, smoothing)?;
    check_size(OP, "losses", targets.len(), losses.len())?;
    if let Some(d_logits) = &d_logits {
        check_size(OP, "gradient of the logits", logits.len(), d_logits.len())?;
    }
    let block = rows_per_block(targets.len(), vocabulary);
    let numbers = (block * vocabulary).max(1);
    let rows =
        (losses.par_chunks_mut(block), logits.par_chunks(numbers), targets.par_chunks(block));
    if vocabulary == 0 {
        losses.fill(0.0);
    } else if let Some(d_logits) = d_logits {
        rows.into_par_iter().zip(d_logits.par_chunks_mut(numbers)).for_each(
            |((losses, logits, targets), d_logits)| {
                let d_logits = Some(d_logits);
                T::cross_entropy_block(logits, targets, smoothing, weight, losses, d_logits);
            },
        );
    } else {
        rows.into_par_iter().for_each(|(losses, logits, targets)| {
            T::cross_entropy_block(logits, targets, smoothing, weight, losses, None);
        });
    }
    Ok(())
}

/// The mean of −ln softmax(x)ₜ over the rows whose target counts, and in `losses` that of each row.
///
/// Where every target is [`IGNORED`] the mean is 0, the count 0, and the gradient exactly 0.
///
/// # Errors
/// Those of [`cross_entropy_rows`].
pub fn cross_entropy<T: Rowwise>(
    logits: &[T],
    targets: &[u32],
    losses: &mut [f64],
) -> Result<Loss> {
    cross_entropy_rows(logits, targets, T::ZERO, T::ONE, losses, None)?;
    let count = count_targets(targets);
    let sum: f64 = losses.iter().sum();
    Ok(Loss { mean: if count == 0 { 0.0 } else { sum / count as f64 }, count })
}

/// Adds the gradient of `d_loss` times [`cross_entropy`], with label smoothing ε where that is not 0:
/// dxᵢ += d_loss / count · (softmax(x)ᵢ − (1 − ε) · \[i = t\] − ε / V).
///
/// # Errors
/// Those of [`cross_entropy_rows`].
pub fn cross_entropy_backward<T: Rowwise>(
    logits: &[T],
    targets: &[u32],
    smoothing: T,
    d_loss: T,
    d_logits: &mut [T],
) -> Result<()> {
    let _span = span("cross-entropy");
    let vocabulary = check(logits.len(), targets, smoothing)?;
    check_size(OP, "gradient of the logits", logits.len(), d_logits.len())?;
    let count = count_targets(targets);
    if count == 0 {
        return Ok(());
    }
    let count = mutant!("cross_entropy/mean over ignored rows too", count, targets.len());
    let weight = d_loss / T::from_usize(count);
    let block = rows_per_block(targets.len(), vocabulary).min(UNREPORTED);
    let numbers = block * vocabulary;
    (d_logits.par_chunks_mut(numbers), logits.par_chunks(numbers), targets.par_chunks(block))
        .into_par_iter()
        .for_each(|(d_logits, logits, targets)| {
            let losses = &mut [0.0; UNREPORTED][..targets.len()];
            T::cross_entropy_block(logits, targets, smoothing, weight, losses, Some(d_logits));
        });
    Ok(())
}

/// Checks logits, targets and smoothing and gives the size of the vocabulary.
fn check<T: Real>(logits: usize, targets: &[u32], smoothing: T) -> Result<usize> {
    let vocabulary = logits.checked_div(targets.len()).unwrap_or(0);
    check_size(OP, "logits", vocabulary * targets.len(), logits)?;
    if !(smoothing >= T::ZERO && smoothing <= T::ONE) {
        let (layer, found) = (OP.to_owned(), smoothing.to_string());
        return Err(Error::Setting { layer, what: "label smoothing", expected: "0 ..= 1", found });
    }
    let bad = |&target: &u32| target != IGNORED && target as usize >= vocabulary;
    match targets.iter().position(bad) {
        Some(position) => {
            let (layer, token) = (OP.to_owned(), targets[position]);
            Err(Error::Token { layer, position, vocabulary, token })
        }
        None => Ok(vocabulary),
    }
}

pub(super) fn block<T: Real>(
    logits: &[T],
    targets: &[u32],
    smoothing: T,
    weight: T,
    losses: &mut [f64],
    mut d_logits: Option<&mut [T]>,
) {
    let vocabulary = logits.len().checked_div(targets.len()).unwrap_or(0);
    for (row, (&target, loss)) in targets.iter().zip(losses).enumerate() {
        *loss = 0.0;
        if target == IGNORED {
            continue;
        }
        let columns = row * vocabulary..(row + 1) * vocabulary;
        let x = &logits[columns.clone()];
        let target = target as usize;
        let maximum = row_maximum(x);
        // 0 · x is NaN for what is not finite.
        let sum: T = x.iter().map(|&x| (x - maximum).exp() + x * T::ZERO).sum();
        *loss = sum.to_f64().ln() + (maximum.to_f64() - x[target].to_f64());
        let Some(d_logits) = d_logits.as_deref_mut() else { continue };
        let share = smoothing / T::from_usize(vocabulary);
        let share = mutant!("cross_entropy/smoothing left out", share, T::ZERO);
        let d = &mut d_logits[columns];
        for (d, &x) in d.iter_mut().zip(x) {
            let gradient = weight * ((x - maximum).exp() / sum - share);
            *d = mutant!("cross_entropy/overwritten", *d + gradient, gradient);
        }
        let hit = weight * (T::ONE - smoothing);
        d[target] -= mutant!("cross_entropy/target term missing", hit, T::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::*;
    use crate::simd::on_every_isa;

    const TARGETS: [u32; 4] = [2, IGNORED, 0, 4];

    /// The mean over the rows that count of (1 − ε) · loss + ε · mean over v of the loss for target v.
    fn smoothed(logits: &[f64], smoothing: f64) -> f64 {
        let mut losses = [0.0; 4];
        let mut mean = |targets: &[u32]| cross_entropy(logits, targets, &mut losses).unwrap().mean;
        let any = |v: u32| TARGETS.map(|target| if target == IGNORED { IGNORED } else { v });
        let uniform: f64 = (0..5).map(|v| mean(&any(v)) / 5.0).sum();
        (1.0 - smoothing) * mean(&TARGETS) + smoothing * uniform
    }

    #[test]
    fn the_loss_is_the_mean_surprise_of_the_targets_that_count() {
        let logits = [0.0, 3.0_f64.ln(), 0.0, 0.0, 7.0_f64.ln(), 0.0];
        let mut losses = [9.0; 3];
        let loss = cross_entropy(&logits, &[1, IGNORED, 0], &mut losses).unwrap();
        let expected = [(4.0_f64 / 3.0).ln(), 0.0, (8.0_f64 / 7.0).ln()];
        assert!(losses.iter().zip(expected).all(|(loss, value)| (loss - value).abs() < 1e-15));
        assert_eq!(loss, Loss { mean: (losses[0] + losses[2]) / 2.0, count: 2 });
    }

    #[test]
    fn every_entry_of_the_gradient_is_the_slope_of_the_smoothed_loss() {
        let logits = numbers::<f64>(1, 20);
        for smoothing in [0.0, 0.125] {
            let mut d_logits = numbers(2, 20);
            cross_entropy_backward(&logits, &TARGETS, smoothing, 3.0, &mut d_logits).unwrap();
            let by_logits = slopes(&logits, |logits| 3.0 * smoothed(logits, smoothing));
            assert_slopes("logits", &d_logits, &numbers(2, 20), &by_logits);
            assert_eq!(d_logits[5..10], numbers::<f64>(2, 20)[5..10], "the ignored row");
        }
    }

    #[test]
    fn a_pass_over_blocks_of_rows_is_the_pass_over_all() {
        let (logits, before) = (numbers::<f32>(1, 20), numbers::<f32>(2, 20));
        let (mut losses, mut whole, mut parts) = ([0.0; 4], before.clone(), before);
        let loss = cross_entropy(&logits, &TARGETS, &mut losses).unwrap();
        cross_entropy_backward(&logits, &TARGETS, 0.1, 1.0, &mut whole).unwrap();
        let weight = 1.0 / loss.count as f32;
        for row in 0..4 {
            let (columns, mut found) = (5 * row..5 * row + 5, [0.0]);
            let d = Some(&mut parts[columns.clone()]);
            let target = &TARGETS[row..=row];
            cross_entropy_rows(&logits[columns], target, 0.1, weight, &mut found, d).unwrap();
            assert_eq!(found[0], losses[row], "the reported loss is not smoothed");
        }
        assert_same_bits(&whole, &parts);
    }

    #[test]
    fn f32_keeps_to_the_plain_formula_at_every_width() {
        on_every_isa(|| {
            for width in (1..=70).chain([1023, 1024, 1025, 2100]) {
                let targets = [0, (width - 1) as u32, IGNORED, (width / 2) as u32];
                let (mut losses, mut losses64) = ([0.0; 4], [0.0; 4]);
                let (mut d, mut d64) = (numbers::<f32>(2, 4 * width), numbers(2, 4 * width));
                let (x, x64) = (scaled::<f32>(1, 4 * width), scaled::<f64>(1, 4 * width));
                let rest = (&mut losses, Some(&mut d[..]));
                cross_entropy_rows(&x, &targets, 0.25, 0.5, rest.0, rest.1).unwrap();
                let rest = (&mut losses64, Some(&mut d64[..]));
                cross_entropy_rows(&x64, &targets, 0.25, 0.5, rest.0, rest.1).unwrap();
                // x − max is within half an ulp of 32, which the exponential makes relative; its own
                // error is 2 ulp, and the sum adds one for each of its terms. What d held before is below 2.
                let relative = (16.0 + width as f64 + 6.0) * f64::from(f32::EPSILON);
                for (loss, exact) in losses.iter().zip(losses64) {
                    assert!((loss - exact).abs() <= relative, "{loss} {exact}");
                }
                assert_within("d", &d, &d64, |_| relative + 4.0 * f64::from(f32::EPSILON));
            }
        });
    }

    #[test]
    fn the_same_bits_on_any_number_of_threads_and_rows() {
        let (rows, width) = (300, 257);
        let x = scaled::<f32>(1, rows * width);
        let targets: Vec<u32> = (0..rows as u32).map(|row| row * row % 257).collect();
        let mut losses = vec![0.0; rows];
        cross_entropy(&x, &targets, &mut losses).unwrap();
        let all = same_on_any_number_of_threads(|| {
            let (mut d, mut again) = (vec![0.0; x.len()], vec![0.0; rows]);
            cross_entropy(&x, &targets, &mut again).unwrap();
            assert_eq!(again, losses);
            cross_entropy_backward(&x, &targets, 0.1, 2.0, &mut d).unwrap();
            d
        });
        for row in 0..rows {
            let columns = row * width..(row + 1) * width;
            let (mut d, mut loss) = (vec![0.0; width], [0.0]);
            let (x, target) = (&x[columns.clone()], &targets[row..=row]);
            let weight = 2.0 / rows as f32;
            cross_entropy_rows(x, target, 0.1, weight, &mut loss, Some(&mut d)).unwrap();
            assert_same_bits(&d, &all[columns]);
            assert_eq!(loss[0], losses[row]);
        }
    }

    #[test]
    fn without_a_target_that_counts_loss_and_gradient_are_zero() {
        let (x, mut losses, mut d) = ([f32::NAN; 6], [9.0; 2], [5.0; 6]);
        let loss = cross_entropy(&x, &[IGNORED; 2], &mut losses).unwrap();
        assert_eq!((loss, losses), (Loss { mean: 0.0, count: 0 }, [0.0; 2]));
        cross_entropy_backward(&x, &[IGNORED; 2], 0.1, 1.0, &mut d).unwrap();
        assert_eq!(d, [5.0; 6]);
        let loss = cross_entropy::<f64>(&[], &[], &mut []).unwrap();
        assert_eq!(loss, Loss { mean: 0.0, count: 0 });
        cross_entropy_backward::<f64>(&[], &[], 0.0, 1.0, &mut []).unwrap();
        let loss = cross_entropy::<f64>(&[], &[IGNORED; 2], &mut losses).unwrap();
        assert_eq!((loss.count, losses), (0, [0.0; 2]));
    }

    /// A logit that is not finite shows in its row, and in no other.
    fn check_spoilt_rows<T: Rowwise>() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for at in 0..19 {
                let mut x = numbers::<T>(1, 38);
                x[at] = T::from_f64(bad);
                let (mut losses, mut d) = ([0.0; 2], vec![T::ZERO; 38]);
                let zero = T::ZERO;
                let gradient = Some(&mut d[..]);
                cross_entropy_rows(&x, &[3, 3], zero, T::ONE, &mut losses, gradient).unwrap();
                assert!(losses[0].is_nan() && losses[1].is_finite(), "{bad} at {at}");
                assert!(
                    d[..19].iter().all(|d| !d.is_finite()) && d[19..].iter().all(|d| d.is_finite())
                );
            }
        }
    }

    #[test]
    fn a_logit_that_is_not_finite_makes_its_row_nan() {
        on_every_isa(check_spoilt_rows::<f32>);
        check_spoilt_rows::<f64>();
    }

    #[test]
    fn extreme_but_finite_logits_have_a_finite_loss() {
        on_every_isa(|| {
            let mut losses = [0.0; 2];
            let x = [f32::MAX, 0.0, f32::MIN, f32::MIN, f32::MIN, f32::MIN];
            let loss = cross_entropy(&x, &[0, 1], &mut losses).unwrap();
            assert_eq!(losses[0], 0.0);
            assert!((losses[1] - 3.0_f64.ln()).abs() < 1e-6 && loss.count == 2);
        });
    }

    #[test]
    fn targets_sizes_and_smoothing_that_do_not_fit_are_errors() {
        let (x, mut losses, mut d) = ([0.0; 6], [7.0; 2], [7.0; 6]);
        let error = cross_entropy(&x, &[2, 3], &mut losses).unwrap_err();
        let layer = OP.to_owned();
        assert_eq!(error, Error::Token { layer, position: 1, vocabulary: 3, token: 3 });
        assert!(cross_entropy_backward(&x, &[2, 3], 0.0, 1.0, &mut d).is_err());
        assert_eq!((losses, d), ([7.0; 2], [7.0; 6]));
        assert!(cross_entropy::<f64>(&[], &[0], &mut losses[..1]).is_err());
        let error = cross_entropy(&x, &[0; 4], &mut [0.0; 4]).unwrap_err();
        assert_eq!(error.to_string(), "cross_entropy: logits: expected 4, found 6");
        assert!(cross_entropy(&x, &[0; 2], &mut [0.0; 3]).is_err());
        assert!(cross_entropy_backward(&x, &[0; 2], 0.0, 1.0, &mut d[..5]).is_err());
        for smoothing in [-0.1, 1.1, f64::NAN] {
            let error = cross_entropy_backward(&x, &[0; 2], smoothing, 1.0, &mut d).unwrap_err();
            assert!(matches!(error, Error::Setting { .. }), "{error}");
        }
    }
}
