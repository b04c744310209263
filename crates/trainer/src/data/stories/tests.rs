//! Tests of the stories: that they are read back, what they hold, and that they agree with themselves.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use super::chooser::Chooser;
use super::*;

const WINDOWS: [usize; 8] = [256, 257, 300, 387, 511, 512, 1000, 4096];

/// Notes the choices that another makes, and checks that a text would show them.
struct Noting<C> {
    inner: C,
    choices: Vec<usize>,
    nats: f64,
}

impl<C: Chooser> Chooser for Noting<C> {
    type Halt = C::Halt;

    fn say(&mut self, text: &str) -> Result<(), C::Halt> {
        self.inner.say(text)
    }

    fn choose(&mut self, alternatives: &[&str]) -> Result<usize, C::Halt> {
        for (index, one) in alternatives.iter().enumerate() {
            let others = alternatives.iter().enumerate().filter(|&(other, _)| other != index);
            assert!(
                !others.into_iter().any(|(_, other)| other.starts_with(one)),
                "{alternatives:?}"
            );
        }
        let chosen = self.inner.choose(alternatives)?;
        self.choices.push(chosen);
        self.nats -= (1.0 / alternatives.len() as f64).ln();
        Ok(chosen)
    }

    fn told(&self) -> usize {
        self.inner.told()
    }
}

/// A story with what was drawn for it.
fn noted(number: u64, window: usize) -> (Vec<u8>, Vec<usize>, f64) {
    let mut text = Vec::new();
    let inner = Draw::new(7, number, 0, &mut text);
    let mut noting = Noting { inner, choices: Vec::new(), nats: 0.0 };
    let Ok(()) = grammar::tell(&mut noting, window);
    let (choices, nats) = (noting.choices, noting.nats);
    (text, choices, nats)
}

fn bits(nats: f64) -> f64 {
    nats / std::f64::consts::LN_2
}

#[test]
fn every_choice_is_read_back_from_the_text_with_its_probability() {
    for window in WINDOWS {
        for number in 0..50 {
            let (text, choices, nats) = noted(number, window);
            let reading = read(&text, window).unwrap();
            assert_eq!(reading.choices, choices);
            // The same logarithms, added in the same order.
            assert_eq!(reading.nats, nats);
        }
    }
}

#[test]
fn probabilities_of_the_next_byte_add_up_to_one_and_multiply_to_that_of_the_story() {
    for (window, number) in [(256, 0), (256, 1), (300, 2), (512, 3), (1000, 4)] {
        let (text, _, nats) = noted(number, window);
        let mut chained = 0.0;
        for place in 0..window {
            let next = read(&text[..place], window).unwrap().next;
            let sum: f64 = next.iter().sum();
            assert!((sum - 1.0).abs() < 1e-12, "{place}: {sum}");
            let probability = next[usize::from(text[place])];
            assert!(probability > 0.0, "{place}");
            chained -= probability.ln();
        }
        assert!((chained - nats).abs() < 1e-9, "{chained} and {nats}");
        let after = read(&text, window).unwrap().next;
        assert_eq!(after[usize::from(grammar::FIRST)], 1.0);
    }
}

#[test]
fn a_story_is_as_long_as_its_window_uses_it_and_holds_200_bits() {
    for window in WINDOWS {
        for number in 0..if window < 600 { 2000 } else { 100 } {
            let (text, _, nats) = noted(number, window);
            assert_eq!(text.len(), window);
            assert_eq!(text[0], grammar::FIRST);
            let told = text.trim_ascii_end().len();
            assert!(window - told < 40, "{window}: {told}");
            assert!(bits(nats) >= 200.0, "{window}: {}", bits(nats));
        }
    }
}

#[test]
fn a_window_of_256_bytes_is_nearly_as_hard_as_200_bits_allow() {
    let stories = Stories::new(0, 256, 200).unwrap();
    // 200 bits are 0.5415 nats/byte.
    let floor = stories.floor();
    assert!((0.5415..0.57).contains(&floor), "{floor}");
}

#[test]
fn the_floor_is_the_mean_over_every_byte_that_a_window_predicts() {
    let stories = Stories::new(0, 256, 5).unwrap();
    let (mut nats, mut predictions) = (0.0, 0.0);
    for story in stories.held_out() {
        let window = stories.window(&story);
        for place in 1..window.len() {
            nats -= read(&window[..place], 256).unwrap().next[usize::from(window[place])].ln();
            predictions += 1.0;
        }
    }
    assert!((nats / predictions - stories.floor()).abs() < 1e-12);
}

/// What the sentences say, read without the grammar.
#[test]
fn what_people_have_at_the_end_is_what_they_had_with_all_that_came_and_went() {
    let mut changes = 0;
    for (number, window) in (0..300).map(|number| (number, if number % 3 == 0 { 700 } else { 256 }))
    {
        let text = String::from_utf8(noted(number, window).0).unwrap();
        let text = text.trim_end().trim_end_matches('!');
        let (start, rest) =
            text.strip_prefix("Once ").unwrap().split_once(". All sought ").unwrap();
        let (middle, end) = rest.split_once("So ").unwrap();
        let (end, treasure) = end.split_once(". ").unwrap();
        assert!(middle.starts_with(treasure));
        // Name and home, count, animal.
        let people = |list: &str| -> Vec<(String, i32, String)> {
            list.replace(" had ", " ")
                .split(", ")
                .map(|person| {
                    let words: Vec<&str> = person.split(' ').collect();
                    let animal = words[3].trim_end_matches('s').to_owned();
                    assert_eq!(words[3].ends_with('s'), words[2] != "1", "{person}");
                    (words[..2].join(" "), words[2].parse().unwrap(), animal)
                })
                .collect()
        };
        let middle = middle.replace(&format!("{treasure}! "), "");
        let mut expected = people(start);
        for sentence in middle.split(". ") {
            let words: Vec<&str> = sentence.trim_start_matches("Then ").split(' ').collect();
            let sign = match words.get(1) {
                Some(&("lost" | "sold" | "lent" | "shed")) => -1,
                Some(&("bred" | "took" | "drew" | "grew")) => 1,
                _ => continue,
            };
            changes += 1;
            let person = expected.iter_mut().find(|person| person.0.starts_with(words[0])).unwrap();
            person.1 += sign * words[2].parse::<i32>().unwrap();
            if let Some(had) = words.get(5) {
                assert_eq!(words[6].trim_end_matches('s'), person.2);
                assert_eq!(had.parse(), Ok(person.1), "{text}");
            }
        }
        assert_eq!(people(end), expected, "{text}");
    }
    assert!(changes > 600);
}

