//! The rules on weights of a unit Gaussian, against integrals of its density.

use std::f64::consts::PI;

use super::{Fidelity, TritCounts};
use crate::matrix::TernaryMatrix;
use crate::noise::Noise;
use crate::packing::Packing;
use crate::quantize::{Absmean, Absmedian, Levels, Optimal, Quantizer, Twn};
use crate::scales::Granularity;
use crate::weights::Weights;

const SAMPLES: usize = 1_000_000;

/// E[f(|w|)] over from < |w| < to for w of a unit Gaussian, by Simpson's rule.
fn expectation(from: f64, to: f64, f: impl Fn(f64) -> f64) -> f64 {
    const STEPS: usize = 20_000;
    let step = (to - from) / STEPS as f64;
    let density = |x: f64| (2.0 / PI).sqrt() * (-0.5 * x * x).exp();
    let weight = |i| match i {
        0 | STEPS => 1.0,
        i if i % 2 == 1 => 4.0,
        _ => 2.0,
    };
    let terms = (0..=STEPS).map(|i| {
        let x = from + i as f64 * step;
        weight(i) * density(x) * f(x)
    });
    terms.sum::<f64>() * step / 3.0
}

/// Beyond 12σ lies less than 10⁻³².
const FAR: f64 = 12.0;

/// What a rule does to a Gaussian in the limit, and how far a million samples may be from it.
struct Expected {
    threshold: f64,
    alpha: f64,
    /// Standard deviations of the estimates of Δ and α.
    deviations: [f64; 2],
}

impl Expected {
    fn zeros(&self) -> f64 {
        expectation(0.0, self.threshold, |_| 1.0)
    }

    fn density_at_threshold(&self) -> f64 {
        (2.0 / PI).sqrt() * (-0.5 * self.threshold * self.threshold).exp()
    }

    /// E[e^(2·power)] of the error e = w − Q(w).
    fn error_moment(&self, power: i32) -> f64 {
        expectation(0.0, self.threshold, |x| x.powi(2 * power))
            + expectation(self.threshold, FAR, |x| (x - self.alpha).powi(2 * power))
    }
}

fn root_samples() -> f64 {
    (SAMPLES as f64).sqrt()
}

/// mean|w| = √(2/π), and the deviation of its estimate, √(1 − 2/π)/√N.
fn mean_magnitude() -> (f64, f64) {
    ((2.0 / PI).sqrt(), (1.0 - 2.0 / PI).sqrt() / root_samples())
}

/// Absmean has α = mean|w| and Δ = α/2.
fn absmean() -> Expected {
    let (mean, deviation) = mean_magnitude();
    Expected { threshold: mean / 2.0, alpha: mean, deviations: [deviation / 2.0, deviation] }
}

/// Absmedian has α = median|w| and Δ = α/2. The estimate of a median deviates by ½/density/√N.
fn absmedian() -> Expected {
    let median = 0.674_489_750_196;
    let mut expected = Expected { threshold: median / 2.0, alpha: median, deviations: [0.0; 2] };
    let density_at_median = Expected { threshold: median, ..expected }.density_at_threshold();
    let deviation = 0.5 / density_at_median / root_samples();
    expected.deviations = [deviation / 2.0, deviation];
    expected
}

/// TWN has Δ = f·mean|w|; α is a mean over the kept share p, with the deviation of that mean, and it
/// moves with Δ by dα/dΔ = (α − Δ)·density(Δ)/p.
fn twn(factor: f64) -> Expected {
    let (mean, deviation) = mean_magnitude();
    let threshold = factor * mean;
    let kept = expectation(threshold, FAR, |_| 1.0);
    let alpha = expectation(threshold, FAR, |x| x) / kept;
    let mut expected = Expected { threshold, alpha, deviations: [factor * deviation, 0.0] };
    let variance = expectation(threshold, FAR, |x| (x - alpha).powi(2)) / kept;
    let slope = (alpha - threshold) * expected.density_at_threshold() / kept;
    expected.deviations[1] =
        (variance / kept).sqrt() / root_samples() + slope * expected.deviations[0];
    expected
}

