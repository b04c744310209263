//! Levels that training changes: the learned parameters of a quantiser and their gradients.

use ste::{AnyEstimator, Group, Lsq, ParameterGradient, Seq, Ttq};
use ternary_core::quantize::{self, MIN_SCALE, TtqParameters};
use ternary_core::{
    Granularity, Levels, Quantizer, Real, Result, Scales, TernaryMatrix, Weights, mutant,
};

use crate::gradients::Gradients;
use crate::parameters::{ParameterId, Parameters};

/// A rule whose parameters training changes, with the estimator of the same name in [`ste`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LearnedRule {
    /// [`quantize::Seq`], with α of each scaling group as `{name}.scale`.
    Seq,
    /// [`quantize::Lsq`], with α of each scaling group as `{name}.scale`.
    Lsq,
    /// [`quantize::Ttq`], with W_p, W_n and t as `{name}.positive_scale`, `{name}.negative_scale` and
    /// `{name}.threshold`.
    Ttq {
        /// t to start from.
        threshold: f32,
        /// Whether training changes t, which in the paper it does not.
        is_threshold_learned: bool,
    },
}

/// Levels that each layer learns for itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearnedLevels {
    /// The rule.
    pub rule: LearnedRule,
    /// How many weights share its parameters.
    pub granularity: Granularity,
}

impl LearnedRule {
    pub(super) fn estimator(self) -> &'static dyn AnyEstimator {
        match self {
            Self::Seq => &Seq,
            Self::Lsq => &Lsq,
            Self::Ttq { .. } => &Ttq,
        }
    }

    fn gradient<T: Real>(self) -> &'static dyn ParameterGradient<T> {
        match self {
            Self::Seq => &Seq,
            Self::Lsq => &Lsq,
            Self::Ttq { .. } => &Ttq,
        }
    }

    /// The names of what is learned, in the order of [`ParameterGradient::add`].
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Seq | Self::Lsq => &["scale"],
            Self::Ttq { is_threshold_learned: false, .. } => &["positive_scale", "negative_scale"],
            Self::Ttq { .. } => &["positive_scale", "negative_scale", "threshold"],
        }
    }
}

/// One learned parameter: a number for each scaling group.
#[derive(Debug, Clone)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) id: ParameterId,
    pub(super) values: Vec<f32>,
}

/// The learned parameters of the levels of a matrix; they have values while it has latent weights.
#[derive(Debug, Clone)]
pub(super) struct Learned {
    levels: LearnedLevels,
    parameters: Vec<Parameter>,
}

/// Most parameters that a rule has.
pub(super) const MOST: usize = 3;
/// Weights that enter a gradient at a time.
const CHUNK: usize = 512;

impl Learned {
    /// Declares the parameters of a matrix, without values.
    pub(super) fn declare(
        layer: &str,
        levels: LearnedLevels,
        groups: usize,
        parameters: &mut Parameters,
    ) -> crate::Result<Self> {
        let declare = |&what: &&str| {
            let name = format!("{layer}.{what}");
            let id = parameters.declare_noiseless(name.clone(), &[groups])?;
            Ok(Parameter { name, id, values: Vec::new() })
        };
        let parameters = levels.rule.names().iter().map(declare).collect::<crate::Result<_>>()?;
        Ok(Self { levels, parameters })
    }

    /// The parameters, while they have values.
    pub(super) fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The same, for an optimiser.
    pub(super) fn parameters_mut(&mut self) -> &mut [Parameter] {
        &mut self.parameters
    }

