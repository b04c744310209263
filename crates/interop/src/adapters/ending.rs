//! [`Ending`]: what the name of a module ends in.

use super::expression::Expression;
use super::work::Work;
use crate::error::Problem;

/// An expression that a name must end in, after a point or at its beginning, as in PEFT's
/// `re.match(rf"(.*\.)?({text})$", name)`.
#[derive(Debug)]
pub(super) enum Ending {
    /// Files name thousands of modules so.
    Plain(Plain),
    Any(Expression),
}

impl Ending {
    /// The expression of a text; `key` is what it stands under.
    pub(super) fn new(key: &str, text: &str, work: &mut Work) -> Result<Self, Problem> {
        match Plain::of(text) {
            Some(plain) => work.plain(key, text).map(|()| Self::Plain(plain)),
            None => Expression::ending(key, text, work).map(Self::Any),
        }
    }

    /// Whether it matches a name.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Plain(plain) => plain.matches(name),
            Self::Any(expression) => expression.matches(name),
        }
    }
}

/// The expressions that are little more than a name: `q_proj`, `^model.layers.0.k_proj`, `layers\.0\.up_proj$`.
#[derive(Debug)]
pub(super) struct Plain {
    letters: Vec<Letter>,
    /// Whether it begins with `^`, which matches at the beginning of a name only: it must match the whole name then.
    is_whole: bool,
}

#[derive(Debug)]
enum Letter {
    /// A point: any letter but the end of a line.
    Any,
    /// One that stands for itself; `\.` is a point that does.
    Only(char),
}

impl Plain {
    /// The text as such an expression, if it is one.
    fn of(text: &str) -> Option<Self> {
        let (is_whole, rest) = match text.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        // It ends where the name does anyway.
        let rest = rest.strip_suffix('$').unwrap_or(rest);
        let mut letters = Vec::with_capacity(rest.len());
        let mut bytes = rest.bytes();
        while let Some(byte) = bytes.next() {
            letters.push(match byte {
                b'.' => Letter::Any,
                b'\\' if bytes.next() == Some(b'.') => Letter::Only('.'),
                b'_' | b'-' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {
                    Letter::Only(char::from(byte))
                }
                _ => return None,
            });
        }
        Some(Self { letters, is_whole })
    }

    fn matches(&self, name: &str) -> bool {
        let mut rest = name.chars();
        for letter in self.letters.iter().rev() {
            let Some(found) = rest.next_back() else { return false };
            let is_match = match letter {
                Letter::Any => found != '\n',
                Letter::Only(expected) => found == *expected,
            };
            if !is_match {
                return false;
            }
        }
        let before = rest.as_str();
        let is_after_point = || before.ends_with('.') && !before.contains('\n');
        before.is_empty() || (!self.is_whole && is_after_point())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(text: &str) -> Ending {
        Ending::new("rank_pattern", text, &mut Work::over([""])).unwrap()
    }

    #[test]
    fn an_ending_matches_after_a_point_or_at_the_beginning() {
        for text in ["q_proj", "[q]_proj"] {
            let expression = ending(text);
            assert!(expression.matches("q_proj") && expression.matches("model.layers.0.q_proj"));
            assert!(!expression.matches("model.layers.0.xq_proj"));
            assert!(!expression.matches("model.q_proj.weight"));
        }
        // What PEFT's own text makes of brackets that do not belong together.
        assert!(ending("a)|(b").matches("axyz") && ending("a)|(b").matches("b"));
    }

    #[test]
    fn an_ending_that_begins_with_a_caret_is_a_whole_name() {
        let name = "model.decoder.layers.0.encoder_attn.k_proj";
        for text in [
            "^model.decoder.layers.0.encoder_attn.k_proj",
            r"^model\.decoder\.layers\.0\.encoder_attn\.k_proj$",
        ] {
            let expression = ending(text);
            assert!(matches!(expression, Ending::Plain(_)));
            assert!(expression.matches(name));
            assert!(!expression.matches(&format!("base.{name}")));
            assert!(!expression.matches(&name["model.".len()..]));
        }
        // A point stands for any letter, one after a backslash for itself.
        let other = name.replace("layers.0", "layers_0");
        assert!(ending("^model.decoder.layers.0.encoder_attn.k_proj").matches(&other));
        assert!(!ending(r"^model.decoder.layers\.0.encoder_attn.k_proj").matches(&other));
    }

    #[test]
    fn a_plain_ending_matches_what_its_expression_does() {
        let names = [
            "", ".", "a", "a.b", "axb", "x.a.b", "x.axb", "x\na.b", "x\n.a.b", "é.b", "éb", "a\nb",
            "..", "a..b", "a-b", ".b",
        ];
        for text in
            ["", ".", "a", "b", "a.b", ".b", "..", "a-b", "a.b.c", r"a\.b", r"\.b", r"\.", r".\."]
        {
            for text in
                [text.to_owned(), format!("^{text}"), format!("{text}$"), format!("^{text}$")]
            {
                let plain = ending(&text);
                assert!(matches!(plain, Ending::Plain(_)));
                // Brackets around it change nothing but that it is compiled.
                let compiled = ending(&format!("(?:{text})"));
                assert!(matches!(compiled, Ending::Any(_)));
                for name in names {
                    assert_eq!(plain.matches(name), compiled.matches(name), "{text:?}, {name:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_more_than_a_name_is_no_plain_ending() {
        for text in ["a*", "a|b", "a^", "^^a", "a$b", "$$", r"a\d", r"a\\.b", r"a\$", "é", "(a)"] {
            assert!(Plain::of(text).is_none(), "{text}");
        }
    }

    #[test]
    fn thousands_of_modules_may_be_named_from_their_beginning() {
        let name =
            |index| format!(r"^model\.layers\.{}\.mlp\.experts\.{index}\.up_proj", index % 48);
        let texts: Vec<String> = (0..18_432).map(name).collect();
        let work = &mut Work::over(&texts);
        for text in &texts {
            assert!(Ending::new("rank_pattern", text, work).is_ok(), "{text}");
        }
    }
}
