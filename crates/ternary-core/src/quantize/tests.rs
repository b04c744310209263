//! What holds for every rule.

use super::*;
use crate::matrix::TernaryMatrix;
use crate::noise::Noise;
use crate::packing::Packing;
use proptest::prelude::*;

/// Every rule: those of a bare name, and those with a number (a Δ of 0.01 fits the weights used here).
fn rules() -> impl Iterator<Item = Rule> {
    let numbered =
        [Rule::Twn { factor: 0.7 }, Rule::Fixed { threshold: 0.01 }, Rule::Ttq { threshold: 0.3 }];
    Rule::DEFAULTS.into_iter().chain(numbered)
}

/// The rule fitted to one group, learned parameters started from the same weights.
fn fit(rule: Rule, weights: &[f32]) -> Result<Levels> {
    let weights = Weights::F32(weights);
    rule.initialised(Granularity::Tensor, 1, weights.len(), weights)?.fit(0, weights)
}

fn gaussian(sigma: f32, count: usize) -> Vec<f32> {
    let mut weights = vec![0.0; count];
    Noise::new(1, 0, 0).fill_normal(0, &mut weights);
    weights.iter_mut().for_each(|w| *w *= sigma);
    weights
}

/// U(−bound, bound).
fn uniform(bound: f32, count: usize) -> Vec<f32> {
    let mut weights = vec![0.0; count];
    Noise::new(2, 0, 0).fill_centred(0, &mut weights);
    weights.iter_mut().for_each(|w| *w *= 2.0 * bound);
    weights
}