    /// The values that the rule starts from.
    pub(super) fn start(
        levels: LearnedLevels,
        rows: usize,
        cols: usize,
        weights: Weights<'_>,
    ) -> Result<[Vec<f32>; MOST]> {
        let granularity = levels.granularity;
        Ok(match levels.rule {
            LearnedRule::Seq => {
                let rule = quantize::Seq::initialised(granularity, rows, cols, weights)?;
                [rule.alpha().to_vec(), Vec::new(), Vec::new()]
            }
            LearnedRule::Lsq => {
                let rule = quantize::Lsq::initialised(granularity, rows, cols, weights)?;
                [rule.alpha().to_vec(), Vec::new(), Vec::new()]
            }
            LearnedRule::Ttq { threshold, .. } => {
                let rule = quantize::Ttq::initialised(granularity, rows, cols, weights, threshold)?;
                let of = |part: fn(&TtqParameters) -> f32| rule.parameters().iter().map(part);
                [
                    of(|group| group.positive.max(MIN_SCALE)).collect(),
                    of(|group| group.negative.max(MIN_SCALE)).collect(),
                    of(|group| group.threshold).collect(),
                ]
            }
        })
    }

    /// The values under which the numbers of a ternary matrix keep their codes. A threshold is that of the
    /// start, or less where the smaller magnitude would not pass it.
    pub(super) fn start_from_ternary(levels: LearnedLevels, scales: &Scales) -> [Vec<f32>; MOST] {
        let least = |scales: &[f32]| scales.iter().map(|w| w.max(MIN_SCALE)).collect::<Vec<_>>();
        let (positive, negative) = (least(scales.positive()), least(scales.negative()));
        match levels.rule {
            LearnedRule::Seq => {
                [positive.iter().map(|w| 1.5 * w).collect(), Vec::new(), Vec::new()]
            }
            LearnedRule::Lsq => [positive, Vec::new(), Vec::new()],
            LearnedRule::Ttq { threshold, .. } => {
                let half = |(p, n): (&f32, &f32)| threshold.min(0.5 * p.min(*n) / p.max(*n));
                let thresholds = positive.iter().zip(&negative).map(half).collect();
                [positive, negative, thresholds]
            }
        }
    }

    /// The rule with values for its parameters.
    pub(super) fn quantizer(
        levels: LearnedLevels,
        [first, second, third]: [Vec<f32>; MOST],
    ) -> Result<Box<dyn Quantizer>> {
        let granularity = levels.granularity;
        Ok(match levels.rule {
            LearnedRule::Seq => Box::new(quantize::Seq::new(granularity, first)?),
            LearnedRule::Lsq => Box::new(quantize::Lsq::new(granularity, first)?),
            LearnedRule::Ttq { .. } => {
                let groups = first.into_iter().zip(second).zip(third);
                let parameters = groups
                    .map(|((positive, negative), threshold)| TtqParameters {
                        threshold,
                        negative,
                        positive,
                    })
                    .collect();
                Box::new(quantize::Ttq::new(granularity, parameters)?)
            }
        })
    }

    /// Takes values; those of a threshold that is not learned stay with the rule.
    pub(super) fn set(&mut self, values: [Vec<f32>; MOST]) {
        for (parameter, values) in self.parameters.iter_mut().zip(values) {
            parameter.values = values;
        }
    }

    /// Whether the parameters have values.
    pub(super) fn is_set(&self) -> bool {
        self.parameters.iter().all(|parameter| !parameter.values.is_empty())
    }

    /// Forgets the values.
    pub(super) fn clear(&mut self) {
        self.parameters.iter_mut().for_each(|parameter| parameter.values = Vec::new());
    }

    /// The rule as the parameters are now, after those that an optimiser led out of their range are put
    /// back into it: scales are at least [`MIN_SCALE`], and a threshold is in [0, 1).
    pub(super) fn current(&mut self) -> Result<Box<dyn Quantizer>> {
        for (index, Parameter { values, .. }) in self.parameters.iter_mut().enumerate() {
            let (low, high) =
                if index == MOST - 1 { (0.0, 1.0_f32.next_down()) } else { (MIN_SCALE, f32::MAX) };
            // What is not finite is refused by the rule.
            for value in values.iter_mut().filter(|value| value.is_finite()) {
                *value = value.clamp(low, high);
            }
        }
        let groups = self.parameters[0].values.len();
        let mut values = [const { Vec::new() }; MOST];
        if let LearnedRule::Ttq { threshold, .. } = self.levels.rule {
            values[MOST - 1] = vec![threshold; groups];
        }
        for (value, parameter) in values.iter_mut().zip(&self.parameters) {
            value.clone_from(&parameter.values);
        }
        Self::quantizer(self.levels, values)
    }

