//! Text to train on when there is none: small stories in which names, counts and facts agree.
//!
//! ```text
//! The Plums of Mira and Tomas
//!
//! It was a cold morning in the village. Mira had three plums and Tomas had seven plums. …
//! ```
//!
//! A story is a function of the seed and its number. What it says of a count or a place at its end
//! follows from sentences hundreds of bytes before, so a model that only knows spelling is beaten by
//! one that remembers.

mod draw;
mod plot;
mod words;

use draw::Draw;

use crate::randomness::Purpose;

/// At least `bytes` bytes of stories, the last one whole.
pub fn stories(seed: u64, bytes: usize) -> Vec<u8> {
    let seed = Purpose::Text.seed(seed);
    let mut text = String::with_capacity(bytes + 2048);
    for number in 0_u32.. {
        if text.len() >= bytes {
            break;
        }
        plot::tell(&mut Draw::new(seed, number), &mut text);
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_tells_the_same_stories_and_another_seed_others() {
        let text = stories(3, 10_000);
        assert_eq!(text, stories(3, 10_000));
        assert!(stories(3, 20_000).starts_with(&text));
        assert_ne!(text[..500], stories(4, 10_000)[..500]);
    }

    #[test]
    fn stories_are_plain_text_of_a_few_hundred_bytes_each() {
        let text = String::from_utf8(stories(0, 200_000)).unwrap();
        assert!(text.is_ascii() && !text.contains("  ") && !text.contains(" ."));
        let lengths: Vec<usize> = text.split("\n\n\n").map(str::len).collect();
        let mean = lengths.iter().sum::<usize>() / lengths.len();
        assert!((400..900).contains(&mean), "{mean}");
    }

    #[test]
    fn no_story_is_told_twice() {
        let text = String::from_utf8(stories(0, 300_000)).unwrap();
        let told: Vec<&str> = text.split("\n\n\n").filter(|story| !story.is_empty()).collect();
        let different: std::collections::BTreeSet<&str> = told.iter().copied().collect();
        assert!(told.len() > 300);
        assert_eq!(different.len(), told.len());
    }
}