#[test]
fn who_is_asked_about_lives_where_it_was_said_at_the_beginning() {
    let mut asked = 0;
    for number in 0..50 {
        let text = String::from_utf8(noted(number, 1000).0).unwrap();
        let homes: BTreeMap<&str, &str> = text
            .split(" All sought ")
            .next()
            .unwrap()
            .trim_start_matches("Once ")
            .split(", ")
            .map(|person| person.split_once(')').unwrap().0.split_once(" (").unwrap())
            .collect();
        for sentence in text.split(". ") {
            let Some(question) = sentence.strip_prefix("Asked where ") else { continue };
            let words: Vec<&str> = question.split(' ').collect();
            assert_eq!(words.last(), homes.get(words[0]));
            assert_eq!(words[3].trim_matches(['(', ')']), homes[words[2]]);
            asked += 1;
        }
    }
    assert!(asked > 100);
}

#[test]
fn stories_depend_on_the_seed_and_their_number_alone() {
    let stories = Stories::new(3, 300, 4).unwrap();
    let again = Stories::new(3, 300, 4).unwrap();
    let numbers = [0, 1, 2, 1 << 32, (1 << 32) + 1, u64::MAX];
    let told: HashSet<Vec<u8>> = numbers.iter().map(|&number| stories.story(number)).collect();
    assert_eq!(told.len(), numbers.len());
    numbers.iter().rev().for_each(|&n| assert_eq!(again.story(n), stories.story(n)));
    let other = Stories::new(4, 300, 4).unwrap();
    assert_ne!(other.story(0), stories.story(0));
    assert!(other.held_out().eq(stories.held_out()), "runs of all seeds are measured alike");
}

#[test]
fn no_story_that_is_held_out_is_told_in_training() {
    let mut stories = Stories::new(1, 256, 64).unwrap();
    let told: HashSet<Vec<u8>> = (0..3000).map(|number| stories.story(number)).collect();
    assert_eq!(told.len(), 3000);
    assert!(stories.held_out().all(|story| !told.contains(&story)));
    // One that is drawn all the same gives way to another.
    let forbidden = stories.story(17);
    stories.forbidden.push(hash(&forbidden));
    stories.forbidden.sort_unstable();
    let other = stories.story(17);
    assert!(other != forbidden && read(&other, 256).is_ok());
    assert!(!told.contains(&other) && told.contains(&stories.story(18)));
}

#[test]
fn a_window_too_small_for_a_story_is_refused_with_what_to_do() {
    let error = Stories::new(0, 255, 4).unwrap_err().to_string();
    assert!(error.contains("batch.length=256") && error.contains("--data"), "{error}");
}

#[test]
fn some_stories_in_a_row_begin_at_whole_windows() {
    let text = stories(3, 1000);
    assert_eq!(text.len(), 1024);
    assert!(text.chunks(256).all(|story| read(story, 256).is_ok()));
    assert!(stories(3, 5000).starts_with(&text));
}

proptest! {
    #[test]
    fn the_beginning_of_a_story_is_read_as_far_as_it_goes(
        number in any::<u64>(),
        window in 256_usize..1200,
        share in 0.0..1.0_f64,
    ) {
        let (text, choices, _) = noted(number, window);
        let place = (share * window as f64) as usize;
        let reading = read(&text[..place], window).unwrap();
        prop_assert!(choices.starts_with(&reading.choices));
        prop_assert!(reading.next[usize::from(text[place])] > 0.0);
    }

    #[test]
    fn a_story_with_a_wrong_byte_is_refused(
        number in any::<u64>(),
        place in 0_usize..256,
        byte in any::<u8>(),
    ) {
        let (mut text, ..) = noted(number, 256);
        let right = std::mem::replace(&mut text[place], byte);
        match read(&text, 256) {
            Ok(_) => prop_assert_eq!(byte, right),
            Err(NoStory { place: found }) => prop_assert!(byte != right && found >= place),
        }
    }

    #[test]
    fn bytes_that_are_no_story_are_refused_and_nothing_panics(
        text in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let is_read = read(&text, 256).is_ok();
        prop_assert!(!is_read || text.is_empty() || b"Once ".starts_with(&text[..text.len().min(5)]));
    }
}

#[test]
fn of_a_story_that_is_held_out_eight_bytes_are_kept() {
    let stories = Stories::new(0, 4096, 3).unwrap();
    assert_eq!((stories.forbidden.len(), stories.held_out_count()), (3, 3));
    let mut hashes: Vec<u64> = stories.held_out().map(|story| hash(&story)).collect();
    hashes.sort_unstable();
    assert_eq!(hashes, stories.forbidden);
}