#[test]
fn no_default_turns_a_freshly_initialised_layer_into_zeros() {
    for inputs in [16, 64, 1024] {
        let layers = [
            uniform(1.0 / (inputs as f32).sqrt(), 16 * inputs),
            gaussian(0.02, 16 * inputs),
            gaussian(1e-3, 16 * inputs),
            vec![0.02; 16 * inputs],
        ];
        let group = Granularity::group(16).unwrap();
        for (layer, weights) in layers.iter().enumerate() {
            for granularity in [Granularity::Tensor, Granularity::Row, group] {
                for rule in Rule::DEFAULTS {
                    let all = Weights::F32(weights);
                    let quantizer = rule.initialised(granularity, 16, inputs, all).unwrap();
                    let count = granularity.count(16, inputs).unwrap();
                    for (index, weights) in weights.chunks(weights.len() / count).enumerate() {
                        let levels = quantizer.fit(index, Weights::F32(weights)).unwrap();
                        let kept = weights.iter().filter(|w| levels.value(**w) != 0.0).count();
                        // A third of the weights in the large groups, at least one in the small.
                        let least = if weights.len() > 16 { weights.len() / 3 } else { 1 };
                        let seq = rule == Rule::Seq && weights.len() > 16;
                        let least = if seq { weights.len() / 20 } else { least };
                        assert!(
                            kept >= least,
                            "{rule} of layer {layer}: {kept} of {}",
                            weights.len()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_group_of_zeros_stays_zeros_and_an_empty_group_is_no_error() {
    for rule in rules() {
        for weights in [vec![], vec![0.0], vec![0.0, -0.0, 0.0]] {
            let levels = fit(rule, &weights).unwrap();
            assert_eq!(levels.check(), Ok(()), "{rule}: {levels:?}");
            assert!(weights.iter().all(|w| levels.trit(*w) == 0), "{rule}: {levels:?}");
            let clamped = matches!(rule, Rule::Absmean | Rule::Absmedian) || rule.is_learned();
            assert_eq!(levels.positive > 0.0, clamped, "{rule}: {levels:?}");
        }
        for (rows, cols) in [(0, 0), (0, 5), (3, 0)] {
            for granularity in [Granularity::Tensor, Granularity::Row] {
                let empty = Weights::F32(&[]);
                let quantizer = rule.initialised(granularity, rows, cols, empty).unwrap();
                for group in 0..granularity.count(rows, cols).unwrap() {
                    assert_eq!(quantizer.fit(group, empty).unwrap().check(), Ok(()), "{rule}");
                }
            }
        }
    }
}

#[test]
fn a_constant_group_keeps_its_weights() {
    for rule in rules() {
        for constant in [0.5, -0.5, f32::MAX, -f32::MAX] {
            let levels = fit(rule, &[constant; 7]).unwrap();
            // SEQ has its outer level at two thirds of the largest weight.
            let expected = if rule == Rule::Seq { constant / 1.5 } else { constant };
            assert_eq!(levels.value(constant), expected, "{rule}: {levels:?}");
        }
    }
}

#[test]
fn the_first_weight_that_is_not_finite_is_named() {
    let good = gaussian(0.1, 5000);
    for rule in rules() {
        let quantizer =
            rule.initialised(Granularity::Tensor, 1, 5000, Weights::F32(&good)).unwrap();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut weights = good.clone();
            (weights[4321], weights[4999]) = (bad, f32::NAN);
            let expected = |error| {
                matches!(error, Err(Error::NonFinite { what: "weights", index: 4321, value })
                    if value.to_bits() == f64::from(bad).to_bits())
            };
            assert!(expected(quantizer.fit(0, Weights::F32(&weights))), "{rule} {bad}");
            assert!(expected(fit(rule, &weights)), "{rule} {bad}");
        }
    }
}

#[test]
fn the_index_of_a_bad_weight_counts_from_the_start_of_the_matrix_when_parameters_start() {
    let weights = [1.0, 2.0, 3.0, f32::NAN];
    for rule in [Rule::Seq, Rule::Lsq, Rule::Ttq { threshold: 0.05 }] {
        let quantizer = rule.initialised(Granularity::Row, 2, 2, Weights::F32(&weights));
        assert!(matches!(quantizer, Err(Error::NonFinite { index: 3, .. })), "{rule}");
    }
}

#[test]
fn the_largest_and_the_smallest_numbers_have_finite_scales() {
    let mut large = uniform(1.0, 1000);
    large.iter_mut().for_each(|w| *w *= f32::MAX);
    large.extend([f32::MAX, -f32::MAX, 0.0]);
    let tiny = f32::from_bits(1);
    let small = [tiny, -tiny, 3.0 * tiny, f32::MIN_POSITIVE];
    for rule in rules() {
        let levels = fit(rule, &large).unwrap();
        assert_eq!(levels.check(), Ok(()), "{rule}: {levels:?}");
        assert_ne!(levels.trit(f32::MAX), 0, "{rule}: {levels:?}");
        for small in [&small[..], &small[..1], &small[..2]] {
            let levels = fit(rule, small).unwrap();
            assert_eq!(levels.check(), Ok(()), "{rule}: {levels:?}");
            // The rules without a clamp resolve even these.
            if matches!(rule, Rule::Twn { .. } | Rule::Optimal | Rule::Ttq { .. }) {
                let largest = small[small.len() - 1];
                assert_ne!(levels.trit(largest), 0, "{rule}: {levels:?}");
            }
        }
    }
}

#[test]
fn a_tie_with_the_threshold_is_zero() {
    // Weights chosen so that ±1 is exactly the threshold of the rule.
    let cases: [(Rule, &[f32]); 8] = [
        (Rule::Absmean, &[1.0, -1.0, 3.0, -3.0]),
        (Rule::Absmedian, &[1.0, -1.0, 2.0, -2.0, 2.0, -2.0]),
        (Rule::Twn { factor: 0.75 }, &[1.0, -1.0, 1.0, 2.0, -1.75, 1.25]),
        (Rule::Fixed { threshold: 1.0 }, &[1.0, -1.0, 3.0]),
        (Rule::Optimal, &[1.0, -1.0, 9.0]),
        (Rule::Seq, &[1.0, -1.0, 3.0]),
        (Rule::Lsq, &[1.0, -1.0, 3.0, -3.0]),
        (Rule::Ttq { threshold: 0.25 }, &[1.0, -1.0, 4.0]),
    ];
    for (rule, weights) in cases {
        let levels = fit(rule, weights).unwrap();
        assert_eq!(levels.threshold, 1.0, "{rule}");
        assert_eq!([1.0, -1.0].map(|w| levels.trit(w)), [0, 0], "{rule}");
        assert_eq!(levels.trit(1.0_f32.next_up()), 1, "{rule}");
        assert_eq!(levels.trit(-1.0_f32.next_up()), -1, "{rule}");
    }
}

#[test]
fn a_learned_rule_refuses_a_group_it_has_no_parameters_for() {
    let weights = Weights::F32(&[1.0, 2.0]);
    for rule in [Rule::Seq, Rule::Lsq, Rule::Ttq { threshold: 0.05 }] {
        let quantizer = rule.initialised(Granularity::Row, 2, 1, weights).unwrap();
        assert!(quantizer.fit(1, weights).is_ok());
        let error = quantizer.fit(2, weights).unwrap_err();
        assert_eq!(error.to_string(), "scaling group: expected an index below 2, found 2");
    }
}

#[test]
fn a_learned_scale_that_is_not_positive_is_refused_with_its_group() {
    for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let errors = [
            Seq::new(Granularity::Row, vec![1.0, bad]).map(|_| ()),
            Lsq::new(Granularity::Row, vec![1.0, bad]).map(|_| ()),
        ];
        let mut seq = Seq::new(Granularity::Row, vec![1.0, 1.0]).unwrap();
        let mut lsq = Lsq::new(Granularity::Row, vec![1.0, 1.0]).unwrap();
        (seq.alpha_mut()[1], lsq.alpha_mut()[1]) = (bad, bad);
        let weights = Weights::F32(&[1.0]);
        let fits = [seq.fit(1, weights).map(|_| ()), lsq.fit(1, weights).map(|_| ())];
        for error in errors.into_iter().chain(fits) {
            let named = matches!(
                error,
                Err(Error::OutOfRange { index: 1, .. } | Error::NonFinite { index: 1, .. })
            );
            assert!(named, "{bad}: {error:?}");
        }
        assert!(seq.fit(0, weights).is_ok());
    }
}

#[test]
fn a_threshold_rounded_down_decides_as_the_real_number() {
    assert_eq!(round_down(0.1), 0.1_f32.next_down());
    assert_eq!(round_down(f64::from(0.3_f32)), 0.3_f32);
    assert_eq!(round_down(1e300), f32::MAX);
    assert_eq!(round_down(1e-300), 0.0);
}

fn granularities() -> impl Strategy<Value = Granularity> {
    prop_oneof![
        Just(Granularity::Tensor),
        Just(Granularity::Row),
        Just(Granularity::group(5).unwrap())
    ]
}

fn weights() -> impl Strategy<Value = Vec<f32>> {
    let weight = prop_oneof![3 => -2.0..2.0_f32, 1 => Just(0.0), 1 => Just(0.25), 1 => Just(-0.25)];
    prop::collection::vec(weight, 30)
}

proptest! {
    #[test]
    fn scaling_by_a_power_of_two_scales_the_levels(weights in weights(), exponent in -6..20_i32) {
        let factor = 2.0_f32.powi(exponent);
        let scaled: Vec<f32> = weights.iter().map(|w| factor * w).collect();
        for rule in rules() {
            // A fixed threshold has the unit of the weights.
            let scaled_rule = match rule {
                Rule::Fixed { threshold } => Rule::Fixed { threshold: factor * threshold },
                rule => rule,
            };
            let (levels, found) = (fit(rule, &weights)?, fit(scaled_rule, &scaled)?);
            // The clamp at 10⁻⁵ is no multiple of the weights.
            if levels.positive.min(found.positive) > MIN_SCALE {
                prop_assert_eq!(found.threshold, factor * levels.threshold, "{}", rule);
                prop_assert_eq!(found.positive, factor * levels.positive, "{}", rule);
                prop_assert_eq!(found.negative, factor * levels.negative, "{}", rule);
            }
        }
    }

    #[test]
    fn symmetric_rules_are_odd_and_ttq_swaps_its_magnitudes(weights in weights()) {
        let mirrored: Vec<f32> = weights.iter().map(|w| -w).collect();
        for rule in rules() {
            let (levels, found) = (fit(rule, &weights)?, fit(rule, &mirrored)?);
            prop_assert_eq!(found.threshold, levels.threshold, "{}", rule);
            prop_assert_eq!(found.positive, levels.negative, "{}", rule);
            prop_assert_eq!(found.negative, levels.positive, "{}", rule);
            for w in &weights {
                prop_assert_eq!(found.value(-w), -levels.value(*w), "{} {}", rule, w);
            }
        }
    }

    #[test]
    fn every_scaling_group_is_quantised_as_if_it_were_alone(
        weights in weights(),
        granularity in granularities(),
    ) {
        for rule in rules() {
            let all = Weights::F32(&weights);
            let quantizer = rule.initialised(granularity, 3, 10, all)?;
            let matrix = TernaryMatrix::quantize(3, 10, all, &*quantizer, Packing::FiveTrits)?;
            let size = 30 / granularity.count(3, 10)?;
            let alone: Result<Vec<Vec<f32>>> = weights
                .chunks(size)
                .map(|weights| {
                    let levels = fit(rule, weights)?;
                    Ok(weights.iter().map(|w| levels.value(*w)).collect())
                })
                .collect();
            prop_assert_eq!(matrix.to_f32(), alone?.concat(), "{}", rule);
        }
    }
}
