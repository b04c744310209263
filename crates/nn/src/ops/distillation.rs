//! The divergence of a student's scores from a teacher's.

use rayon::prelude::*;
use ternary_core::{Real, mutant};

use super::Rowwise;
use super::blocks::{count_rows, rows_per_block};
use super::softmax::row_maximum;
use crate::error::{Error, Result, check_size};

const OP: &str = "distillation";

/// What of the temperature τ is in softmax(x / τ): its inverse.
fn inverse<T: Real>(temperature: T) -> Result<T> {
    let inverse = T::ONE / temperature;
    if temperature > T::ZERO && temperature.is_finite() && inverse.is_finite() {
        return Ok(inverse);
    }
    let (layer, found) = (OP.to_owned(), temperature.to_string());
    Err(Error::Setting { layer, what: "temperature", expected: "a number above 0", found })
}

/// τ² · Σᵢ qᵢ · ln(qᵢ / pᵢ) of each row, with p = softmax(x / τ) of the `logits` x, and q that of the
/// `teacher`'s (Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", arXiv 1503.02531). The
/// square keeps the gradient of the same size at every temperature τ.
///
/// A row with a logit that is NaN or infinite has a loss that is not finite.
///
/// # Errors
/// [`Error::Shape`] where the sizes do not fit, [`Error::Setting`] where τ is not above 0.
pub fn distillation<T: Rowwise>(
    logits: &[T],
    teacher: &[T],
    width: usize,
    temperature: T,
    losses: &mut [f64],
) -> Result<()> {
    let (inverse, rows) = (inverse(temperature)?, check(logits, teacher, width)?);
    check_size(OP, "losses", rows, losses.len())?;
    let block = rows_per_block(rows, width);
    let numbers = (block * width).max(1);
    (losses.par_chunks_mut(block), logits.par_chunks(numbers), teacher.par_chunks(numbers))
        .into_par_iter()
        .for_each(|(losses, x, t)| {
            let [p, q] = [x, t].map(|scores| shares(scores, width, inverse));
            for (row, loss) in losses.iter_mut().enumerate() {
                let columns = row * width..(row + 1) * width;
                let [x, t] = [&x[columns.clone()], &t[columns.clone()]];
                let [p, q] = [&p[columns.clone()], &q[columns]];
                let difference = log_sum(x, p, inverse) - log_sum(t, q, inverse);
                let squared = temperature.to_f64() * temperature.to_f64();
                let each = x.iter().zip(t).zip(q).map(|((&x, &t), &q)| {
                    q.to_f64() * ((t.to_f64() - x.to_f64()) * inverse.to_f64() + difference)
                });
                *loss = squared * each.sum::<f64>();
            }
        });
    Ok(())
}

/// Adds the gradient of weight · Σ over rows of [`distillation`] by the student's logits:
/// dxᵢ += weight · τ · (pᵢ − qᵢ).
///
/// # Errors
/// Those of [`distillation`].
pub fn distillation_backward<T: Rowwise>(
    logits: &[T],
    teacher: &[T],
    width: usize,
    temperature: T,
    weight: T,
    d_logits: &mut [T],
) -> Result<()> {
    let (inverse, rows) = (inverse(temperature)?, check(logits, teacher, width)?);
    check_size(OP, "gradient of the logits", logits.len(), d_logits.len())?;
    let numbers = (rows_per_block(rows, width) * width).max(1);
    let factor = weight * mutant!("distillation/temperature left out", temperature, T::ONE);
    (d_logits.par_chunks_mut(numbers), logits.par_chunks(numbers), teacher.par_chunks(numbers))
        .into_par_iter()
        .for_each(|(d, x, t)| {
            let [p, q] = [x, t].map(|scores| shares(scores, width, inverse));
            for ((d, &p), &q) in d.iter_mut().zip(&p).zip(&q) {
                let gradient = factor * mutant!("distillation/sign of the teacher", p - q, p + q);
                *d = mutant!("distillation/overwritten", *d + gradient, gradient);
            }
        });
    Ok(())
}

/// softmax(x / τ) of some rows.
fn shares<T: Rowwise>(scores: &[T], width: usize, inverse: T) -> Vec<T> {
    let scaled: Vec<T> = scores.iter().map(|&x| x * inverse).collect();
    let mut shares = vec![T::ZERO; scores.len()];
    T::softmax_rows(&scaled, width, &mut shares);
    shares
}

