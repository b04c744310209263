//! The model: layers of the shape of Qwen3.5-0.8B, random weights, and adapters.

use lora_backward::{Adapter, Adapters, Scaling};
use models::{
    Base, Decoder, DecoderConfig, DeltaNets, Initial, Matrix, Numbers, Role, WeightKind,
    WeightSource,
};
use nn::{Activations, Lookup, Nonlinearity, Parameters, Projection};
use ternary_core::Weights;
use ternary_core::noise::Noise;

/// The rank of every adapter.
pub(super) const RANK: usize = 16;
const ALPHA: f64 = 32.0;
/// The seed of all numbers.
const SEED: u64 = 1;

/// The shape: of 24 layers four, the last of which has attention.
pub(super) fn shape(vocabulary: usize) -> DecoderConfig {
    DecoderConfig {
        vocabulary,
        width: 1024,
        layers: 4,
        heads: 8,
        key_heads: 2,
        head_width: 256,
        rotary_width: 64,
        gated_attention: true,
        head_norms: true,
        feed_forward: 3584,
        nonlinearity: Nonlinearity::SwiGlu,
        rotary_base: 1e7,
        rotary_scaling: None,
        positions: 1 << 15,
        norm_epsilon: 1e-6,
        shifted_norms: true,
        sub_norms: false,
        tied_head: true,
        per_layer: 0,
        mixture: None,
        delta: Some(DeltaNets {
            key_heads: 16,
            value_heads: 16,
            key_width: 128,
            value_width: 128,
            kernel: 4,
            is_fused: false,
            attention_layers: vec![3],
        }),
    }
}

/// A model of that shape, frozen but for adapters of all projections in its layers.
pub(super) fn adapted(config: DecoderConfig, base: Base) -> models::Result<Decoder<f32>> {
    let initial = Initial { seed: SEED, kind: WeightKind::Dense };
    let mut model = Decoder::build(config, &mut Random { base, initial, matrices: 0 })?;
    let scaling = Scaling { alpha: ALPHA, rank_stabilised: false };
    let mut adapters = Adapters::default();
    for place in model.places() {
        let shape = [place.outputs, place.inputs];
        let adapter = Adapter::kaiming(&place.name, shape, RANK, scaling, SEED)?;
        adapters.insert(place.name, adapter)?;
    }
    model.attach(&adapters)?;
    Ok(model)
}

/// Random weights that stay as they are.
struct Random {
    base: Base,
    /// Of what is no matrix.
    initial: Initial,
    /// Those that were drawn.
    matrices: u32,
}

impl Random {
    fn matrix(
        &mut self,
        name: &str,
        shape: [usize; 2],
        role: Role,
        parameters: &mut Parameters,
    ) -> models::Result<Matrix<f32>> {
        parameters.freeze();
        let [outputs, inputs] = shape;
        let mut values = vec![0.0; outputs * inputs];
        self.matrices += 1;
        Noise::new(SEED, self.matrices, 0).fill_normal(0, &mut values);
        let deviation = 1.0 / (inputs as f32).sqrt();
        values.iter_mut().for_each(|value| *value *= deviation);
        match self.base.of(role) {
            Base::F32 => Matrix::dense(name, inputs, values, parameters),
            Base::Bf16 => Matrix::rounded(name, shape, Weights::F32(&values)),
            Base::Ternary => {
                Matrix::quantized(name, shape, Weights::F32(&values), Activations::default())
            }
        }
    }
}

impl WeightSource<f32> for Random {
    type Error = models::Error;

    fn projection(
        &mut self,
        name: &str,
        shape: [usize; 2],
        role: Role,
        parameters: &mut Parameters,
    ) -> models::Result<Box<dyn Projection<f32>>> {
        Ok(self.matrix(name, shape, role, parameters)?.projection())
    }

    fn table(
        &mut self,
        name: &str,
        shape: [usize; 2],
        parameters: &mut Parameters,
    ) -> models::Result<Box<dyn Lookup<f32>>> {
        Ok(self.matrix(name, shape, Role::Head, parameters)?.table())
    }

    fn numbers(
        &mut self,
        name: &str,
        shape: &[usize],
        kind: Numbers,
        parameters: &mut Parameters,
    ) -> models::Result<Vec<f32>> {
        parameters.freeze();
        self.initial.numbers(name, shape, kind, parameters)
    }
}
