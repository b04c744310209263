//! Routing of rows to the experts of a mixture: softmax, then the k largest.

use ternary_core::{Real, mutant};

use super::blocks::count_rows;
use super::{Rowwise, softmax};
use crate::error::{Error, Result, check_size};

const OP: &str = "top_k";

/// What [`top_k`] writes for each row.
#[derive(Debug)]
pub struct Routes<'a, T> {
    /// pₑ = softmax(scores)ₑ, for every expert.
    pub probabilities: &'a mut [T],
    /// The k experts of a row, by descending probability; of equal ones the lower index comes first.
    pub chosen: &'a mut [u32],
    /// Their weights wⱼ = pⱼ / Σ p of the chosen, which add up to 1.
    pub weights: &'a mut [T],
}

/// Chooses `k` experts for each row of scores, and weighs them by their renormalised probabilities
/// (Shazeer et al., arXiv 1701.06538, as Mixtral, arXiv 2401.04088, has them).
///
/// # Errors
/// [`Error::Setting`] for a k outside 1 ..= experts and for a row with a score that is not finite;
/// [`Error::Shape`] where the sizes do not fit.
pub fn top_k<T: Rowwise>(
    scores: &[T],
    experts: usize,
    k: usize,
    routes: Routes<'_, T>,
) -> Result<()> {
    let rows = check(scores.len(), experts, k)?;
    let Routes { probabilities, chosen, weights } = routes;
    check_size(OP, "probabilities", scores.len(), probabilities.len())?;
    check_size(OP, "chosen experts", rows * k, chosen.len())?;
    check_size(OP, "weights", rows * k, weights.len())?;
    if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
        return Err(Error::Setting {
            layer: OP.to_owned(),
            what: "router scores",
            expected: "finite numbers",
            found: format!("{} in row {}", scores[index], index / experts),
        });
    }
    softmax(scores, experts, probabilities)?;
    let rows = scores.chunks(experts).zip(probabilities.chunks(experts));
    for (((scores, p), chosen), weights) in
        rows.zip(chosen.chunks_mut(k)).zip(weights.chunks_mut(k))
    {
        choose(scores, chosen);
        let sum: T = chosen.iter().map(|&expert| p[expert as usize]).sum();
        for (weight, &expert) in weights.iter_mut().zip(&*chosen) {
            *weight = p[expert as usize] / sum;
        }
    }
    Ok(())
}

/// The experts of the largest scores, in descending order, by insertion: a later one passes only what
/// is smaller.
fn choose<T: Real>(scores: &[T], chosen: &mut [u32]) {
    let mut count = 0;
    for (expert, &score) in scores.iter().enumerate() {
        let ahead = |&&other: &&u32| scores[other as usize] >= score;
        let place = chosen[..count].iter().take_while(ahead).count();
        if place < chosen.len() {
            count = (count + 1).min(chosen.len());
            chosen[place..count].rotate_right(1);
            chosen[place] = expert as u32;
        }
    }
}

/// Adds the gradient of the weights of [`top_k`] with respect to the scores, the choice held fixed. The
/// weights are the softmax over the chosen scores alone, so
///
/// ```text
/// d scoreⱼ += wⱼ · (dwⱼ − Σᵢ wᵢ dwᵢ)        j, i chosen
/// ```
///
/// # Errors
/// [`Error::Setting`] for a k outside 1 ..= experts, [`Error::Shape`] where the sizes do not fit or an
/// expert does not exist.
pub fn top_k_backward<T: Real>(
    chosen: &[u32],
    weights: &[T],
    d_weights: &[T],
    [experts, k]: [usize; 2],
    d_scores: &mut [T],
) -> Result<()> {
    let rows = check(d_scores.len(), experts, k)?;
    check_size(OP, "chosen experts", rows * k, chosen.len())?;
    check_size(OP, "weights", rows * k, weights.len())?;
    check_size(OP, "gradients of the weights", rows * k, d_weights.len())?;
    check_chosen(OP, chosen, experts)?;
    let routes = chosen.chunks(k).zip(weights.chunks(k)).zip(d_weights.chunks(k));
    for (((chosen, w), dw), d_scores) in routes.zip(d_scores.chunks_mut(experts)) {
        let mean: T = w.iter().zip(dw).map(|(&w, &dw)| w * dw).sum();
        let mean = mutant!("top_k/renormalisation left out", mean, T::ZERO);
        for ((&expert, &w), &dw) in chosen.iter().zip(w).zip(dw) {
            let gradient = w * mutant!("top_k/sign of the mean", dw - mean, dw + mean);
            let d = &mut d_scores[expert as usize];
            *d = mutant!("top_k/overwritten", *d + gradient, gradient);
        }
    }
    Ok(())
}