/// Lloyd and Max: α is the root of g(α) = E[(|w| − α) over |w| > α/2] and Δ = α/2. The estimate of the
/// root deviates by the deviation of g divided by −g'(α) = p − α/4 · density(α/2).
fn lloyd_max() -> Expected {
    let (mut low, mut high) = (1.0, 1.5);
    for _ in 0..40 {
        let middle = 0.5 * (low + high);
        let above = expectation(0.5 * middle, FAR, |x| x - middle) > 0.0;
        (low, high) = if above { (middle, high) } else { (low, middle) };
    }
    let mut expected = Expected { threshold: low / 2.0, alpha: low, deviations: [0.0; 2] };
    let variance = expectation(low / 2.0, FAR, |x| (x - low).powi(2));
    let slope = 1.0 - expected.zeros() - low / 4.0 * expected.density_at_threshold();
    let deviation = variance.sqrt() / slope / root_samples();
    expected.deviations = [deviation / 2.0, deviation];
    expected
}

#[test]
fn the_integrals_are_the_numbers_of_the_literature() {
    let rows = [
        (absmean(), [0.399, 0.310, 0.798, 0.263], 5e-4),
        (absmedian(), [0.337, 0.264, 0.674, 0.317_97], 5e-6),
        (twn(0.70), [0.559, 0.424, 1.184, 0.1916], 5e-5),
        (twn(0.75), [0.598, 0.450, 1.214, 0.1903], 5e-5),
        (lloyd_max(), [0.612, 0.459, 1.224, 0.1902], 5e-5),
    ];
    for (index, (expected, numbers, error_rounding)) in rows.into_iter().enumerate() {
        let found =
            [expected.threshold, expected.zeros(), expected.alpha, expected.error_moment(1)];
        let rounding = [5e-4, 5e-4, 5e-4, error_rounding];
        for ((found, number), rounding) in found.into_iter().zip(numbers).zip(rounding) {
            assert!((found - number).abs() <= rounding, "row {index}: {found} and {number}");
        }
    }
}

#[test]
fn a_million_samples_agree_with_the_integrals_to_four_standard_deviations() {
    let mut weights = vec![0.0; SAMPLES];
    Noise::new(2016, 0, 0).fill_normal(0, &mut weights);
    let twn_early = Twn::with_factor(Granularity::Tensor, 0.7).unwrap();
    let rules: [(&dyn Quantizer, Expected); 5] = [
        (&Absmean::new(Granularity::Tensor), absmean()),
        (&Absmedian::new(Granularity::Tensor), absmedian()),
        (&twn_early, twn(0.70)),
        (&Twn::new(Granularity::Tensor), twn(0.75)),
        (&Optimal::new(Granularity::Tensor), lloyd_max()),
    ];
    for (rule, expected) in rules {
        let levels: Levels = rule.fit(0, Weights::F32(&weights)).unwrap();
        let matrix =
            TernaryMatrix::quantize(1000, 1000, &weights[..], rule, Packing::TwoBit).unwrap();
        let counts = TritCounts::of(matrix.codes());
        let mse = Fidelity::between(&weights[..], &matrix).unwrap().mse;
        // A share deviates by √(p(1 − p)/N), and by the density times the deviation of Δ. The error is
        // the mean of e², with the slopes −2·(w − α) in α and (Δ² − (Δ − α)²)·density in Δ.
        let zeros = expected.zeros();
        let [threshold_deviation, alpha_deviation] = expected.deviations;
        let density = expected.density_at_threshold();
        let zeros_deviation =
            (zeros * (1.0 - zeros)).sqrt() / root_samples() + density * threshold_deviation;
        let (threshold, alpha) = (expected.threshold, expected.alpha);
        let error = expected.error_moment(1);
        let spread = (expected.error_moment(2) - error * error).sqrt() / root_samples();
        let in_alpha = 2.0 * expectation(threshold, FAR, |x| x - alpha).abs();
        let in_threshold = (threshold.powi(2) - (threshold - alpha).powi(2)).abs() * density;
        // Both signs are equally frequent, so the entropy follows from the zeros, with this slope.
        let bits = -zeros * zeros.log2() - (1.0 - zeros) * ((1.0 - zeros) / 2.0).log2();
        let slope = ((1.0 - zeros) / (2.0 * zeros)).log2().abs();
        let cases = [
            ("threshold", f64::from(levels.threshold), threshold, threshold_deviation),
            ("alpha", f64::from(levels.positive), alpha, alpha_deviation),
            ("zeros", counts.sparsity(), zeros, zeros_deviation),
            ("bits", counts.effective_bits(), bits, slope * zeros_deviation),
            (
                "error",
                mse,
                error,
                spread + in_alpha * alpha_deviation + in_threshold * threshold_deviation,
            ),
        ];
        for (what, found, expected, deviation) in cases {
            assert!(
                (found - expected).abs() < 4.0 * deviation,
                "{} {what}: {found}, expected {expected} ± {deviation}",
                rule.name()
            );
        }
    }
}
