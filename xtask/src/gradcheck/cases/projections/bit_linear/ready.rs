//! A [`BitLinear`] to check: built, with its codes decided, and what it computes around there.

use nn::{
    BitLinear, BitLinearOptions, Compute, Gradients, Input, Module, Parameters, Projection,
    ShadowPrecision, Tape, Update,
};

use super::Kind;
use crate::gradcheck::case::Outcome;
use crate::gradcheck::cases::op::{narrow, widen};
use crate::gradcheck::cases::projections::surrogate::{Latent, Surrogate};
use crate::gradcheck::values::signed;

/// A layer with its codes decided, and the point around which.
pub(super) struct Ready<P> {
    pub(super) layer: BitLinear<P>,
    pub(super) parameters: Parameters,
    pub(super) latent: Latent,
    pub(super) bias: Vec<f64>,
}

impl Kind {
    /// Draws a layer, and decides its codes.
    pub(super) fn build<P: ShadowPrecision>(
        &self,
        case: &str,
        [outputs, inputs]: [usize; 2],
    ) -> Outcome<Ready<P>> {
        let mut parameters = Parameters::new();
        let options = BitLinearOptions {
            quantizer: (self.quantizer)()?,
            estimator: self.estimator.clone(),
            activations: self.activations,
            scale_average: self.unsteady[0],
            boundary_noise: self.unsteady[1],
            dead_bias: self.dead_bias,
            ..BitLinearOptions::default()
        };
        let random = |what: &str, count| signed(&format!("{case}/{what}"), count);
        let shadow = |what: &str| -> Vec<P> {
            random(what, outputs * inputs).iter().map(|&w| P::from_f32(w as f32)).collect()
        };
        let mut layer =
            BitLinear::from_weight("case", inputs, shadow("first"), options, &mut parameters)?;
        if self.has_bias {
            layer = layer.with_bias(&mut parameters)?;
        }
        let bias = narrow(&random("bias", if self.has_bias { outputs } else { 0 }));
        if let Some(own) = layer.bias_mut() {
            own.copy_from_slice(&bias);
        }
        // Weights that have moved since the levels were fitted first.
        let weights = shadow("latent");
        layer.shadow_mut().ok_or("no latent weights")?.copy_from_slice(&weights);
        let update = Update { lambda: self.lambda, ..Update::hard(7, 1) };
        layer.decide_codes(update)?;
        let values: Vec<f64> = weights.iter().map(|w| f64::from(w.to_f32())).collect();
        let each = values.len() / layer.levels().len();
        let levels = layer.levels().iter().flat_map(|&levels| vec![levels; each]).collect();
        let lambda = f64::from(self.lambda);
        let (estimator, progress) = (self.estimator.clone(), update.progress());
        let latent = Latent { values, lambda, estimator, progress, levels };
        if self.is_frozen {
            layer.drop_shadow();
        }
        Ok(Ready { layer, parameters, latent, bias: widen(&bias) })
    }
}

impl<P: ShadowPrecision> Ready<P> {
    /// Q₀: what the forward multiplies by, the blend of a ramp in `f32`.
    pub(super) fn weights(&self) -> Vec<f64> {
        let quantized = self.layer.weight().to_f32();
        let blend = |(&q, &w): (&f32, &f64)| {
            let (w, lambda) = (w as f32, self.layer.lambda());
            f64::from(if lambda < 1.0 { w + lambda * (q - w) } else { q })
        };
        quantized.iter().zip(&self.latent.values).map(blend).collect()
    }

    /// What is added to each output, in the precision and the order of the layer, at latent weights `w`: δ
    /// times the ramp's λ of their sum where codes are zero, and the bias.
    pub(super) fn added(&self, w: &[f64], bias: &[f64]) -> Vec<f64> {
        let factor = self.layer.options().dead_bias;
        if factor == 0.0 {
            return bias.to_vec();
        }
        let (codes, lambda) = (self.layer.weight().to_f32(), self.layer.lambda());
        let [outputs, inputs] = [self.layer.weight().rows(), self.layer.weight().cols()];
        let sum = |w: &[f64], row: usize| -> f64 {
            let weights = (row * inputs..(row + 1) * inputs).filter(|&i| codes[i] == 0.0);
            weights.map(|i| w[i]).sum()
        };
        let added = |row: usize| {
            let before = sum(&self.latent.values, row);
            let mut added = lambda * (f64::from(factor) * before) as f32;
            let own = self.bias.get(row).copied();
            added += own.unwrap_or(0.0) as f32;
            // From the numbers that the layer rounds, on to those that it does not see.
            let moved = f64::from(lambda) * f64::from(factor) * (sum(w, row) - before);
            f64::from(added) + moved + own.map_or(0.0, |own| bias[row] - own)
        };
        (0..outputs).map(added).collect()
    }

    pub(super) fn surrogate(&self, x: &[f64]) -> Outcome<Surrogate> {
        let inputs = self.layer.weight().cols();
        let activations = self.layer.options().activations;
        let latent = self.layer.shadow().map(|_| self.latent.clone());
        Surrogate::new(inputs, activations, x, self.weights(), latent)
    }

    /// Forward, backward and the end of an update, added to the gradients of input, weights and bias.
    pub(super) fn step<T: Compute>(
        &self,
        x: &[T],
        upstream: &[T],
        [dx, dw, db]: [&mut [T]; 3],
    ) -> Outcome<Vec<T>> {
        let mut gradients = Gradients::zeros(&self.parameters);
        let ids: Vec<_> = self.parameters.ids().collect();
        let mut tape = Tape::recording();
        let earlier: Vec<T> = x.iter().rev().map(|&x| x + T::HALF).collect();
        let y = self.forward(&earlier, &mut tape)?;
        self.backward(&y, &mut vec![T::ZERO; x.len()], &mut tape, &mut gradients)?;

        gradients.clear();
        gradients.get_mut(ids[0]).expect("one that is not frozen").copy_from_slice(dw);
        let bias = self.parameters.find("case.bias");
        if let Some(bias) = bias {
            gradients.get_mut(bias).expect("one that is not frozen").copy_from_slice(db);
        }
        let y = self.forward(x, &mut tape)?;
        self.backward(upstream, dx, &mut tape, &mut gradients)?;
        if let Some(bias) = bias {
            db.copy_from_slice(gradients.get(bias));
        }
        // The end of an update turns the whole of dQ into dW, so what was held is taken out first.
        let dq = gradients.get_mut(ids[0]).expect("one that is not frozen");
        dq.iter_mut().zip(&*dw).for_each(|(dq, &held)| *dq = *dq - held);
        self.layer.finish_gradients(&mut gradients)?;
        dw.iter_mut().zip(gradients.get(ids[0])).for_each(|(dw, &d)| *dw += d);
        if !tape.is_empty() {
            return Err("the backward left something on the tape".into());
        }
        Ok(y)
    }

    fn forward<T: Compute>(&self, x: &[T], tape: &mut Tape<T>) -> Outcome<Vec<T>> {
        let mut input = Input::new("case", x.to_vec(), self.layer.weight().cols())?;
        let mut y = vec![T::ZERO; input.rows() * self.layer.weight().rows()];
        self.layer.forward(&mut input, &mut y, tape)?;
        tape.save_input(input);
        Ok(y)
    }

    fn backward<T: Compute>(
        &self,
        upstream: &[T],
        dx: &mut [T],
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Outcome {
        let input = tape.restore_input("case")?;
        self.layer.backward(&input, upstream, Some(dx), tape, gradients)?;
        tape.recycle(input);
        Ok(())
    }
}
