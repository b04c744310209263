//! A stranger who uses `lora-backward` and nothing else: a memory that forgets, and a projection that learns beside its
//! frozen weights.

use lora_backward::nn::{
    Dense, Gradients, Input, Module, Parameters, Projection, Sequences, Tape, ValuesMut,
};
use lora_backward::ops::{DeltaRows, DeltaShape, delta_rule_tokens};
use lora_backward::{Adapter, AdapterError, Lora, Result, Scaling};

/// Writes numbers under keys of two, one after the other, with all that was there decayed to `kept` of it before
/// each, and returns what each key reads afterwards, times √2.
///
/// # Errors
/// For keys and numbers that are not as many.
pub fn read_back(keys: &[[f32; 2]], numbers: &[f32], kept: f32) -> Result<Vec<f32>> {
    let length = keys.len();
    let sequences = Sequences { count: 1, length };
    let shape =
        DeltaShape { sequences, key_heads: 1, value_heads: 1, key_width: 2, value_width: 1 };
    let (decay, write) = (vec![kept.ln(); length], vec![1.0; length]);
    let rows = DeltaRows {
        query: keys.as_flattened(),
        key: keys.as_flattened(),
        value: numbers,
        decay: &decay,
        write: &write,
    };
    let (mut state, mut y) = ([0.0; 2], vec![0.0; length]);
    delta_rule_tokens(shape, rows, &mut state, &mut y)?;
    Ok(y.into_iter().map(|y| y * 2.0_f32.sqrt()).collect())
}

/// Has a frozen projection from as many numbers as `x` has to as many as `target` has learn, by an adapter of rank 1, to
/// make the one of the other. Returns half the squared distances before each step.
///
/// # Errors
/// For numbers that are not finite.
pub fn learn(x: &[f32], target: &[f32], steps: usize, rate: f32) -> Result<Vec<f32>, AdapterError> {
    let (inputs, outputs) = (x.len(), target.len());
    let mut parameters = Parameters::new();
    parameters.freeze();
    let base = Dense::from_weight("map", inputs, vec![0.0; inputs * outputs], &mut parameters)?;
    parameters.thaw();
    let scaling = Scaling { alpha: 2.0, rank_stabilised: false };
    let adapter = Adapter::kaiming("map", [outputs, inputs], 1, scaling, 5)?;
    let mut layer = Lora::new(Box::new(base), adapter, 0.0, &mut parameters)?;
    let (mut gradients, mut tape) = (Gradients::zeros(&parameters), Tape::recording());
    let mut distances = Vec::new();
    for _ in 0..steps {
        let mut input = Input::new("map", x.to_vec(), inputs)?;
        let mut y = vec![0.0; outputs];
        layer.forward(&mut input, &mut y, &mut tape)?;
        let dy: Vec<f32> = y.iter().zip(target).map(|(y, target)| y - target).collect();
        distances.push(dy.iter().map(|d| d * d / 2.0).sum());
        gradients.clear();
        layer.backward(&input, &dy, None, &mut tape, &mut gradients)?;
        tape.recycle(input);
        layer.visit_mut(&mut |id, values| {
            if let ValuesMut::Real(values) = values {
                let steps = values.iter_mut().zip(gradients.get(id));
                steps.for_each(|(value, gradient)| *value -= rate * gradient);
            }
        });
    }
    Ok(distances)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_learns_what_its_frozen_projection_does_not_do() {
        let distances = learn(&[1.0, -2.0, 0.5], &[0.5, -1.0], 60, 0.1).unwrap();
        assert_eq!(distances[0], 0.625);
        assert!(distances[59] < 1e-4, "{distances:?}");
        assert!(learn(&[], &[1.0], 1, 0.1).is_err());
    }

    #[test]
    fn a_key_reads_what_was_written_last_under_it() {
        let read = read_back(&[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], &[3.0, 5.0, 7.0], 0.5);
        let read = read.unwrap();
        for (read, expected) in read.into_iter().zip([3.0, 5.0, 7.0]) {
            assert!((read - expected).abs() < 1e-6, "{read} and {expected}");
        }
        assert!(read_back(&[[1.0, 0.0]], &[], 0.5).is_err());
    }
}
