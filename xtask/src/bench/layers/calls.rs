//! The calls that are timed: layers as a training step uses them.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use nn::ops::{AttentionShape, attention, attention_backward};
use nn::{
    BitLinear, BitLinearOptions, Dense, Gradients, Input, Parameters, Projection, Result, Tape,
};
use ternary_core::kernels::Isa;
use ternary_core::noise::Noise;

use super::plan::{Heads, Layer, Pass, Sizes, Spec};
use crate::bench::machine::{Call, Run};
use crate::bench::roofs::Roof;
use crate::bench::roofs::compute::Peak;
use crate::bench::rounds::Work;
use crate::bench::shape::Shape;

/// The name of every layer: each has parameters of its own.
const NAME: &str = "layer";

/// The seed of all numbers.
const SEED: u64 = 1;

/// Layers with their rows, made when first asked for and shared by the rows of the report that
/// differ in nothing but the pass and the threads.
#[derive(Default)]
pub(crate) struct Trials {
    made: Vec<Made>,
}

struct Made {
    layer: Layer,
    sizes: Sizes,
    m: usize,
    trial: Arc<Mutex<dyn Trial>>,
}

impl Trials {
    /// Prepares a row of the report.
    pub(crate) fn prepare(&mut self, spec: Spec, isa: Isa) -> Result<Call<nn::Error>> {
        let trial = self.trial(spec)?;
        let pass = spec.pass;
        // The lock is never contended, and costs nothing beside the call.
        let run: Run<nn::Error> =
            Box::new(move || trial.lock().unwrap_or_else(PoisonError::into_inner).run(pass));
        let (peak, macs) = limit(spec, isa);
        let roof = Roof { threads: spec.threads, memory_bytes: None, peak };
        Ok(Call { roof, work: Work { macs, bytes: 0 }, run })
    }

    fn trial(&mut self, Spec { layer, sizes, m, .. }: Spec) -> Result<Arc<Mutex<dyn Trial>>> {
        let same = |made: &&Made| (made.layer, made.sizes, made.m) == (layer, sizes, m);
        if let Some(made) = self.made.iter().find(same) {
            return Ok(made.trial.clone());
        }
        let trial: Arc<Mutex<dyn Trial>> = match sizes {
            Sizes::Linear(shape) => Arc::new(Mutex::new(LinearTrial::new(layer, shape, m)?)),
            Sizes::Attention(heads) => Arc::new(Mutex::new(AttentionTrial::new(heads, m))),
        };
        self.made.push(Made { layer, sizes, m, trial: trial.clone() });
        Ok(trial)
    }
}

/// The instruction that bounds a row and how many multiply-accumulates it has to do at least.
///
/// A ternary forward is bound by the products of bytes. With the f32 backward its two f32 products
/// alone are counted: the forward's cost beside them shows in the share. Attention counts visible
/// pairs of positions once, in two products forward and four backward, and nothing that is computed
/// again.
fn limit(spec: Spec, isa: Isa) -> (Option<Peak>, u64) {
    let m = spec.m as u64;
    match spec.sizes {
        Sizes::Linear(shape) => {
            let product = m * shape.weights() as u64;
            match (spec.layer, spec.pass) {
                (Layer::Bit, Pass::Forward) => (Peak::of_bytes(isa), product),
                (Layer::Bit, Pass::ForwardBackward) => (Peak::of_floats(isa), 2 * product),
                (_, Pass::Forward) => (Peak::of_floats(isa), product),
                (_, Pass::ForwardBackward) => (Peak::of_floats(isa), 3 * product),
            }
        }
        Sizes::Attention(Heads { query, width, .. }) => {
            let product = m * (m + 1) / 2 * (query * width) as u64;
            let products = if spec.pass == Pass::Forward { 2 } else { 6 };
            (Peak::of_floats(isa), products * product)
        }
    }
}

/// A layer with all that its passes read and write.
trait Trial: Send {
    fn run(&mut self, pass: Pass) -> Result<()>;
}

/// A projection in a training step, whose buffers go round through the tape.
struct LinearTrial {
    layer: Box<dyn Projection<f32>>,
    inputs: usize,
    x: Vec<f32>,
    y: Vec<f32>,
    dy: Vec<f32>,
    tape: Tape<f32>,
    gradients: Gradients<f32>,
}

impl LinearTrial {
    fn new(layer: Layer, shape: Shape, m: usize) -> Result<Self> {
        let mut parameters = Parameters::new();
        let (size, deviation) = ([shape.n, shape.k], 1.0 / (shape.k as f64).sqrt());
        let layer: Box<dyn Projection<f32>> = if layer == Layer::Bit {
            let options = BitLinearOptions::default();
            let layer =
                BitLinear::<f32>::random(NAME, size, deviation, SEED, options, &mut parameters);
            Box::new(layer?)
        } else {
            Box::new(Dense::<f32>::random(NAME, size, deviation, SEED, &mut parameters)?)
        };
        Ok(Self {
            layer,
            inputs: shape.k,
            x: normal(0, m * shape.k),
            y: vec![0.0; m * shape.n],
            dy: normal(1, m * shape.n),
            tape: Tape::recording(),
            gradients: Gradients::zeros(&parameters),
        })
    }
}

