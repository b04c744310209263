//! A stranger who uses `models` and nothing else: the likeliest next byte of a text.

use models::nn::{Sequences, Tape};
use models::{Decoder, DecoderConfig, Error, Initial, WeightKind};

/// An untrained decoder of one small layer.
///
/// # Errors
/// Never for this shape.
pub fn untrained(seed: u64) -> Result<Decoder<f32>, Error> {
    let config = DecoderConfig { layers: 1, width: 32, head_width: 8, ..DecoderConfig::tiny() };
    Decoder::build(config, &mut Initial { seed, kind: WeightKind::Dense })
}

/// The byte that the model finds likeliest after `text`.
///
/// # Errors
/// For an empty text, and for one that is longer than the model's positions.
pub fn next_byte(model: &Decoder<f32>, text: &[u8]) -> Result<u8, Error> {
    let tokens: Vec<u32> = text.iter().copied().map(u32::from).collect();
    let sequences = Sequences { count: 1, length: tokens.len() };
    let scores = model.scores(&tokens, sequences, &mut Tape::inference())?;
    let last = scores.rchunks_exact(256).next().unwrap_or(&[0.0]);
    let best = (0..last.len()).max_by(|&a, &b| last[a].total_cmp(&last[b]));
    Ok(best.unwrap_or(0) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_untrained_model_repeats_what_it_saw_last() {
        // With a tied head, a token's own row is the one it resembles most.
        let model = untrained(5).unwrap();
        assert_eq!(next_byte(&model, b"abc").unwrap(), b'c');
    }
}