/// ln Σᵢ e^(xᵢ / τ) of a row, from its shares: the largest logit m has the share e^(m / τ) / Σ.
fn log_sum<T: Real>(scores: &[T], shares: &[T], inverse: T) -> f64 {
    row_maximum(scores).to_f64() * inverse.to_f64() - row_maximum(shares).to_f64().ln()
}

fn check<T: Real>(logits: &[T], teacher: &[T], width: usize) -> Result<usize> {
    let rows = count_rows(OP, "logits", logits.len(), width)?;
    check_size(OP, "logits of the teacher", logits.len(), teacher.len())?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::*;
    use crate::simd::on_every_isa;

    fn total(logits: &[f64], teacher: &[f64], width: usize, temperature: f64) -> f64 {
        let mut losses = vec![0.0; logits.len() / width];
        distillation(logits, teacher, width, temperature, &mut losses).unwrap();
        losses.iter().sum()
    }

    #[test]
    fn it_is_the_divergence_of_the_shares_and_nothing_between_equals() {
        let logits = [2.0_f64.ln(), 0.0, 1.0, 1.0];
        let teacher = [0.0, 0.0, 1.0, 1.0];
        // p = (2/3, 1/3) and q = (1/2, 1/2): ½ ln(3/4) + ½ ln(3/2).
        let expected = 0.5 * (0.75_f64.ln() + 1.5_f64.ln());
        let mut losses = [9.0; 2];
        distillation(&logits, &teacher, 2, 1.0, &mut losses).unwrap();
        assert!((losses[0] - expected).abs() < 1e-15 && losses[1].abs() < 1e-15, "{losses:?}");
        // At the temperature 2 the scores are half as far apart.
        let doubled = logits.map(|x| 2.0 * x);
        let hot = total(&doubled, &teacher.map(|t| 2.0 * t), 2, 2.0);
        assert!((hot - 4.0 * expected).abs() < 1e-14, "{hot}");
    }

    #[test]
    fn every_entry_of_the_gradient_is_the_slope_of_the_loss() {
        let (logits, teacher) = (numbers::<f64>(1, 20), numbers::<f64>(5, 20));
        for temperature in [1.0, 2.5, 0.5] {
            let mut d_logits = numbers(2, 20);
            distillation_backward(&logits, &teacher, 5, temperature, 3.0, &mut d_logits).unwrap();
            let by_logits = slopes(&logits, |logits| 3.0 * total(logits, &teacher, 5, temperature));
            assert_slopes("logits", &d_logits, &numbers(2, 20), &by_logits);
        }
    }

    #[test]
    fn f32_keeps_to_the_plain_formula_on_every_instruction_set() {
        on_every_isa(|| {
            for width in [1, 2, 7, 16, 33, 256] {
                let count = 3 * width;
                let (x, t) = (numbers::<f32>(1, count), numbers::<f32>(2, count));
                let wide =
                    |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
                let (mut losses, mut exact) = ([0.0; 3], [0.0; 3]);
                distillation(&x, &t, width, 2.0, &mut losses).unwrap();
                distillation(&wide(&x), &wide(&t), width, 2.0, &mut exact).unwrap();
                for (loss, exact) in losses.iter().zip(exact) {
                    // Shares of a relative error of a few roundings, logarithms of which are taken.
                    assert!((loss - exact).abs() < 1e-4, "{width}: {loss}, exactly {exact}");
                }
                let (mut d, mut d64) = (vec![0.0; count], vec![0.0; count]);
                distillation_backward(&x, &t, width, 2.0, 0.5, &mut d).unwrap();
                distillation_backward(&wide(&x), &wide(&t), width, 2.0, 0.5, &mut d64).unwrap();
                assert_within("d", &d, &d64, |_| 1e-6);
            }
        });
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut losses = [0.0; 2];
        for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE / 4.0] {
            let error = distillation(&[0.0; 4], &[0.0; 4], 2, temperature, &mut losses);
            assert!(matches!(error, Err(Error::Setting { .. })), "{temperature}");
        }
        assert!(distillation(&[0.0; 4], &[0.0; 3], 2, 1.0, &mut losses).is_err());
        assert!(distillation(&[0.0; 4], &[0.0; 4], 3, 1.0, &mut losses).is_err());
        assert!(distillation_backward(&[0.0; 4], &[0.0; 4], 2, 1.0, 1.0, &mut [0.0; 3]).is_err());
    }
}
