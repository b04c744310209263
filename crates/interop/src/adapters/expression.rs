//! [`Expression`]: regular expressions that say of a name what Python's would.
//!
//! PEFT hands the texts of a configuration to Python's `re`. The crate `regex` takes time that is linear in the
//! name, whatever the expression, and has for that a part of the syntax only. What it lacks, and what it reads in
//! another way, is refused by name: an expression that matched something else would load an adapter wrongly.

use std::iter::Peekable;
use std::str::CharIndices;

use regex::{Error, Regex, RegexBuilder};

use super::work::Work;
use crate::error::Problem;

/// The longest expression: reading one takes hundreds of bytes for each of its own.
const MAX_BYTES: usize = 1 << 14;
/// The largest expression, in bytes as compiled.
const MAX_COMPILED_BYTES: usize = 1 << 20;
/// What is tried first, and doubled while it is too little: so much is known to be enough, and taken of the work. So is
/// each try, before it is made.
const MIN_COMPILED_BYTES: usize = 1 << 12;
/// The group that holds the number of a layer.
const LAYER: &str = "idx";

/// An expression from a configuration, or from a command line.
#[derive(Debug)]
pub(super) struct Expression(Regex);

impl Expression {
    /// One that a whole name must match, as in `re.fullmatch(text, name)`; `key` is what it stands under.
    pub(super) fn whole(key: &str, text: &str, work: &mut Work) -> Result<Self, Problem> {
        check_syntax(key, text)?;
        // Alone first: a bracket that closes too much would be made good by the one that opens here.
        compile(key, text, text, work)?;
        compile(key, text, &format!(r"\A(?:{text})\z"), work)
    }

    /// One for what stands before the number of a layer, as in PEFT's
    /// `re.match(rf"(?:^|.*?\.){text}\.(?P<idx>\d+)\.", name)`.
    pub(super) fn before_layer(key: &str, text: &str, work: &mut Work) -> Result<Self, Problem> {
        check_syntax(key, text)?;
        compile(key, text, &format!(r"\A(?:(?:|.*?\.){text}\.(?P<{LAYER}>\d+)\.)"), work)
    }

    /// The same where anything may stand there: the first number in a name is that of its layer.
    pub(super) fn before_any_layer(work: &mut Work) -> Result<Self, Problem> {
        let text = format!(r"\A.*?\.[^.]*\.(?P<{LAYER}>\d+)\.");
        compile("layers", &text, &text, work)
    }

    /// One for what a name must end in, after a point or at its beginning, as in PEFT's
    /// `re.match(rf"(.*\.)?({text})$", name)`.
    pub(super) fn ending(key: &str, text: &str, work: &mut Work) -> Result<Self, Problem> {
        check_syntax(key, text)?;
        compile(key, text, &format!(r"\A(?:(.*\.)?({text})\z)"), work)
    }

    /// Whether it matches a name.
    pub(super) fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }

    /// The layer of a name that it matches, if what matches says one.
    pub(super) fn layer(&self, name: &str) -> Option<Option<usize>> {
        let captures = self.0.captures(name)?;
        Some(captures.name(LAYER).and_then(|layer| layer.as_str().parse().ok()))
    }
}

/// Compiles what `whole` says, for the text that stands under a key.
fn compile(key: &str, text: &str, whole: &str, work: &mut Work) -> Result<Expression, Problem> {
    let mut limit = MIN_COMPILED_BYTES;
    let compiled = loop {
        work.compiling(key, whole, limit)?;
        match RegexBuilder::new(whole).size_limit(limit).build() {
            Err(Error::CompiledTooBig(_)) if limit < MAX_COMPILED_BYTES => limit *= 2,
            compiled => break compiled,
        }
    };
    let expression = compiled.map(Expression).map_err(|error| {
        let (expected, found) = match error {
            Error::CompiledTooBig(limit) => {
                (format!("one of at most {limit} bytes, compiled"), "a larger one".to_owned())
            }
            // The last line says what is wrong; those before it draw where, in a text that is not the user's.
            error => {
                let message = error.to_string();
                let last = message.lines().last().unwrap_or_default();
                ("one that can be read".to_owned(), last.replace("error: ", ""))
            }
        };
        Problem::mismatch(described(key, text), expected, found)
    })?;
    work.expression(key, limit)?;
    Ok(expression)
}

fn described(key: &str, text: &str) -> String {
    format!("{key}: expression {text:?}")
}

