//! The calls that are timed.

use std::sync::{Arc, Mutex, PoisonError};

use lora_backward::{
    DeltaNetInputs, DeltaNetOptions, DeltaNetProjections, DeltaNetWeights, GatedDeltaNet,
};
use nn::{
    Context, Dense, Gradients, Layer, Parameters, Projection, Recurrence, Result, Sequences, State,
    Tape,
};
use ternary_core::kernels::Isa;
use ternary_core::noise::Noise;

use super::memory::peak_above;
use super::plan::{HIDDEN, KERNEL, KEY_HEADS, Pass, Spec, WIDTH};
use crate::bench::machine::{Call, Run};
use crate::bench::roofs::Roof;
use crate::bench::roofs::compute::Peak;
use crate::bench::rounds::Work;

/// The seed of all numbers.
const SEED: u64 = 1;

/// Layers, made when first asked for; one for each number of value heads.
#[derive(Default)]
pub(crate) struct Trials {
    made: Vec<(usize, Arc<Mutex<Trial>>)>,
}

impl Trials {
    /// Prepares a row of the report. Decoding is bound by the bytes of weights and states, read from as much memory.
    pub(crate) fn prepare(&mut self, spec: Spec, isa: Isa) -> Result<Call<nn::Error>> {
        let trial = self.trial(spec.heads)?;
        // The lock is never contended, and costs nothing beside the call.
        let run: Run<nn::Error> =
            Box::new(move || trial.lock().unwrap_or_else(PoisonError::into_inner).run(spec));
        let (memory_bytes, peak, work) = match spec.pass {
            Pass::Decode => {
                (Some(spec.bytes()), None, Work { macs: 0, bytes: spec.bytes() as u64 })
            }
            _ => (None, Peak::of_floats(isa), Work { macs: spec.macs(), bytes: 0 }),
        };
        Ok(Call { roof: Roof { threads: spec.threads, memory_bytes, peak }, work, run })
    }

    /// The most bytes that a pass holds beyond the layer and its rows, on one thread, with nothing left over from others.
    pub(crate) fn extra_bytes(&mut self, spec: Spec) -> Result<usize> {
        let trial = self.trial(spec.heads)?;
        let mut trial = trial.lock().unwrap_or_else(PoisonError::into_inner);
        let trial = &mut *trial;
        trial.grow(spec.m);
        [trial.inference, trial.recording] = [Tape::inference(), Tape::recording()];
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let pool = pool.map_err(|_| nn::Error::Setting {
            layer: "bench".into(),
            what: "threads",
            expected: "one that starts",
            found: "none".into(),
        })?;
        let (result, bytes) = peak_above(|| pool.install(|| trial.run(spec)));
        result.map(|()| bytes)
    }

    fn trial(&mut self, heads: usize) -> Result<Arc<Mutex<Trial>>> {
        if let Some((_, trial)) = self.made.iter().find(|(of, _)| *of == heads) {
            return Ok(trial.clone());
        }
        let trial = Arc::new(Mutex::new(Trial::new(heads)?));
        self.made.push((heads, trial.clone()));
        Ok(trial)
    }
}

/// A frozen layer with all that its passes read and write.
struct Trial {
    layer: GatedDeltaNet<f32>,
    x: Vec<f32>,
    inference: Tape<f32>,
    recording: Tape<f32>,
    gradients: Gradients<f32>,
    state: State<f32>,
}

impl Trial {
    fn new(heads: usize) -> Result<Self> {
        let mut parameters = Parameters::new();
        parameters.freeze();
        let (keys, values) = (KEY_HEADS * WIDTH, heads * WIDTH);
        let mut dense = |name, outputs, inputs: usize| -> Result<Box<dyn Projection<f32>>> {
            let deviation = 1.0 / (inputs as f64).sqrt();
            Ok(Box::new(Dense::random(name, [outputs, inputs], deviation, SEED, &mut parameters)?))
        };
        let input = DeltaNetInputs::Separate {
            qkv: dense("qkv", 2 * keys + values, HIDDEN)?,
            z: dense("z", values, HIDDEN)?,
            b: dense("b", heads, HIDDEN)?,
            a: dense("a", heads, HIDDEN)?,
        };
        let projections = DeltaNetProjections { input, output: dense("out", HIDDEN, values)? };
        let weights = DeltaNetWeights {
            conv: normal(1, (2 * keys + values) * KERNEL),
            a_log: normal(2, heads),
            dt_bias: normal(3, heads),
            gain: vec![1.0; WIDTH],
        };
        let options = DeltaNetOptions {
            key_heads: KEY_HEADS,
            value_heads: heads,
            key_width: WIDTH,
            value_width: WIDTH,
            kernel: KERNEL,
            epsilon: 1e-6,
        };
        let layer = GatedDeltaNet::new("layer", projections, weights, options, &mut parameters)?;
        let (gradients, state) = (Gradients::zeros(&parameters), layer.state(1));
        let [inference, recording] = [Tape::inference(), Tape::recording()];
        Ok(Self { layer, x: Vec::new(), inference, recording, gradients, state })
    }

    /// Makes sure that there are so many rows.
    fn grow(&mut self, rows: usize) {
        if self.x.len() < rows * HIDDEN {
            self.x = normal(5, rows * HIDDEN);
        }
    }

    fn run(&mut self, spec: Spec) -> Result<()> {
        self.grow(spec.m);
        let context = Context::from(Sequences { count: 1, length: spec.m });
        let tape = match spec.pass {
            Pass::ForwardBackward => &mut self.recording,
            Pass::Forward | Pass::Decode => &mut self.inference,
        };
        let rows = &self.x[..spec.m * HIDDEN];
        let mut x = tape.take(rows.len());
        x.copy_from_slice(rows);
        let out = match spec.pass {
            Pass::Forward => self.layer.forward(x, context, tape)?,
            Pass::ForwardBackward => {
                let dy = self.layer.forward(x, context, tape)?;
                self.layer.backward(dy, context, tape, &mut self.gradients)?
            }
            Pass::Decode => {
                let context = Context { recurrence: Recurrence::Tokens, ..context };
                self.layer.resume(x, context, &mut self.state, tape)?
            }
        };
        tape.give(out);
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
    use super::*;

    #[test]
    fn every_pass_runs_again_and_again_and_its_memory_is_counted() {
        let mut trials = Trials::default();
        for pass in [Pass::Forward, Pass::ForwardBackward, Pass::Decode] {
            let spec = Spec { pass, heads: 16, m: 2, threads: 1 };
            let mut call = trials.prepare(spec, Isa::Portable).unwrap();
            for _ in 0..2 {
                (call.run)().unwrap();
            }
            assert!(trials.extra_bytes(spec).unwrap() > 2 * 8192 * size_of::<f32>());
        }
        assert_eq!(trials.made.len(), 1);
    }
}
