//! The words of the stories.

/// A person, with the words that stand for the name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Person {
    pub(super) name: &'static str,
    pub(super) she: &'static str,
    pub(super) her: &'static str,
}

const fn girl(name: &'static str) -> Person {
    Person { name, she: "she", her: "her" }
}

const fn boy(name: &'static str) -> Person {
    Person { name, she: "he", her: "his" }
}

pub(super) const PEOPLE: [Person; 16] = [
    girl("Mira"),
    girl("Anna"),
    girl("Lotte"),
    girl("Sofia"),
    girl("Ines"),
    girl("Greta"),
    girl("Wanda"),
    girl("Yuki"),
    boy("Tomas"),
    boy("Emil"),
    boy("Oskar"),
    boy("Ravi"),
    boy("Pavel"),
    boy("Kofi"),
    boy("Hugo"),
    boy("Leon"),
];

/// One thing and several of it.
pub(super) type Thing = [&'static str; 2];

pub(super) const THINGS: [Thing; 12] = [
    ["plum", "plums"],
    ["button", "buttons"],
    ["shell", "shells"],
    ["candle", "candles"],
    ["marble", "marbles"],
    ["feather", "feathers"],
    ["loaf", "loaves"],
    ["berry", "berries"],
    ["fish", "fishes"],
    ["coin", "coins"],
    ["knife", "knives"],
    ["box", "boxes"],
];

pub(super) const PLACES: [&str; 12] = [
    "under the old bridge",
    "behind the mill",
    "in the garden",
    "beside the river",
    "on the hill",
    "near the harbour",
    "at the market",
    "in the barn",
    "below the tower",
    "by the lake",
    "in the kitchen",
    "outside the school",
];

pub(super) const TIMES: [&str; 8] = [
    "a cold morning",
    "a warm evening",
    "a grey autumn day",
    "the first day of spring",
    "a windy afternoon",
    "the longest day of the year",
    "a quiet Sunday",
    "a night full of stars",
];

pub(super) const ANIMALS: [&str; 10] =
    ["dog", "cat", "goat", "crow", "pony", "goose", "hare", "owl", "hen", "donkey"];

pub(super) const COLOURS: [&str; 8] =
    ["red", "white", "brown", "black", "grey", "yellow", "spotted", "golden"];

pub(super) const ASIDES: [&str; 10] = [
    "The wind blew softly through the grass.",
    "Somewhere a bell was ringing.",
    "It began to rain, but only a little.",
    "Nobody else was there.",
    "A cart rolled slowly down the road.",
    "The sun came out from behind the clouds.",
    "From far away came the sound of a flute.",
    "The air smelled of bread and smoke.",
    "Two old women walked by and waved.",
    "For a while they said nothing at all.",
];

const NUMBERS: [&str; 20] = [
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];

/// The largest number that has a word.
pub(super) const LARGEST: usize = NUMBERS.len() - 1;

/// A number before its things: `no`, `one`, `two`.
fn number(n: usize) -> &'static str {
    NUMBERS[n]
}

/// A number that stands alone: `none`, `one`, `two`.
pub(super) fn alone(n: usize) -> &'static str {
    if n == 0 { "none" } else { number(n) }
}

/// A number of things: `no plums`, `one plum`, `two plums`.
pub(super) fn count(n: usize, [one, several]: Thing) -> String {
    format!("{} {}", number(n), if n == 1 { one } else { several })
}
