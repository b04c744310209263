//! What happens in a story.

use std::fmt::Write as _;

use super::draw::Draw;
use super::words::{
    ANIMALS, ASIDES, COLOURS, LARGEST, PEOPLE, PLACES, Person, THINGS, TIMES, Thing, alone, count,
};

/// Who takes part, and how many things each has at this point of the story.
struct Scene {
    people: [Person; 2],
    thing: Thing,
    counts: [usize; 2],
}

/// Appends one story: a title, how it begins, three to six events with their counts, and what must
/// follow from them. Two empty lines end it.
pub(super) fn tell(draw: &mut Draw, text: &mut String) {
    let people = draw.two_of(&PEOPLE);
    let thing = draw.one_of(&THINGS);
    let place = draw.one_of(&PLACES);
    let (colour, animal) = (draw.one_of(&COLOURS), draw.one_of(&ANIMALS));
    let owner = draw.below(2);
    let mut scene = Scene { people, thing, counts: [1 + draw.below(7), 1 + draw.below(7)] };
    let [a, b] = people;

    say(text, &format!("The {} of {} and {}\n\n", capital(thing[1]), a.name, b.name));
    let time = draw.one_of(&TIMES);
    say(text, &format!("It was {time}, and {} met {} {place}. ", a.name, b.name));
    let [in_a, in_b] = scene.counts.map(|n| count(n, thing));
    say(text, &format!("{} had {in_a} and {} had {in_b}. ", a.name, b.name));
    let Person { name, her, .. } = people[owner];
    say(text, &format!("With {name} came {her} {colour} {animal}. "));
    for _ in 0..3 + draw.below(4) {
        let event = scene.event(draw);
        say(text, &event);
        if draw.below(3) == 0 {
            say(text, &format!("{} ", draw.one_of(&ASIDES)));
        }
    }
    text.truncate(text.trim_end().len());
    let [has_a, has_b] = scene.counts.map(alone);
    say(
        text,
        &format!("\n\nWhen they went home, {} had {has_a} and {} had {has_b}", a.name, b.name),
    );
    say(text, &format!(", {} together. ", count(scene.counts[0] + scene.counts[1], thing)));
    say(text, &format!("They never forgot that day {place}, nor the {animal}, "));
    say(text, &format!("which was {colour} and belonged to {name}.\n\n\n"));
}

fn say(text: &mut String, words: &str) {
    text.push_str(words);
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_uppercase() + rest
}

impl Scene {
    /// Something that changes or tells a count, in a sentence or two with a space at the end.
    fn event(&mut self, draw: &mut Draw) -> String {
        let who = draw.below(2);
        let other = 1 - who;
        let (actor, friend) = (self.people[who], self.people[other]);
        let has = self.counts[who];
        let all = self.counts[0] + self.counts[1];
        let mut text = String::new();
        // An event that these counts do not allow becomes the last one.
        match draw.below(5) {
            0 if has > 0 => {
                let given = 1 + draw.below(has);
                self.counts[who] -= given;
                self.counts[other] += given;
                let given = count(given, self.thing);
                let _ = write!(text, "{} gave {} {given}, ", actor.name, friend.name);
                let _ = write!(text, "so {} had {} left. ", actor.she, alone(self.counts[who]));
            }
            1 if has > 0 => {
                let lost = 1 + draw.below(has);
                self.counts[who] -= lost;
                let lost = count(lost, self.thing);
                let _ = write!(text, "Then {} lost {lost} in the grass, ", actor.name);
                let _ = write!(text, "and {} had {}. ", actor.she, alone(self.counts[who]));
            }
            2 if all < LARGEST => {
                let found = 1 + draw.below((LARGEST - all).min(4));
                self.counts[who] += found;
                let found = count(found, self.thing);
                let _ = write!(text, "{} found {found} {}. ", actor.name, draw.one_of(&PLACES));
                let now = count(self.counts[who], self.thing);
                let _ = write!(text, "Now {} had {now}. ", actor.she);
            }
            3 => {
                let kind = self.thing[1];
                let _ = write!(text, "\"How many {kind} do you have?\" asked {}. ", friend.name);
                let _ = write!(text, "\"I have {},\" said {}. ", alone(has), actor.name);
            }
            _ => {
                let told = count(all, self.thing);
                let _ = write!(text, "{} counted (there were {told}) and ", actor.name);
                let _ = write!(text, "laughed with {}. ", friend.name);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(number: u32) -> String {
        let mut text = String::new();
        tell(&mut Draw::new(9, number), &mut text);
        text
    }

    /// The value of a number word.
    fn value(word: &str) -> usize {
        (0..=LARGEST).find(|&n| alone(n) == word).unwrap_or_else(|| panic!("{word}"))
    }

    #[test]
    fn what_two_people_have_at_the_end_adds_up() {
        for n in 0..500 {
            let story = story(n);
            let end = story.split("When they went home, ").nth(1).unwrap();
            let words: Vec<&str> = end.split([' ', ',', '.']).filter(|w| !w.is_empty()).collect();
            let (a, b) = (value(words[2]), value(words[6]));
            let together = if words[7] == "no" { 0 } else { value(words[7]) };
            assert_eq!(a + b, together, "{story}");
        }
    }

    #[test]
    fn the_animal_of_the_beginning_comes_back_at_the_end() {
        for n in 0..200 {
            let story = story(n);
            let line = story.split("With ").nth(1).unwrap().split(". ").next().unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            let (owner, colour, animal) = (words[0], words[3], words[4]);
            let end = format!("{animal}, which was {colour} and belonged to {owner}.\n\n\n");
            assert!(story.ends_with(&end), "{story}");
        }
    }

    #[test]
    fn one_thing_is_singular_and_several_are_plural() {
        let all: String = (0..500).map(story).collect();
        for [one, several] in THINGS {
            assert!(!all.contains(&format!(" one {several}")), "{several}");
            assert!(!all.contains(&format!(" two {one} ")), "{one}");
            assert!(all.contains(&format!(" one {one}")) && all.contains(several), "{one}");
        }
    }
}
