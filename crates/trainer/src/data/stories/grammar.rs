//! What is told in a story, and in what order.
//!
//! The grammar is a function over a [`Chooser`]: whatever depends on what was said before (names, counts, how much
//! room is left) is the same for the one that draws and the one that reads.

use super::chooser::Chooser;
use super::words::{ANIMALS, CONSONANTS, DIGITS, GAINS, INITIALS, LOSSES, VOWELS};

/// The smallest window that holds a story of 200 bits.
pub(super) const SMALLEST: usize = 256;

/// The byte that every story begins with.
pub(super) const FIRST: u8 = b'O';

/// Syllables of the names of people and places, and of what is sought.
const NAME: usize = 4;
const TREASURE: usize = 3;

/// Bytes of the longest events: one that says as little as it can, and any.
const SHORT_EVENT: usize = "Nabekosi freed 2 owls. ".len();
const LONG_EVENT: usize =
    "Asked where Nabekosi lived, Sivotane (Kelumiro) said: in Tirosale. ".len();

/// A person, where the person lives, and the animals that it has.
struct Person {
    name: String,
    home: String,
    count: usize,
    animal: &'static str,
}

impl Person {
    /// `Nabekosi (Tirosale)`.
    fn and_home(&self) -> String {
        format!("{} ({})", self.name, self.home)
    }

    /// A number of its animals: `1 owl`, `5 owls`.
    fn animals(&self, count: usize) -> String {
        format!("{count}{}", self.animals_after(count))
    }

    /// The same without the number: ` owl`, ` owls`.
    fn animals_after(&self, count: usize) -> String {
        let letters = self.animal.len() - usize::from(count == 1);
        format!(" {}", &self.animal[..letters])
    }
}

/// Tells a story of exactly `window` bytes, of at least [`SMALLEST`].
pub(super) fn tell<C: Chooser>(to: &mut C, window: usize) -> Result<(), C::Halt> {
    to.say("Once ")?;
    // A long window has room for more people, each of whom takes two sentences.
    let mut people = Vec::new();
    let count = (3 + (window - SMALLEST) / 256).min(8);
    while people.len() < count {
        let person = introduce(to, &people)?;
        people.push(person);
        to.say(if people.len() < count { ", " } else { ". " })?;
    }
    to.say("All sought ")?;
    let treasure = word(to, &INITIALS, TREASURE)?;
    to.say(". ")?;
    // One animal that becomes several is a letter more.
    let single = people.iter().filter(|person| person.count == 1).count();
    let end = ending(&people, &treasure).len() + single;
    loop {
        let room = window.saturating_sub(to.told() + end);
        if room >= 2 * LONG_EVENT {
            any_event(to, &mut people, &treasure)?;
        } else if room >= SHORT_EVENT {
            let who = one_of(to, &people, None)?;
            change(to, &mut people[who])?;
            to.say(". ")?;
        } else {
            break;
        }
    }
    to.say(&ending(&people, &treasure))?;
    to.say(&"\n".repeat(window.saturating_sub(to.told())))
}

/// `Nabekosi (Tirosale) had 7 owls`; names differ in their first letter from those of `others`.
fn introduce<C: Chooser>(to: &mut C, others: &[Person]) -> Result<Person, C::Halt> {
    let is_free = |letter: &&str| others.iter().all(|person| !person.name.starts_with(*letter));
    let initials: Vec<&str> = INITIALS.into_iter().filter(is_free).collect();
    let name = word(to, &initials, NAME)?;
    to.say(" (")?;
    let home = word(to, &INITIALS, NAME)?;
    to.say(if others.is_empty() { ") had " } else { ") " })?;
    let count = 1 + to.choose(&DIGITS[1..])?;
    let whole = ANIMALS.map(|animal| &animal[..animal.len() - usize::from(count == 1)]);
    to.say(" ")?;
    let animal = ANIMALS[to.choose(&whole)?];
    Ok(Person { name, home, count, animal })
}

/// An invented word of some syllables, with one of some first letters.
fn word<C: Chooser>(to: &mut C, initials: &[&str], syllables: usize) -> Result<String, C::Halt> {
    let mut word = String::with_capacity(2 * syllables);
    for syllable in 0..syllables {
        let consonants = if syllable == 0 { initials } else { &CONSONANTS };
        word.push_str(consonants[to.choose(consonants)?]);
        word.push_str(VOWELS[to.choose(&VOWELS)?]);
    }
    Ok(word)
}

/// The name of one of the people, but not of `other`.
fn one_of<C: Chooser>(
    to: &mut C,
    people: &[Person],
    other: Option<usize>,
) -> Result<usize, C::Halt> {
    let allowed: Vec<usize> = (0..people.len()).filter(|&who| Some(who) != other).collect();
    let names: Vec<&str> = allowed.iter().map(|&who| &*people[who].name).collect();
    Ok(allowed[to.choose(&names)?])
}

/// ` lost 2 owls`, after a name.
fn change<C: Chooser>(to: &mut C, person: &mut Person) -> Result<(), C::Halt> {
    let most = DIGITS.len() - 1;
    let all = [LOSSES, GAINS].concat();
    let range = match person.count {
        0 => LOSSES.len()..all.len(),
        count if count == most => 0..LOSSES.len(),
        _ => 0..all.len(),
    };
    let is_loss = range.start + to.choose(&all[range.clone()])? < LOSSES.len();
    let limit = if is_loss { person.count } else { most - person.count };
    let by = 1 + to.choose(&DIGITS[1..=limit])?;
    if is_loss {
        person.count -= by;
    } else {
        person.count += by;
    }
    to.say(&person.animals_after(by))
}

/// An event where there is room for any.
fn any_event<C: Chooser>(to: &mut C, people: &mut [Person], treasure: &str) -> Result<(), C::Halt> {
    match to.choose(&["Then ", "Asked where ", "No "])? {
        0 => {
            let who = one_of(to, people, None)?;
            change(to, &mut people[who])?;
            let person = &people[who];
            to.say(&format!(" and had {}. ", person.animals(person.count)))
        }
        1 => {
            let who = one_of(to, people, None)?;
            to.say(" lived, ")?;
            let other = one_of(to, people, Some(who))?;
            to.say(&format!(" ({}) said: in {}. ", people[other].home, people[who].home))
        }
        _ => {
            to.say(&format!("{treasure} yet, said "))?;
            let who = one_of(to, people, None)?;
            to.say(&format!(" ({}). ", people[who].home))
        }
    }
}

/// The end, where everything comes again.
fn ending(people: &[Person], treasure: &str) -> String {
    let have = |(place, person): (usize, &Person)| {
        let had = if place == 0 { "had " } else { "" };
        format!("{} {had}{}", person.and_home(), person.animals(person.count))
    };
    let people: Vec<String> = people.iter().enumerate().map(have).collect();
    format!("So {}. {treasure}!", people.join(", "))
}
