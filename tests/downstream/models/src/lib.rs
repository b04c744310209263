//! A stranger who uses `models` and nothing else: the likeliest next byte of a text.

use models::nn::{Sequences, Tape};
use models::{Decoder, DecoderConfig, Error, Initial, WeightKind};

/// An untrained decoder of one small layer.
///
/// # Errors
/// Never for this shape.
pub fn untrained(seed: u64) -> Result<Decoder<f32>, Error> {
    let config = DecoderConfig {
        layers: 1,
        width: 32,
        head_width: 8,
        rotary_width: 8,
        ..DecoderConfig::tiny()
    };
    Decoder::build(config, &mut Initial { seed, kind: WeightKind::Dense })
}

/// The byte that the model finds likeliest after `text`; none after no text.
///
/// # Errors
/// For a text that is longer than the model's positions.
pub fn next_byte(model: &Decoder<f32>, text: &[u8]) -> Result<Option<u8>, Error> {
    let tokens: Vec<u32> = text.iter().copied().map(u32::from).collect();
    let sequences = Sequences { count: 1, length: tokens.len() };
    let scores = model.scores(&tokens, sequences, &mut Tape::inference())?;
    let Some(last) = scores.rchunks_exact(256).next() else { return Ok(None) };
    let best = (0..256_u16).max_by(|&a, &b| last[usize::from(a)].total_cmp(&last[usize::from(b)]));
    Ok(best.and_then(|byte| u8::try_from(byte).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_says_the_same_and_a_text_that_is_too_long_is_an_error() {
        let byte = |text: &[u8]| next_byte(&untrained(5).unwrap(), text);
        assert!(byte(b"abc").unwrap().is_some());
        assert_eq!(byte(b"abc").unwrap(), byte(b"abc").unwrap());
        assert_eq!(byte(b"").unwrap(), None);
        assert!(matches!(byte(&[b'a'; 5000]), Err(Error::Layer(_))));
    }
}
