//! From latent weights to codes: once an update.

use std::sync::Arc;

use ste::{AnyEstimator, Estimator};
use ternary_core::kernels::Kernels;
use ternary_core::{Error, Granularity, Levels, Quantizer, Result, TernaryMatrix, Weights};

use super::options::BitLinearOptions;
use crate::module::Update;
use crate::noise::Draw;
use crate::parameters::ParameterId;
use crate::projection::learned::{Learned, MOST};

/// Levels that are known for each scaling group, as a rule.
#[derive(Debug)]
struct Known<'a> {
    levels: &'a [Levels],
    granularity: Granularity,
    is_symmetric: bool,
}

impl Quantizer for Known<'_> {
    fn name(&self) -> &'static str {
        "known"
    }

    fn granularity(&self) -> Granularity {
        self.granularity
    }

    fn is_symmetric(&self) -> bool {
        self.is_symmetric
    }

    fn fit(&self, group: usize, _: Weights<'_>) -> Result<Levels> {
        Ok(self.levels[group])
    }
}

/// Fits `quantizer` to each scaling group of latent weights, averaged with the levels before where
/// there are any and ρ is not 0.
pub(in crate::projection) fn fit(
    quantizer: &dyn Quantizer,
    average: f32,
    weights: Weights<'_>,
    levels: &mut Vec<Levels>,
    groups: usize,
) -> Result<()> {
    let each = weights.len().checked_div(groups).unwrap_or(0);
    for group in 0..groups {
        let fitted = quantizer.fit(group, weights.slice(group * each..(group + 1) * each))?;
        match levels.get_mut(group) {
            Some(levels) => *levels = mix(average, *levels, fitted),
            None => levels.push(fitted),
        }
    }
    Ok(())
}

/// The rule of a layer whose learned levels, if it has some, start from these values.
pub(super) fn rule(
    options: &BitLinearOptions,
    start: Option<[Vec<f32>; MOST]>,
) -> Result<Arc<dyn Quantizer>> {
    match options.learned.zip(start) {
        Some((learned, start)) => Ok(Learned::quantizer(learned, start)?.into()),
        None => Ok(options.quantizer.clone()),
    }
}

/// Levels for latent weights that are to be quantised into `base`.
pub(super) fn first_fit(
    quantizer: &dyn Quantizer,
    weights: Weights<'_>,
    base: &TernaryMatrix,
) -> Result<Vec<Levels>> {
    let describe = |granularity: Granularity, is_symmetric: bool| {
        let signs = if is_symmetric { "symmetric" } else { "asymmetric" };
        format!("{signs} scales per {granularity:?}")
    };
    let (scales, mut levels) = (base.scales(), Vec::new());
    let expected = describe(quantizer.granularity(), quantizer.is_symmetric());
    let found = describe(scales.granularity(), scales.is_symmetric());
    if expected != found {
        return Err(Error::Mismatch { what: "scales of the ternary weights", expected, found });
    }
    fit(quantizer, 0.0, weights, &mut levels, scales.len())?;
    Ok(levels)
}

/// ρ·before + (1 − ρ)·now.
fn mix(average: f32, before: Levels, now: Levels) -> Levels {
    let mix = |before: f32, now: f32| average * before + (1.0 - average) * now;
    if average == 0.0 {
        return now;
    }
    Levels {
        threshold: mix(before.threshold, now.threshold),
        negative: mix(before.negative, now.negative),
        positive: mix(before.positive, now.positive),
    }
}

/// Decides the codes by known levels. Under boundary noise the weights are moved first, in `noisy`.
pub(super) fn decide(
    options: &BitLinearOptions,
    id: ParameterId,
    update: Update,
    weights: Weights<'_>,
    levels: &[Levels],
    noisy: &mut Vec<f32>,
    base: &mut TernaryMatrix,
) -> Result<()> {
    let (granularity, is_symmetric) = (base.scales().granularity(), base.scales().is_symmetric());
    let rule = Known { levels, granularity, is_symmetric };
    let kernels = Kernels::detect()?;
    if options.boundary_noise == 0.0 || !update.is_noisy || weights.is_empty() {
        return kernels.requantize(weights, &rule, base);
    }
    noisy.clear();
    noisy.resize(weights.len(), 0.0);
    Draw::Boundary.noise(update.seed, id, update.step).fill_centred(0, noisy);
    let each = weights.len() / levels.len();
    for (group, noisy) in noisy.chunks_exact_mut(each).enumerate() {
        // Centred numbers lie in (−½, ½).
        let reach = 2.0 * options.boundary_noise * levels[group].threshold;
        let weights = weights.slice(group * each..(group + 1) * each);
        let mut start = 0;
        weights.for_each_chunk(|latent| {
            for (noisy, w) in noisy[start..].iter_mut().zip(latent) {
                *noisy = w + reach * *noisy;
            }
            start += latent.len();
        });
    }
    kernels.requantize(Weights::F32(noisy), &rule, base)
}

/// The weights of a forward that does not compute with the ternary ones: w + λ·(q − w), where q is what
/// the estimator relaxes Q(w) to, or Q(w). Without λ < 1 and without such an estimator there are none.
pub(super) fn soften(
    estimator: &dyn AnyEstimator,
    update: Update,
    weights: Weights<'_>,
    levels: &[Levels],
    base: &TernaryMatrix,
    latent: &mut Vec<f32>,
    soft: &mut Vec<f32>,
) {
    let estimator: &dyn Estimator<f32> = estimator;
    let is_relaxed = estimator.is_relaxed(update.progress());
    if !is_relaxed && update.lambda >= 1.0 {
        *soft = Vec::new();
        return;
    }
    latent.resize(weights.len(), 0.0);
    weights.widen(latent);
    soft.resize(latent.len(), 0.0);
    if is_relaxed {
        let each = latent.len().checked_div(levels.len()).unwrap_or(0).max(1);
        let groups = latent.chunks(each).zip(soft.chunks_mut(each));
        for ((latent, soft), &levels) in groups.zip(levels) {
            estimator.relax(latent, levels, update.progress(), soft);
        }
    } else {
        for (row, soft) in soft.chunks_exact_mut(base.cols().max(1)).enumerate() {
            base.row_f32(row, soft).expect("a row of its own shape");
        }
    }
    if update.lambda < 1.0 {
        for (soft, &w) in soft.iter_mut().zip(&*latent) {
            *soft = w + update.lambda * (*soft - w);
        }
    }
}
