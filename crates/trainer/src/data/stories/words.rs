//! The words of the stories.

/// What an invented word is made of: a consonant and a vowel are a syllable of log₂ 80 = 6.3 bits in two bytes.
pub(super) const CONSONANTS: [&str; 16] =
    ["b", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z"];

/// The same at the beginning of a name.
pub(super) const INITIALS: [&str; 16] =
    ["B", "D", "F", "G", "H", "J", "K", "L", "M", "N", "P", "R", "S", "T", "V", "Z"];

pub(super) const VOWELS: [&str; 5] = ["a", "e", "i", "o", "u"];

/// Several of an animal; one is the same without the s.
pub(super) const ANIMALS: [&str; 16] = [
    "apes", "bats", "bees", "cats", "cows", "dogs", "elks", "emus", "gnus", "hens", "hogs", "jays",
    "kids", "owls", "pigs", "rams",
];

/// Numbers of animals, of which nobody has more than the last.
pub(super) const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// How animals become fewer.
pub(super) const LOSSES: [&str; 4] = [" lost ", " sold ", " hid ", " freed "];

/// How they become more.
pub(super) const GAINS: [&str; 4] = [" found ", " got ", " won ", " bred "];