/// Refuses what Python knows and `regex` does not, what they read differently, and what is too long.
fn check_syntax(key: &str, text: &str) -> Result<(), Problem> {
    if text.len() > MAX_BYTES {
        let expected = format!("at most {MAX_BYTES} bytes; a list of names can be longer");
        return Err(Problem::mismatch(format!("{key}: expression"), expected, text.len()));
    }
    let Some((at, what)) = unsupported(text) else { return Ok(()) };
    let expected = "one without look-around, back-references, conditions, atomic groups, possessive \
                    repetition, \\Z and brackets or operators within [ ]; a list of names can say the same";
    Err(Problem::mismatch(described(key, text), expected, format!("{what} at byte {at}")))
}

/// The first thing in an expression that is not supported, and the byte that it begins at.
fn unsupported(text: &str) -> Option<(usize, &'static str)> {
    let mut letters = text.char_indices().peekable();
    let mut follows_repetition = false;
    while let Some((at, letter)) = letters.next() {
        let is_repetition = match letter {
            '\\' => {
                match letters.next() {
                    Some((_, '1'..='9')) => return Some((at, "a back-reference")),
                    Some((_, 'Z')) => return Some((at, "\\Z")),
                    _ => {}
                }
                false
            }
            '[' => {
                if let Some(found) = unsupported_in_class(&mut letters) {
                    return Some(found);
                }
                false
            }
            '(' => {
                if let Some(what) = unsupported_group(&text[at..]) {
                    return Some((at, what));
                }
                // Its mark of a special group repeats nothing.
                letters.next_if(|&(_, letter)| letter == '?');
                false
            }
            '+' if follows_repetition => return Some((at, "a possessive repetition")),
            '*' | '+' | '?' | '}' => true,
            _ => false,
        };
        // A second mark after a repetition makes it lazy, and is none of its own.
        follows_repetition = is_repetition && !(letter == '?' && follows_repetition);
    }
    None
}

fn unsupported_group(rest: &str) -> Option<&'static str> {
    const GROUPS: [(&str, &str); 7] = [
        ("(?=", "a look-ahead"),
        ("(?!", "a look-ahead"),
        ("(?<=", "a look-behind"),
        ("(?<!", "a look-behind"),
        ("(?P=", "a back-reference"),
        ("(?>", "an atomic group"),
        ("(?(", "a condition"),
    ];
    GROUPS.into_iter().find(|(start, _)| rest.starts_with(start)).map(|(_, what)| what)
}

