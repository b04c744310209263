//! The losses that keep the router of a mixture of experts even, and its scores small.

use ternary_core::{Real, mutant};

use super::blocks::count_rows;
use super::softmax::row_maximum;
use super::top_k::check_chosen;
use crate::error::{Result, check_size};

const BALANCE: &str = "balance_loss";
const Z: &str = "z_loss";

/// Writes the share of all routed slots that each expert has; zeros where nothing is routed.
///
/// # Errors
/// [`Error::Setting`](crate::Error::Setting) for a slot of an expert that does not exist.
pub fn routed_shares<T: Real>(chosen: &[u32], shares: &mut [T]) -> Result<()> {
    check_chosen("routed_shares", chosen, shares.len())?;
    let slots = T::from_usize(chosen.len().max(1));
    // Whole numbers count: an `f32` stands still at 2²⁴. One pass for each expert is little beside the router's
    // own product, and needs no memory.
    for (expert, share) in shares.iter_mut().enumerate() {
        let own = chosen.iter().filter(|&&chosen| chosen as usize == expert).count();
        *share = T::from_usize(own) / slots;
    }
    Ok(())
}

/// E · Σₑ fₑ · Pₑ (Switch Transformer, arXiv 2101.03961): fₑ is the expert's share of the routed slots
/// ([`routed_shares`]), Pₑ the mean over rows of its probability. An even router has the loss 1, and no
/// rows have the loss 0. The sum runs in `f64`, in the order of the rows.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the sizes do not fit.
pub fn balance_loss<T: Real>(probabilities: &[T], shares: &[T]) -> Result<f64> {
    let experts = shares.len();
    let rows = count_rows(BALANCE, "probabilities", probabilities.len(), experts)?;
    let of_row = |p: &[T]| -> f64 { p.iter().zip(shares).map(|(p, f)| (*p * *f).to_f64()).sum() };
    let sum: f64 = probabilities.chunks(experts.max(1)).map(of_row).sum();
    Ok(experts as f64 * sum / rows.max(1) as f64)
}

/// Adds `weight` times the gradient of [`balance_loss`] with respect to the scores whose softmax the
/// probabilities are; the shares, counts that have no slope, are held fixed:
///
/// ```text
/// d scoreⱼ += weight · E / rows · pⱼ · (fⱼ − Σₑ fₑ pₑ)
/// ```
///
/// # Errors
/// As [`balance_loss`].
pub fn balance_loss_backward<T: Real>(
    probabilities: &[T],
    shares: &[T],
    weight: T,
    d_scores: &mut [T],
) -> Result<()> {
    let experts = shares.len();
    let rows = count_rows(BALANCE, "probabilities", probabilities.len(), experts)?;
    check_size(BALANCE, "gradients of scores", probabilities.len(), d_scores.len())?;
    let scale = weight * T::from_usize(experts) / T::from_usize(rows.max(1));
    let scale = mutant!("balance_loss/number of experts left out", scale, weight);
    let width = experts.max(1);
    for (p, d) in probabilities.chunks(width).zip(d_scores.chunks_mut(width)) {
        let mean: T = p.iter().zip(shares).map(|(&p, &share)| p * share).sum();
        let mean = mutant!("balance_loss/softmax left out", mean, T::ZERO);
        for ((d, &p), &share) in d.iter_mut().zip(p).zip(shares) {
            let gradient = scale * p * (share - mean);
            *d = mutant!("balance_loss/overwritten", *d + gradient, gradient);
        }
    }
    Ok(())
}

/// The mean over rows of (ln Σ e^score)² (ST-MoE, arXiv 2202.08906), summed in `f64` in the order of the
/// rows; no rows have the loss 0.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) for partial rows.
pub fn z_loss<T: Real>(scores: &[T], experts: usize) -> Result<f64> {
    let rows = count_rows(Z, "scores", scores.len(), experts)?;
    let of_row = |scores: &[T]| logarithm_of_sum(scores).to_f64().powi(2);
    let sum: f64 = scores.chunks(experts.max(1)).map(of_row).sum();
    Ok(sum / rows.max(1) as f64)
}