    /// Adds the gradients of the parameters, from dL/dq of the quantised weights: λ times what the rule
    /// says, with the trits of `matrix` as the forward had them.
    pub(super) fn add_gradients<T: Real>(
        &self,
        weight: ParameterId,
        latent: Weights<'_>,
        levels: &[Levels],
        matrix: &TernaryMatrix,
        lambda: f32,
        gradients: &mut Gradients<T>,
    ) {
        let trits = matrix.to_trits();
        let each = latent.len().checked_div(levels.len()).unwrap_or(0);
        for (index, &levels) in levels.iter().enumerate() {
            let range = index * each..(index + 1) * each;
            let (latent, trits) = (latent.slice(range.clone()), &trits[range.clone()]);
            let mut sums = [0.0; MOST];
            let upstream = &gradients.get(weight)[range];
            self.add_sums(latent, trits, upstream, (levels, largest(latent)), &mut sums);
            self.add_group(index, &sums, matrix.rows() * matrix.cols(), lambda, gradients);
        }
    }

    /// Adds Σ dL/dq · ∂ψ/∂p over some weights of a group to `sums`, given the levels and max|w| of that
    /// group.
    pub(super) fn add_sums<T: Real>(
        &self,
        latent: Weights<'_>,
        trits: &[i8],
        upstream: &[T],
        (levels, largest): (Levels, f32),
        sums: &mut [f64; MOST],
    ) {
        let rule = self.levels.rule.gradient::<T>();
        let (mut wide, mut numbers) = ([0.0_f32; CHUNK], [T::ZERO; CHUNK]);
        for start in (0..latent.len()).step_by(CHUNK) {
            let range = start..latent.len().min(start + CHUNK);
            let (wide, numbers) = (&mut wide[..range.len()], &mut numbers[..range.len()]);
            latent.slice(range.clone()).widen(wide);
            numbers.iter_mut().zip(&*wide).for_each(|(number, &w)| *number = T::from_f32(w));
            let (trits, upstream) = (&trits[range.clone()], &upstream[range]);
            rule.add(&Group { latent: numbers, trits, upstream, levels, largest }, sums);
        }
    }

    /// Adds the gradients of the parameters of group `index`, from sums over all its weights. `numbers`
    /// are the weights that the parameters decide on, those of other groups included.
    pub(super) fn add_group<T: Real>(
        &self,
        index: usize,
        sums: &[f64; MOST],
        numbers: usize,
        lambda: f32,
        gradients: &mut Gradients<T>,
    ) {
        let lambda = mutant!("BitLinear/ramp left out of learned levels", f64::from(lambda), 1.0);
        let factor = lambda * self.levels.rule.gradient::<T>().factor(numbers);
        for (parameter, sum) in self.parameters.iter().zip(sums) {
            let Some(gradient) = gradients.get_mut(parameter.id) else { continue };
            let gradient = &mut gradient[index];
            let own = T::from_f64(factor * sum);
            *gradient = mutant!("BitLinear/learned levels overwritten", *gradient + own, own);
        }
    }

    pub(super) fn size_bytes(&self) -> usize {
        let of = |parameter: &Parameter| {
            parameter.values.capacity() * size_of::<f32>() + parameter.name.capacity()
        };
        self.parameters.iter().map(of).sum::<usize>()
            + self.parameters.capacity() * size_of::<Parameter>()
    }
}

/// max|w|.
pub(super) fn largest(weights: Weights<'_>) -> f32 {
    let mut largest = 0.0_f32;
    weights.for_each_chunk(|chunk| {
        largest = chunk.iter().fold(largest, |max, w| max.max(w.abs()));
    });
    largest
}