/// Goes to the end of a class of letters, the opening bracket of which was read. Python takes a bracket in it as one
/// more letter, and `&&`, `--` and `~~` as letters twice.
fn unsupported_in_class(letters: &mut Peekable<CharIndices<'_>>) -> Option<(usize, &'static str)> {
    letters.next_if(|&(_, letter)| letter == '^');
    // A closing bracket in the first place is one more letter.
    letters.next_if(|&(_, letter)| letter == ']');
    let mut before = None;
    while let Some((at, letter)) = letters.next() {
        match letter {
            ']' => return None,
            '[' => return Some((at, "a bracket within brackets")),
            '&' | '-' | '~' if before == Some(letter) => {
                return Some((at, "an operator within brackets"));
            }
            '\\' => {
                letters.next();
            }
            _ => {}
        }
        before = Some(letter);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(key: &str, text: &str) -> Result<Expression, Problem> {
        Expression::whole(key, text, &mut Work::over([""]))
    }

    #[test]
    fn a_whole_expression_matches_whole_names_only() {
        let whole = |text: &str| whole("targets", text).unwrap();
        let expression = whole(r"model\.layers\.\d+\.(q_proj|v_proj)");
        assert!(expression.matches("model.layers.12.v_proj"));
        for other in
            ["model.layers.12.v_proj2", "a.model.layers.12.v_proj", "model.layers.x.v_proj"]
        {
            assert!(!expression.matches(other), "{other}");
        }
        // The alternatives are those of the whole, not of its ends.
        assert!(!whole("a|b").matches("ab") && whole("a|b").matches("b"));
        assert!(
            whole(".*[^]x]_proj").matches("q_proj") && !whole(".*[^]x]_proj").matches("x_proj")
        );
        assert!(whole("a+?b??c*").matches("aabcc"));
    }

    /// The steps that an expression takes, and whether it is one.
    fn taken(text: &str, names: &[&str]) -> (u64, bool) {
        let mut work = Work::over(names);
        let before = work.left();
        let is_one = Expression::ending("rank_pattern", text, &mut work).is_ok();
        (before - work.left(), is_one)
    }

    #[test]
    fn an_expression_takes_work_by_its_size_and_the_names() {
        let name = "a".repeat(1 << 20);
        let (small, _) = taken("[q]_proj", &[&name]);
        let (large, _) = taken("[q]_proj(?:abcdefgh){200}", &[&name]);
        assert!((1 << 32..1 << 33).contains(&small), "{small}");
        assert!(large >= 8 * small, "{small}, {large}");
    }

    #[test]
    fn every_try_takes_work_before_it_is_made() {
        // Three tries at what it is compiled to, each of which reads the text again.
        let text = r"(?i)[\w]{0}".to_owned() + &"a".repeat(300);
        let bytes = (text.len() + r"\A(?:(.*\.)?()\z)".len()) as u64;
        let of_try = |limit: u64| 256 * limit + (bytes << 15) + (1 << 26);
        let mut tries = 0;
        let (found, is_one) = taken(&text, &[]);
        let mut expected = 0;
        while expected < found {
            expected += of_try(4096 << tries);
            tries += 1;
        }
        assert!(is_one && tries > 1, "{tries}");
        assert_eq!(found, expected);
        // What cannot be read takes its try, and what is too large takes all.
        let (found, is_one) = taken("(?i)[a][a](", &[]);
        assert!(!is_one && found > 2 << 26, "{found}");
        let (found, is_one) = taken("a{1000}{1000}", &[]);
        assert!(!is_one && found > 256 * ((2 << 20) - 4096), "{found}");
    }

    #[test]
    fn a_text_that_is_slow_to_read_and_compiles_to_nothing_is_refused_unread() {
        // A try takes seconds and more; a configuration holds hundreds of such texts.
        let text = "(?i)".to_owned() + &"[ -\u{10FFFF}]{0}".repeat(1_400);
        let mut work = Work::over([""]);
        let before = work.left();
        work.compiling("k", &text, 1 << 20).unwrap();
        let taken = before - work.left();
        while work.compiling("k", &text, 1 << 20).is_ok() {}
        assert!(work.left() < taken && taken > before / 8);
        let error = Expression::ending("rank_pattern", &text, &mut work).unwrap_err().to_string();
        assert!(error.starts_with("rank_pattern: expected expressions and names that"), "{error}");
    }

    #[test]
    fn the_number_of_a_layer_is_the_first_after_what_stands_before_it() {
        let work = &mut Work::over([""]);
        let any = Expression::before_any_layer(work).unwrap();
        assert_eq!(any.layer("model.layers.3.mlp.experts.7.up_proj"), Some(Some(3)));
        assert_eq!(any.layer("lm_head"), None);
        assert_eq!(any.layer("layers.3.up_proj"), None);
        let experts = Expression::before_layer("layers_pattern", "experts", work).unwrap();
        assert_eq!(experts.layer("model.layers.3.mlp.experts.7.up_proj"), Some(Some(7)));
        // Alternatives without brackets reach further than one thinks, in PEFT as here.
        let either = Expression::before_layer("layers_pattern", "layers|h", work).unwrap();
        assert_eq!(either.layer("model.layers.3.up_proj"), Some(None));
    }

    #[test]
    fn what_python_reads_otherwise_is_refused_by_name() {
        for (text, found) in [
            ("a(?=b)", "a look-ahead at byte 1"),
            ("a(?!b)", "a look-ahead at byte 1"),
            ("(?<=a)b", "a look-behind at byte 0"),
            ("(?<!a)b", "a look-behind at byte 0"),
            (r"(a)\1", "a back-reference at byte 3"),
            ("(?P<n>a)(?P=n)", "a back-reference at byte 8"),
            ("(?>a)", "an atomic group at byte 0"),
            ("(a)?(?(1)b|c)", "a condition at byte 4"),
            ("a++b", "a possessive repetition at byte 2"),
            ("a{2}+", "a possessive repetition at byte 4"),
            (r"a\Z", r"\Z at byte 1"),
            ("[a[b]", "a bracket within brackets at byte 2"),
            ("[a-z--b]", "an operator within brackets at byte 5"),
        ] {
            let error = whole("target_modules", text).unwrap_err().to_string();
            let start =
                format!("target_modules: expression {text:?}: expected one without look-around");
            assert!(error.starts_with(&start) && error.ends_with(found), "{error}");
        }
        for text in [r"\(?=a", "[(?=]", r"(?:a)+?", "(?P<n>a)", r"\++", "[+*]+", "(?i)a"] {
            assert!(whole("target_modules", text).is_ok(), "{text}");
        }
    }

    #[test]
    fn expressions_that_are_none_or_too_large_are_refused() {
        let error = |text: &str| whole("k", text).unwrap_err().to_string();
        let expected =
            "k: expression \"a)(b\": expected one that can be read, found unopened group";
        assert_eq!(error("a)(b"), expected);
        assert!(error("a{1000}{1000}{1000}").ends_with("compiled, found a larger one"));
        assert!(error(&"(".repeat(10_000)).contains("expected one that can be read"));
        assert!(error(&"(".repeat(20_000)).contains("expected at most 16384 bytes"));
    }
}