/// Adds `weight` times the gradient of [`z_loss`]: d scoreⱼ += weight · 2 / rows · z · softmax(score)ⱼ,
/// with z the row's ln Σ e^score.
///
/// # Errors
/// As [`z_loss`].
pub fn z_loss_backward<T: Real>(
    scores: &[T],
    experts: usize,
    weight: T,
    d_scores: &mut [T],
) -> Result<()> {
    let rows = count_rows(Z, "scores", scores.len(), experts)?;
    check_size(Z, "gradients of scores", scores.len(), d_scores.len())?;
    let scale = weight * T::from_usize(2) / T::from_usize(rows.max(1));
    let scale = mutant!("z_loss/mean left out", scale, weight + weight);
    let width = experts.max(1);
    for (scores, d) in scores.chunks(width).zip(d_scores.chunks_mut(width)) {
        let z = logarithm_of_sum(scores);
        let slope = scale * mutant!("z_loss/square left out", z, T::ONE);
        for (d, &score) in d.iter_mut().zip(scores) {
            let gradient = slope * (score - z).exp();
            *d = mutant!("z_loss/overwritten", *d + gradient, gradient);
        }
    }
    Ok(())
}

/// ln Σ e^x of a row that is not empty, without overflow.
fn logarithm_of_sum<T: Real>(x: &[T]) -> T {
    let maximum = row_maximum(x);
    x.iter().map(|&x| (x - maximum).exp()).sum::<T>().ln() + maximum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::*;
    use crate::ops::softmax;

    #[test]
    fn an_even_router_has_the_balance_loss_one_and_one_that_collapsed_as_many_as_experts() {
        let mut shares = [9.0_f64; 4];
        routed_shares(&[0, 1, 2, 3], &mut shares).unwrap();
        assert_eq!(shares, [0.25; 4]);
        assert_eq!(balance_loss(&[0.25; 8], &shares), Ok(1.0));
        routed_shares(&[1, 1], &mut shares).unwrap();
        assert_eq!(balance_loss(&[0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0], &shares), Ok(4.0));
        assert!(routed_shares(&[4], &mut shares).is_err());
        routed_shares(&[], &mut shares).unwrap();
        assert_eq!(shares, [0.0; 4]);
    }

    #[test]
    fn shares_of_more_slots_than_an_f32_can_count_are_right() {
        let chosen = vec![1; (1 << 24) + (1 << 20)];
        let mut shares = [9.0_f32; 2];
        routed_shares(&chosen, &mut shares).unwrap();
        assert_eq!(shares, [0.0, 1.0]);
    }

    #[test]
    fn every_entry_of_the_gradients_is_a_slope() {
        let scores = numbers::<f64>(1, 15);
        let shares = [0.4, 0.1, 0.0, 0.3, 0.2];
        let probabilities = |scores: &[f64]| {
            let mut p = vec![0.0; 15];
            softmax(scores, 5, &mut p).unwrap();
            p
        };
        let by_balance =
            slopes(&scores, |scores| 3.0 * balance_loss(&probabilities(scores), &shares).unwrap());
        let mut d = numbers(2, 15);
        balance_loss_backward(&probabilities(&scores), &shares, 3.0, &mut d).unwrap();
        assert_slopes("balance", &d, &numbers(2, 15), &by_balance);
        let by_z = slopes(&scores, |scores| 3.0 * z_loss(scores, 5).unwrap());
        let mut d = numbers(2, 15);
        z_loss_backward(&scores, 5, 3.0, &mut d).unwrap();
        assert_slopes("z", &d, &numbers(2, 15), &by_z);
    }

    #[test]
    fn no_rows_have_no_loss_large_scores_a_finite_one_and_sizes_are_checked() {
        assert_eq!(balance_loss::<f32>(&[], &[0.5; 2]), Ok(0.0));
        assert_eq!(z_loss::<f32>(&[], 2), Ok(0.0));
        assert_eq!(z_loss(&[1000.0_f32, -1000.0], 2), Ok(1e6));
        assert!(z_loss(&[0.0_f32; 5], 2).is_err());
        assert!(balance_loss(&[0.0_f32; 5], &[0.5; 2]).is_err());
        assert!(balance_loss_backward(&[0.0_f32; 4], &[0.5; 2], 1.0, &mut [0.0; 3]).is_err());
        assert!(z_loss_backward(&[0.0_f32; 4], 2, 1.0, &mut [0.0; 3]).is_err());
    }
}
