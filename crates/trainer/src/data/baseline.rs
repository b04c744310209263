//! What a model is worth that sees the three bytes before each: a loss to beat.

use std::ops::Range;

use crate::error::Result;

/// Bytes before the predicted one that count.
const ORDER: usize = 3;

/// How often bytes follow the k bytes before them, for one k: k + 1 bytes as the digits of a number, in rising order,
/// so that what follows the same bytes stands together.
#[derive(Debug)]
struct Followers {
    grams: Vec<(u32, u32)>,
}

impl Followers {
    fn count(texts: &[Vec<u8>], order: usize) -> Self {
        let grams = texts.iter().flat_map(|text| text.windows(order + 1)).map(number);
        let mut grams: Vec<u32> = grams.collect();
        grams.sort_unstable();
        let grams = grams.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u32));
        Self { grams: grams.collect() }
    }

    /// Everything that follows some bytes.
    fn after(&self, context: &[u8]) -> &[(u32, u32)] {
        let first = number(context) << 8;
        let start = self.grams.partition_point(|&(gram, _)| gram < first);
        let count = self.grams[start..].partition_point(|&(gram, _)| gram <= first | 0xFF);
        &self.grams[start..start + count]
    }
}

/// Bytes as the digits of a number.
fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

/// A byte model of order 3, smoothed over the orders below it by Witten and Bell's rule (IEEE Trans. Inf. Theory 1991,
/// method C; interpolated as in Chen and Goodman 1999):
///
/// ```text
/// P_k(b | c) = (n(c b) + t(c) · P_{k−1}(b | c′)) / (n(c) + t(c)),   P_{−1} = 1/256
/// ```
///
/// with n(c b) how often byte b followed the k bytes c, n(c) how often any did, t(c) how many different ones, and c′
/// the last k − 1 bytes of c.
#[derive(Debug)]
pub(super) struct ByteModel {
    orders: [Followers; ORDER + 1],
}

impl ByteModel {
    /// Counts texts, each from its first byte to its last.
    pub(super) fn count(texts: &[Vec<u8>]) -> Self {
        Self { orders: std::array::from_fn(|order| Followers::count(texts, order)) }
    }

    /// The probability of a byte after those before it, of which at most the last three count.
    fn probability(&self, before: &[u8], byte: u8) -> f64 {
        let mut probability = 1.0 / 256.0;
        for (order, followers) in self.orders.iter().enumerate().take(before.len() + 1) {
            let context = &before[before.len() - order..];
            let followers = followers.after(context);
            if followers.is_empty() {
                // What never came has no longer context that came.
                break;
            }
            let all: u32 = followers.iter().map(|&(_, count)| count).sum();
            let same = followers.iter().find(|&&(gram, _)| gram as u8 == byte);
            let different = followers.len() as f64;
            probability = (f64::from(same.map_or(0, |&(_, count)| count))
                + different * probability)
                / (f64::from(all) + different);
        }
        probability
    }

    /// Mean of −ln P over every byte of each window but its first; it sees no byte before the window.
    ///
    /// # Errors
    /// The first of the windows.
    pub(super) fn loss(&self, windows: impl Iterator<Item = Result<Vec<u8>>>) -> Result<f64> {
        let (mut nats, mut predictions) = (0.0, 0_u64);
        for window in windows {
            let window = window?;
            for place in 1..window.len() {
                let before: Range<usize> = place.saturating_sub(ORDER)..place;
                nats -= self.probability(&window[before], window[place]).ln();
                predictions += 1;
            }
        }
        Ok(nats / predictions as f64)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// The formula, word for word, over maps.
    fn naive(texts: &[Vec<u8>], before: &[u8], byte: u8) -> f64 {
        let mut counts: HashMap<Vec<u8>, HashMap<u8, f64>> = HashMap::new();
        for text in texts {
            for end in 0..text.len() {
                for order in 0..=end.min(ORDER) {
                    let context = text[end - order..end].to_vec();
                    *counts.entry(context).or_default().entry(text[end]).or_default() += 1.0;
                }
            }
        }
        fn p(counts: &HashMap<Vec<u8>, HashMap<u8, f64>>, context: &[u8], byte: u8) -> f64 {
            let shorter =
                if context.is_empty() { 1.0 / 256.0 } else { p(counts, &context[1..], byte) };
            let Some(followers) = counts.get(context) else { return shorter };
            let (n, t) = (followers.values().sum::<f64>(), followers.len() as f64);
            (followers.get(&byte).copied().unwrap_or(0.0) + t * shorter) / (n + t)
        }
        p(&counts, before, byte)
    }

    fn texts() -> Vec<Vec<u8>> {
        vec![
            b"abracadabra abracadabra".to_vec(),
            b"a".to_vec(),
            vec![],
            b"zebra \xff\xff\xff\xff".to_vec(),
        ]
    }

    #[test]
    fn probabilities_are_those_of_the_formula() {
        let model = ByteModel::count(&texts());
        for before in [&b""[..], b"a", b"ab", b"abr", b"zzz", b"bra", b"\xff\xff\xff", b"zab"] {
            for byte in [b'a', b'b', b'c', b' ', b'q', 0, 255] {
                let (found, expected) =
                    (model.probability(before, byte), naive(&texts(), before, byte));
                // A few sums and quotients of numbers of one sign.
                assert!((found - expected).abs() <= 1e-14 * expected, "{before:?} {byte}");
            }
        }
    }

    #[test]
    fn probabilities_add_up_to_one_after_any_bytes() {
        let model = ByteModel::count(&texts());
        for before in [&b""[..], b"a", b"br", b"abr", b"xyz", b" ab"] {
            let sum: f64 = (0..=255).map(|byte| model.probability(before, byte)).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{before:?}: {sum}");
        }
    }

    #[test]
    fn nothing_before_a_window_is_seen() {
        let model = ByteModel::count(&texts());
        let two = |a: u8, b: u8| -model.probability(&[a], b).ln();
        let loss = model
            .loss([b"ra".to_vec(), b"ca".to_vec(), b"x".to_vec()].into_iter().map(Ok))
            .unwrap();
        assert!((loss - (two(b'r', b'a') + two(b'c', b'a')) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn without_a_text_every_byte_is_equally_likely() {
        let loss = ByteModel::count(&[]).loss([b"abc".to_vec()].into_iter().map(Ok)).unwrap();
        assert!((loss - 256_f64.ln()).abs() < 1e-12);
    }
}