/// Checks that every chosen expert exists.
pub(super) fn check_chosen(op: &str, chosen: &[u32], experts: usize) -> Result<()> {
    match chosen.iter().find(|&&expert| expert as usize >= experts) {
        Some(&found) => Err(Error::Setting {
            layer: op.to_owned(),
            what: "chosen expert",
            expected: "an index below the number of experts",
            found: format!("{found} of {experts}"),
        }),
        None => Ok(()),
    }
}

fn check(scores: usize, experts: usize, k: usize) -> Result<usize> {
    if k == 0 || k > experts || u32::try_from(experts).is_err() {
        return Err(Error::Setting {
            layer: OP.to_owned(),
            what: "experts of a row",
            expected: "1 to the number of experts",
            found: format!("{k} of {experts}"),
        });
    }
    count_rows(OP, "scores", scores, experts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::*;

    fn route<T: Rowwise>(scores: &[T], experts: usize, k: usize) -> Result<(Vec<u32>, Vec<T>)> {
        let rows = scores.len() / experts;
        let mut probabilities = vec![T::ZERO; scores.len()];
        let (mut chosen, mut weights) = (vec![9; rows * k], vec![T::ZERO; rows * k]);
        let routes = Routes {
            probabilities: &mut probabilities,
            chosen: &mut chosen,
            weights: &mut weights,
        };
        top_k(scores, experts, k, routes)?;
        Ok((chosen, weights))
    }

    #[test]
    fn the_largest_scores_win_and_of_equal_ones_the_first() {
        let (chosen, weights) = route(&[1.0, 3.0, 3.0, 2.0, 5.0, 5.0, 5.0, 5.0_f64], 4, 2).unwrap();
        assert_eq!(chosen, [1, 2, 0, 1]);
        assert!(weights.iter().all(|weight| (weight - 0.5).abs() < 1e-15), "{weights:?}");
        let (chosen, weights) = route(&[0.0, 3.0_f64.ln(), -4.0], 3, 3).unwrap();
        assert_eq!(chosen, [1, 0, 2]);
        let ratio: f64 = weights[0] / weights[1];
        assert!((ratio - 3.0).abs() < 1e-14 && (weights.iter().sum::<f64>() - 1.0).abs() < 1e-15);
    }

    #[test]
    fn a_score_that_is_not_finite_is_an_error_that_names_its_row() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = route(&[0.0, 1.0, 2.0, bad], 2, 1).unwrap_err().to_string();
            let expected =
                format!("top_k: router scores: expected finite numbers, found {bad} in row 1");
            assert_eq!(error, expected);
        }
        for k in [0, 3] {
            assert!(matches!(route(&[0.0_f32; 4], 2, k), Err(Error::Setting { .. })));
        }
        let mut d = [0.0; 2];
        assert!(top_k_backward(&[2], &[1.0], &[1.0], [2, 1], &mut d).is_err());
    }

    #[test]
    fn every_entry_of_the_gradient_is_the_slope_of_the_weights() {
        let (scores, dw) = (numbers::<f64>(1, 15), numbers::<f64>(2, 6));
        let by_scores = slopes(&scores, |scores| inner(&route(scores, 5, 2).unwrap().1, &dw));
        let (chosen, weights) = route(&scores, 5, 2).unwrap();
        let mut d = numbers(3, 15);
        top_k_backward(&chosen, &weights, &dw, [5, 2], &mut d).unwrap();
        assert_slopes("scores", &d, &numbers(3, 15), &by_scores);
    }

    #[test]
    fn a_row_is_routed_the_same_alone_and_on_any_number_of_threads() {
        let scores = numbers::<f32>(1, 8 * 5000);
        let all = same_on_any_number_of_threads(|| route(&scores, 8, 3).unwrap().1);
        for row in [0, 17, 4999] {
            let alone = route(&scores[8 * row..8 * row + 8], 8, 3).unwrap().1;
            assert_same_bits(&alone, &all[3 * row..3 * row + 3]);
        }
    }
}
