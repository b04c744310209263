//! A stranger who uses `lora-backward` and nothing else: a memory that forgets.

use lora_backward::Result;
use lora_backward::nn::Sequences;
use lora_backward::ops::{DeltaRows, DeltaShape, delta_rule_tokens};

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

#[cfg(test)]
mod tests {
    use super::*;

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
