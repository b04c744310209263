//! [`BitLinear`]: a ternary projection that trains.

pub(super) mod codes;
mod dead_bias;
mod options;
mod projection;
mod shadow;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use ste::Progress;
use ternary_core::{Levels, TernaryMatrix, Weights};

use super::bias::Bias;
use super::dense::gaussian;
use super::learned::Learned;
use crate::error::{InLayer, Result, check_size};
use crate::module::{Memory, Update};
use crate::parameters::{ParameterId, Parameters};
use dead_bias::DeadBias;

pub use options::BitLinearOptions;
pub use shadow::ShadowPrecision;

/// y = x̂ · Q(W)ᵀ + b: packed ternary weights `[outputs, inputs]`, and the latent weights W that an
/// optimiser changes (BitNet b1.58, arXiv 2402.17764, for any quantiser and any estimator).
///
/// ```text
/// forward    x̂ = int8 rows (or x),  y = x̂ · Q(W)ᵀ + b         the integer kernel
/// backward   dx += dy · Q(W),  dQ += dyᵀ · x̂,  db += Σ dy     activations straight through
/// finish     dW = estimator(dQ)                               once an update
/// requantise W → levels → codes                               once an update
/// ```
///
/// With λ < 1 the weights are W + λ·(Q(W) − W), in floats; then dW = (1 − λ)·dQ + λ·estimator(dQ). An
/// estimator that relaxes the quantiser ([`Estimator::relax`](ste::Estimator::relax)) puts its own
/// function in the place of Q. At λ = 1 and with Q itself, training and inference compute the same bits:
/// both run this forward.
///
/// Levels are fitted to the latent weights, or learned ([`BitLinearOptions::learned`]): parameters of
/// their own, whose gradients `finish` takes from dQ, and which requantisation puts back into their range.
/// Or they are those of a group of matrices ([`SharedLevels`](crate::SharedLevels)).
///
/// Under Tequila ([`BitLinearOptions::dead_bias`]) the weights that are zero add to their output whatever x is,
/// and their gradient has a part that no estimator touches (arXiv 2509.23809):
///
/// ```text
/// forward    y_o += λ·δ·Σ w_oi          δ: the option, λ: the ramp's; Σ over the i with Q(w_oi) = 0
/// finish     dW_oi += λ·δ·Σ dy_o        for those i, Σ over the rows of all batches
/// ```
///
/// The sums are taken once a requantisation, and stay as they are without latent weights; inference has
/// them, with the trained bias after them, as one bias. A row that is looked up is one of Q(W): no bias
/// belongs to it.
///
/// Without its latent weights ([`BitLinear::drop_shadow`]) the layer is frozen, but for the bias.
///
/// ```
/// use nn::{BitLinear, BitLinearOptions, Input, Parameters, Projection, Tape};
///
/// let mut parameters = Parameters::new();
/// let weight = vec![0.9, -0.1, -1.1, 0.2, 1.0, 0.6];
/// let layer =
///     BitLinear::<f32>::from_weight("up", 3, weight, BitLinearOptions::default(), &mut parameters)?;
/// assert_eq!(layer.weight().to_trits(), [1, 0, -1, 0, 1, 1]);
/// let mut input = Input::new("up", vec![127.0_f32, 2.0, 3.0], 3)?;
/// let mut y = [0.0; 2];
/// layer.forward(&mut input, &mut y, &mut Tape::recording())?;
/// assert_eq!(y, [0.65 * 124.0, 0.65 * 5.0]);
/// # Ok::<(), nn::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct BitLinear<P = f32> {
    name: String,
    weight_name: String,
    id: ParameterId,
    base: TernaryMatrix,
    shadow: Option<Vec<P>>,
    levels: Vec<Levels>,
    learned: Option<Learned>,
    dead: Option<DeadBias>,
    options: BitLinearOptions,
    lambda: f32,
    progress: Progress,
    /// The weights of the forward while it does not compute with the ternary ones.
    soft: Vec<f32>,
    /// Latent weights under boundary noise, or on their way to soft ones.
    noisy: Vec<f32>,
    bias: Option<Bias<f32>>,
}

impl<P: ShadowPrecision> BitLinear<P> {
    /// Takes latent weights, rows of `inputs`, declared as `{name}.weight`, and quantises them.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for partial rows, [`Error::Core`](crate::Error::Core) for
    /// weights that are not finite or a group that does not divide the row,
    /// [`Error::Setting`](crate::Error::Setting) for options out of range,
    /// [`Error::Parameter`](crate::Error::Parameter) for a name that is taken.
    pub fn from_weight(
        name: &str,
        inputs: usize,
        weight: Vec<P>,
        options: BitLinearOptions,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        let outputs = weight.len().checked_div(inputs).unwrap_or(0);
        check_size(name, "numbers in rows of weights", outputs * inputs, weight.len())?;
        let weights = P::weights(&weight);
        let start =
            options.learned.map(|learned| Learned::start(learned, outputs, inputs, weights));
        let start = start.transpose().in_layer(name)?;
        let rule = codes::rule(&options, start.clone()).in_layer(name)?;
        let base = TernaryMatrix::quantize(outputs, inputs, weights, &*rule, options.packing);
        let (base, mut levels) = (base.in_layer(name)?, Vec::new());
        codes::fit(&*rule, 0.0, weights, &mut levels, base.scales().len()).in_layer(name)?;
        let mut layer = Self::from_ternary(name, base, options, parameters)?;
        layer.levels = levels;
        layer.shadow = Some(weight);
        if let (Some(learned), Some(start)) = (&mut layer.learned, start) {
            learned.set(start);
        }
        layer.fit_dead();
        Ok(layer)
    }