impl Trial for LinearTrial {
    fn run(&mut self, pass: Pass) -> Result<()> {
        let numbers = self.x.len();
        // A new input at each call: what it quantises it keeps.
        let mut input = Input::new(NAME, mem::take(&mut self.x), self.inputs)?;
        self.layer.forward(&mut input, &mut self.y, &mut self.tape)?;
        if pass == Pass::ForwardBackward {
            self.tape.save_input(input);
            self.gradients.clear();
            let mut dx = self.tape.zeros(numbers);
            input = self.tape.restore_input(NAME)?;
            let gradients = &mut self.gradients;
            self.layer.backward(&input, &self.dy, Some(&mut dx), &mut self.tape, gradients)?;
            self.tape.give(dx);
        }
        self.tape.recycle(input);
        // Some buffer of this size: the inputs themselves, what was quantised of them, or a gradient.
        self.x = self.tape.take(numbers);
        Ok(())
    }
}

struct AttentionTrial {
    shape: AttentionShape,
    scale: f32,
    inputs: [Vec<f32>; 3],
    out: Vec<f32>,
    log_sums: Vec<f32>,
    d_out: Vec<f32>,
    gradients: [Vec<f32>; 3],
}

impl AttentionTrial {
    fn new(Heads { query, key, width }: Heads, m: usize) -> Self {
        let (queries, keys) = (m * query * width, m * key * width);
        Self {
            shape: AttentionShape {
                sequences: 1,
                queries: m,
                keys: m,
                query_heads: query,
                key_heads: key,
                width,
            },
            scale: 1.0 / (width as f32).sqrt(),
            inputs: [normal(0, queries), normal(1, keys), normal(2, keys)],
            out: vec![0.0; queries],
            log_sums: vec![0.0; m * query],
            d_out: normal(3, queries),
            gradients: [queries, keys, keys].map(|numbers| vec![0.0; numbers]),
        }
    }
}

impl Trial for AttentionTrial {
    fn run(&mut self, pass: Pass) -> Result<()> {
        let (shape, scale, inputs) =
            (self.shape, self.scale, self.inputs.each_ref().map(|x| &x[..]));
        attention(shape, scale, inputs, &mut self.out, &mut self.log_sums)?;
        if pass == Pass::ForwardBackward {
            self.gradients.iter_mut().for_each(|gradient| gradient.fill(0.0));
            let saved = [&self.out[..], &self.log_sums, &self.d_out];
            let gradients = self.gradients.each_mut().map(|gradient| &mut gradient[..]);
            attention_backward(shape, scale, inputs, saved, gradients)?;
        }
        Ok(())
    }
}

/// Normal numbers; each `stream` has others.
fn normal(stream: u32, count: usize) -> Vec<f32> {
    let mut numbers = vec![0.0; count];
    Noise::new(SEED, stream, 0).fill_normal(0, &mut numbers);
    numbers
}

#[cfg(test)]
mod tests {
    use super::super::plan::HEADS;
    use super::*;

    const SHAPE: Shape = Shape { k: 64, n: 48 };

    fn spec(layer: Layer, pass: Pass) -> Spec {
        let sizes = match layer {
            Layer::Attention => Sizes::Attention(HEADS),
            _ => Sizes::Linear(SHAPE),
        };
        Spec { layer, pass, sizes, m: 5, threads: 1 }
    }

    #[test]
    fn every_layer_runs_both_passes_again_and_again() {
        for layer in [Layer::Dense, Layer::Bit, Layer::Attention] {
            let mut trials = Trials::default();
            for pass in [Pass::Forward, Pass::ForwardBackward] {
                let mut call = trials.prepare(spec(layer, pass), Isa::Portable).unwrap();
                for _ in 0..3 {
                    (call.run)().unwrap();
                }
            }
            assert_eq!(trials.made.len(), 1, "{layer}");
        }
    }

    #[test]
    fn the_passes_are_those_of_the_layer() {
        let mut trial = LinearTrial::new(Layer::Dense, SHAPE, 5).unwrap();
        let (x, dy) = (trial.x.clone(), trial.dy.clone());
        trial.run(Pass::Forward).unwrap();
        assert_eq!(trial.x, x);
        assert!(trial.y.iter().any(|&y| y != 0.0) && trial.gradients.norm() == 0.0);
        trial.run(Pass::ForwardBackward).unwrap();
        let found = trial.gradients.values()[0];
        let first: f32 = (0..5).map(|row| dy[row * SHAPE.n] * x[row * SHAPE.k]).sum();
        assert!((found - first).abs() < 1e-5, "{found} and {first}");
    }

    #[test]
    fn work_is_counted_by_products_and_attention_by_visible_pairs() {
        let macs = |layer, pass| limit(spec(layer, pass), Isa::Avx2);
        let product = 5 * 64 * 48;
        let [float, byte] = [Peak::FmaYmm, Peak::VpmaddubswYmm].map(Some);
        assert_eq!(macs(Layer::Dense, Pass::Forward), (float, product));
        assert_eq!(macs(Layer::Dense, Pass::ForwardBackward), (float, 3 * product));
        assert_eq!(macs(Layer::Bit, Pass::Forward), (byte, product));
        assert_eq!(macs(Layer::Bit, Pass::ForwardBackward), (float, 2 * product));
        assert_eq!(macs(Layer::Attention, Pass::ForwardBackward), (float, 6 * 15 * 512));
    }
}
