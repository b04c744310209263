//! Another text: the stories in German.
//!
//! ```text
//! Einst Nabekosi (Tirosale) hatte 7 Eulen, Sivotane (Kelumiro) 3 Hennen, Ragisopa (Bunopaze) 2 Widder. Alle suchten Zubimo.
//! ```
//!
//! Names, counts and facts agree as before; the words are others, and of other lengths, so that nothing comes again at the
//! distance that it used to, and windows do not begin with a story, but for the first and by chance.

use trainer::data::stories;

/// Words of the stories, and what they become; every other word is a name, and stays.
const WORDS: [(&str, &str); 54] = [
    ("Once", "Einst"),
    ("had", "hatte"),
    ("All", "Alle"),
    ("sought", "suchten"),
    ("Then", "Danach"),
    ("and", "und"),
    ("Asked", "Gefragt"),
    ("where", "wo"),
    ("lived", "wohne"),
    ("said", "sagte"),
    ("in", "dort in"),
    ("No", "Kein"),
    ("yet", "bisher"),
    ("So", "Schliesslich"),
    ("lost", "verlor"),
    ("sold", "verkaufte"),
    ("lent", "verlieh"),
    ("shed", "vergab"),
    ("bred", "zog"),
    ("took", "nahm"),
    ("drew", "holte"),
    ("grew", "mehrte"),
    ("ape", "Affe"),
    ("apes", "Affen"),
    ("bat", "Falter"),
    ("bats", "Falter"),
    ("bee", "Biene"),
    ("bees", "Bienen"),
    ("cat", "Katze"),
    ("cats", "Katzen"),
    ("cow", "Kuh"),
    ("cows", "Kuehe"),
    ("dog", "Hund"),
    ("dogs", "Hunde"),
    ("elk", "Elch"),
    ("elks", "Elche"),
    ("emu", "Strauss"),
    ("emus", "Strausse"),
    ("gnu", "Pferd"),
    ("gnus", "Pferde"),
    ("hen", "Henne"),
    ("hens", "Hennen"),
    ("hog", "Sau"),
    ("hogs", "Sauen"),
    ("jay", "Specht"),
    ("jays", "Spechte"),
    ("kid", "Ziege"),
    ("kids", "Ziegen"),
    ("owl", "Eule"),
    ("owls", "Eulen"),
    ("pig", "Schwein"),
    ("pigs", "Schweine"),
    ("ram", "Widder"),
    ("rams", "Widder"),
];

/// The stories of a seed that are at least so many bytes before they are translated.
pub(super) fn text(seed: u64, bytes: usize) -> String {
    translated(&String::from_utf8_lossy(&stories(seed, bytes)))
}

fn translated(text: &str) -> String {
    let mut result = String::with_capacity(text.len() + text.len() / 4);
    for piece in text.split_inclusive(|letter: char| !letter.is_ascii_alphabetic()) {
        let (word, rest) = match piece.char_indices().next_back() {
            Some((end, last)) if !last.is_ascii_alphabetic() => piece.split_at(end),
            _ => (piece, ""),
        };
        let known = WORDS.iter().find(|(of, _)| *of == word);
        result.push_str(known.map_or(word, |(_, to)| to));
        result.push_str(rest);
    }
    result
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn words_are_translated_and_names_numbers_and_points_stay() {
        let story = "Once Nabekosi (Tirosale) had 7 owls, Ragisopa (Bunopaze) 1 ram. All sought Zubimo. Zubimo! ";
        let expected = "Einst Nabekosi (Tirosale) hatte 7 Eulen, Ragisopa (Bunopaze) 1 Widder. Alle suchten Zubimo. Zubimo! ";
        assert_eq!(translated(story), expected);
        assert_eq!(translated("a\n\nSo"), "a\n\nSchliesslich");
    }

    #[test]
    fn no_word_of_the_stories_is_left_but_names() {
        let text = String::from_utf8(stories(3, 1 << 16)).unwrap();
        let letters = |letter: char| !letter.is_ascii_alphabetic();
        let words: BTreeSet<&str> = text.split(letters).filter(|word| !word.is_empty()).collect();
        let is_name =
            |word: &str| word.len() >= 6 && word.starts_with(|c: char| c.is_ascii_uppercase());
        for word in words.into_iter().filter(|word| !is_name(word)) {
            assert!(WORDS.iter().any(|(of, _)| *of == word), "{word}");
        }
    }
}