    /// Draws latent weights from a Gaussian, as [`Dense::random`](crate::Dense::random) does.
    ///
    /// # Errors
    /// As [`BitLinear::from_weight`], and [`Error::Parameter`](crate::Error::Parameter) for a shape
    /// beyond the address space.
    pub fn random(
        name: &str,
        [outputs, inputs]: [usize; 2],
        deviation: f64,
        seed: u64,
        options: BitLinearOptions,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        let weight = gaussian::<f32>(name, [outputs, inputs], deviation, seed, parameters)?;
        let weight = weight.into_iter().map(P::from_f32).collect();
        Self::from_weight(name, inputs, weight, options, parameters)
    }

    /// Takes ternary weights as they are, without latent ones.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting), [`Error::Parameter`](crate::Error::Parameter).
    pub fn from_ternary(
        name: &str,
        weight: TernaryMatrix,
        options: BitLinearOptions,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        options.check(name)?;
        let weight_name = format!("{name}.weight");
        let id = parameters.declare(weight_name.clone(), &[weight.rows(), weight.cols()])?;
        let learned = match options.learned {
            Some(learned) if !options.is_shared => {
                let groups = learned.granularity.count(weight.rows(), weight.cols());
                Some(Learned::declare(name, learned, groups.in_layer(name)?, parameters)?)
            }
            _ => None,
        };
        let (outputs, factor) = (weight.rows(), options.dead_bias);
        let dead = (factor > 0.0).then(|| DeadBias::declare(name, factor, outputs, parameters));
        Ok(Self {
            name: name.to_owned(),
            weight_name,
            id,
            base: weight,
            shadow: None,
            levels: Vec::new(),
            learned,
            dead: dead.transpose()?,
            options,
            lambda: 1.0,
            progress: Progress::DONE,
            soft: Vec::new(),
            noisy: Vec::new(),
            bias: None,
        })
    }

    /// Adds a bias of zeros, declared as `{name}.bias`.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) for a name that is taken.
    pub fn with_bias(mut self, parameters: &mut Parameters) -> Result<Self> {
        self.bias = Some(Bias::declare(&self.name, self.base.rows(), parameters)?);
        Ok(self)
    }

    /// The ternary weights.
    pub fn weight(&self) -> &TernaryMatrix {
        &self.base
    }

    /// The latent weights, while they are kept.
    pub fn shadow(&self) -> Option<&[P]> {
        self.shadow.as_deref()
    }

    /// The latent weights as a quantiser reads them.
    fn latent(&self) -> Weights<'_> {
        P::weights(self.shadow.as_deref().unwrap_or_default())
    }

    /// The latent weights, to be changed; [`BitLinear::decide_codes`] makes the change count.
    pub fn shadow_mut(&mut self) -> Option<&mut [P]> {
        self.shadow.as_deref_mut()
    }

    /// The bias, to be changed.
    pub fn bias_mut(&mut self) -> Option<&mut [f32]> {
        self.bias.as_mut().map(|bias| &mut bias.values[..])
    }

    /// The levels that the codes were decided by, for each scaling group; none without latent weights.
    pub fn levels(&self) -> &[Levels] {
        &self.levels
    }

    /// How it quantises.
    pub fn options(&self) -> &BitLinearOptions {
        &self.options
    }

    /// λ of the last requantisation.
    pub fn lambda(&self) -> f32 {
        self.lambda
    }

    /// Whether the forward computes with the ternary weights, as inference does.
    pub fn is_hard(&self) -> bool {
        self.soft.is_empty()
    }

    /// Makes latent weights that equal the ternary ones, so that training can go on from them. The codes, and
    /// the bias of weights that are zero, stay as they are until the next requantisation.
    ///
    /// # Errors
    /// [`Error::Core`](crate::Error::Core) when the rule has other scales than the ternary weights, or
    /// refuses them: nothing has changed then.
    pub fn init_shadow_from_ternary(&mut self) -> Result<()> {
        let shadow: Vec<P> = self.base.to_f32().into_iter().map(P::from_f32).collect();
        let weights = P::weights(&shadow);
        let start = |learned| Learned::start_from_ternary(learned, self.base.scales());
        let start = self.options.learned.map(start);
        let rule = codes::rule(&self.options, start.clone()).in_layer(&self.name)?;
        let levels = codes::first_fit(&*rule, weights, &self.base);
        self.levels = levels.in_layer(&self.name)?;
        if let (Some(learned), Some(start)) = (&mut self.learned, start) {
            learned.set(start);
        }
        self.shadow = Some(shadow);
        Ok(())
    }

    /// Forgets the latent weights: the layer is ternary, λ = 1, and frozen from now on.
    pub fn drop_shadow(&mut self) {
        self.shadow = None;
        if let Some(learned) = &mut self.learned {
            learned.clear();
        }
        self.lambda = 1.0;
        (self.levels, self.soft, self.noisy) = (Vec::new(), Vec::new(), Vec::new());
    }

    /// Decides the codes anew from the latent weights, if there are any.
    ///
    /// # Errors
    /// [`Error::Core`](crate::Error::Core) for latent weights or learned levels that are not finite: nothing
    /// has changed then;
    /// [`Error::Setting`](crate::Error::Setting) for a λ outside 0 ..= 1, or without the levels of the
    /// group that it shares them with.
    pub fn decide_codes(&mut self, update: Update) -> Result<()> {
        self.check_lambda(update.lambda)?;
        let Some(shadow) = &self.shadow else { return Ok(()) };
        P::weights(shadow).check_finite().in_layer(&self.name)?;
        match update.levels {
            _ if !self.options.is_shared => self.fit()?,
            Some(levels) => self.levels.fill(levels),
            None => return Err(self.without_group()),
        }
        self.decide_by_levels(update)
    }

    /// Decides the codes, and all that follows from them, by the levels as they are.
    fn decide_by_levels(&mut self, update: Update) -> Result<()> {
        self.check_lambda(update.lambda)?;
        let Self { options, id, levels, noisy, base, shadow, soft, .. } = self;
        let Some(shadow) = shadow else { return Ok(()) };
        let weights = P::weights(shadow);
        codes::decide(options, *id, update, weights, levels, noisy, base).in_layer(&self.name)?;
        let estimator = options.estimator();
        codes::soften(estimator, update, weights, levels, base, noisy, soft);
        (self.lambda, self.progress) = (update.lambda, update.progress());
        self.fit_dead();
        Ok(())
    }

    /// Takes the sums of the weights that are zero.
    fn fit_dead(&mut self) {
        if let (Some(dead), Some(shadow)) = (&mut self.dead, &self.shadow) {
            dead.fit(shadow, &self.base);
        }
    }

    /// What is added to each output under a ramp of `lambda`: the weights that are zero, then the bias.
    fn added(&self, lambda: f32) -> Option<Cow<'_, [f32]>> {
        let own = self.bias.as_ref().map(|bias| &bias.values[..]);
        let Some(dead) = self.dead.as_ref().and_then(DeadBias::values) else {
            return own.map(Cow::Borrowed);
        };
        if lambda == 1.0 && own.is_none() {
            return Some(Cow::Borrowed(dead));
        }
        let mut added: Vec<f32> = dead.iter().map(|dead| lambda * dead).collect();
        for (added, own) in added.iter_mut().zip(own.into_iter().flatten()) {
            *added += own;
        }
        Some(Cow::Owned(added))
    }

    /// Fits the levels to the latent weights.
    fn fit(&mut self) -> Result<()> {
        let Some(shadow) = &self.shadow else { return Ok(()) };
        let groups = self.base.scales().len();
        let learned =
            self.learned.as_mut().map(Learned::current).transpose().in_layer(&self.name)?;
        let rule = learned.as_deref().unwrap_or(&*self.options.quantizer);
        let average = self.options.scale_average;
        codes::fit(rule, average, P::weights(shadow), &mut self.levels, groups).in_layer(&self.name)
    }

    fn without_group(&self) -> crate::Error {
        crate::Error::Setting {
            layer: self.name.clone(),
            what: "levels of an update",
            expected: "those that a group shares (SharedLevels)",
            found: "none".into(),
        }
    }

    fn check_lambda(&self, lambda: f32) -> Result<()> {
        if (0.0..=1.0).contains(&lambda) {
            return Ok(());
        }
        Err(crate::Error::Setting {
            layer: self.name.clone(),
            what: "λ of the ramp",
            expected: "0 to 1",
            found: lambda.to_string(),
        })
    }

    /// What the layer holds on the heap, to the byte; the options are shared and not counted.
    pub fn allocated(&self) -> Memory {
        let floats = self.soft.capacity() + self.noisy.capacity();
        let names = self.name.capacity() + self.weight_name.capacity();
        let levels = self.levels.capacity() * size_of::<Levels>();
        let bias = self.bias.as_ref().map_or(0, Bias::size_bytes);
        let learned = self.learned.as_ref().map_or(0, Learned::size_bytes);
        let dead = self.dead.as_ref().map_or(0, DeadBias::size_bytes);
        Memory {
            packed: self.base.size_bytes(),
            latent: self.shadow.as_ref().map_or(0, |shadow| shadow.capacity() * size_of::<P>()),
            other: floats * size_of::<f32>() + names + levels + learned + dead + bias,
        }
    }
}
