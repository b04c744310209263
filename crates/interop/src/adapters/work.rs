//! [`Work`]: what the expressions and the names of a configuration may take together.

use crate::error::Problem;

/// Steps that are taken at most, each about a nanosecond: minutes in the worst case. The experts of Qwen3-30B-A3B are
/// 18 432 projections, 48 layers of 128 experts. For those it is enough for 180 of the smallest expressions, or for a rank
/// and an α of each by its whole name.
const MOST: u64 = 1 << 39;
/// Steps that compiling takes, for each byte that the compiled expression may have.
const COMPILING: u64 = 256;
/// Steps that reading an expression takes, for each byte of its text: optional letters are the slowest, for the search
/// for what all matches begin with.
const READING: u64 = 1 << 15;
/// Steps that reading a class in brackets takes where case is ignored: every letter in it is looked up, up to all that
/// there are.
const FOLDING: u64 = 1 << 26;
/// Steps that comparing a letter takes.
const COMPARING: u64 = 4;

/// How many steps are left for the expressions and the names of a configuration: there may be as many as fit in it, each
/// slow, and as many modules to ask them of.
///
/// ```text
/// compiling, each try    256·bytes allowed + 2¹⁵·bytes of the text + 2²⁶·brackets, if case is ignored
/// an expression          bytes of all names·bytes of the expression, compiled
/// a plain ending         4·number of names·(bytes of the ending + 1) + bytes of all names
/// a list of names        4·endings of all names·(1 + ⌊log₂ number of the list⌋)·(bytes of its longest + 1)
/// ```
///
/// The second is what a search for an expression takes that no automaton of few states can do: a step for each letter of a
/// name and each state. The last is that of a search by halves.
#[derive(Debug)]
pub(super) struct Work {
    asked: Asked,
    left: u64,
}

/// The names that expressions are asked of.
#[derive(Debug, Default)]
struct Asked {
    names: u64,
    bytes: u64,
    /// The names themselves, and what follows each point in them.
    endings: u64,
}

impl Asked {
    fn count(names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut asked = Self::default();
        for name in names {
            let name = name.as_ref().as_bytes();
            asked.names += 1;
            asked.bytes += name.len() as u64;
            asked.endings += 1 + name.iter().filter(|&&byte| byte == b'.').count() as u64;
        }
        asked
    }
}

impl Work {
    /// For expressions each of which is asked once of each of these names.
    pub(super) fn over(names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        Self { asked: Asked::count(names), left: MOST }
    }

    /// From here on expressions are asked of these names, and not of those before.
    pub(super) fn turn_to(&mut self, names: impl IntoIterator<Item = impl AsRef<str>>) {
        self.asked = Asked::count(names);
    }

    /// Takes what one try costs to compile a text under a key to at most so many bytes, before it is made.
    pub(super) fn compiling(
        &mut self,
        key: &str,
        text: &str,
        allowed: usize,
    ) -> Result<(), Problem> {
        let brackets = if may_ignore_case(text) { text.matches('[').count() } else { 0 };
        let reading = READING.saturating_mul(text.len() as u64);
        let folding = FOLDING.saturating_mul(brackets as u64);
        let compiling = COMPILING.saturating_mul(allowed as u64);
        self.take(key, compiling.saturating_add(reading).saturating_add(folding))
    }

    /// Takes what an expression under a key costs that was compiled to so many bytes.
    pub(super) fn expression(&mut self, key: &str, compiled: usize) -> Result<(), Problem> {
        self.take(key, self.asked.bytes.saturating_mul(compiled as u64))
    }

    /// Takes what a plain ending under a key costs.
    pub(super) fn plain(&mut self, key: &str, ending: &str) -> Result<(), Problem> {
        let comparing = (COMPARING * self.asked.names).saturating_mul(ending.len() as u64 + 1);
        self.take(key, comparing.saturating_add(self.asked.bytes))
    }

    /// Takes what it costs to look up every ending of every name in the sorted list under a key.
    pub(super) fn list(&mut self, key: &str, listed: &[&str]) -> Result<(), Problem> {
        let halvings = u64::from(listed.len().checked_ilog2().map_or(0, |log| 1 + log));
        let longest = listed.iter().map(|name| name.len() as u64).max().unwrap_or(0);
        let comparing = (COMPARING * halvings).saturating_mul(longest + 1);
        self.take(key, comparing.saturating_mul(self.asked.endings))
    }

    fn take(&mut self, key: &str, steps: u64) -> Result<(), Problem> {
        let Some(left) = self.left.checked_sub(steps) else {
            let expected = format!(
                "expressions and names that take at most {MOST} steps for the {} names of modules in all; short plain \
                 names take few",
                self.asked.names
            );
            return Err(Problem::mismatch(key, expected, "more, or larger ones"));
        };
        self.left = left;
        Ok(())
    }

    /// How many steps are left.
    #[cfg(test)]
    pub(super) fn left(&self) -> u64 {
        self.left
    }
}

/// Whether an expression can have the flag `i` somewhere: flags follow a question mark.
fn may_ignore_case(text: &str) -> bool {
    let is_flag = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'-';
    text.split('?').skip(1).any(|rest| rest.bytes().take_while(is_flag).any(|flag| flag == b'i'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_adds_up_and_grows_with_names_and_expressions() {
        let names = ["a.".repeat(500), "b".repeat(24)];
        let mut work = Work::over(&names);
        let mut taken = |take: &dyn Fn(&mut Work) -> Result<(), Problem>| {
            let before = work.left;
            take(&mut work).unwrap();
            before - work.left
        };
        assert_eq!(taken(&|work| work.expression("k", 100)), 1024 * 100);
        assert_eq!(taken(&|work| work.plain("k", "q_proj")), 4 * 2 * 7 + 1024);
        assert_eq!(taken(&|work| work.list("k", &[])), 0);
        assert_eq!(taken(&|work| work.list("k", &["a", "q_proj", "z"])), 4 * 502 * 2 * 7);
        let compiling = 256 * 4096 + (1 << 15) * 5;
        assert_eq!(taken(&|work| work.compiling("k", "[q]ab", 4096)), compiling);
        let compiling = 256 * 4096 + (1 << 15) * 10 + (2 << 26);
        assert_eq!(taken(&|work| work.compiling("k", "(?si)[q][]", 4096)), compiling);
        work.turn_to(&names[1..]);
        let before = work.left;
        work.expression("k", 100).unwrap();
        assert_eq!(before - work.left, 24 * 100);
    }

    #[test]
    fn what_is_too_much_is_refused_and_not_taken() {
        let mut work = Work::over(["a".repeat(1000), "b".repeat(24)]);
        let mut taken = 0;
        let error = loop {
            match work.expression("rank_pattern", 1 << 20) {
                Ok(()) => taken += 1,
                Err(error) => break error.to_string(),
            }
        };
        assert_eq!(taken, MOST / (1024 << 20));
        assert_eq!(
            error,
            "rank_pattern: expected expressions and names that take at most 549755813888 steps for the 2 names of \
             modules in all; short plain names take few, found more, or larger ones"
        );
        let mut work = Work { left: 100, ..work };
        assert!(work.plain("k", "q_proj").is_err() && work.left == 100);
        let asked = Asked { names: u64::MAX >> 8, bytes: u64::MAX, endings: u64::MAX };
        let mut work = Work { asked, ..work };
        assert!(work.plain("k", "q_proj").is_err() && work.list("k", &["a"]).is_err());
        assert!(work.expression("k", 2).is_err());
    }

    #[test]
    fn case_can_be_ignored_where_a_flag_says_so() {
        for text in ["(?i)[a]", "a(?i:b)", "(?s-i)a", "(?x)( ?i)a"] {
            assert!(may_ignore_case(text), "{text}");
        }
        for text in ["[i]", "(?:i)", "(?P<i>a)", "(?s)i", "a?_i"] {
            assert!(!may_ignore_case(text), "{text}");
        }
    }

    #[test]
    fn the_experts_of_a_large_mixture_may_be_asked_many_expressions_and_each_by_its_name() {
        let mut names = Vec::new();
        for layer in 0..48 {
            for expert in 0..128 {
                for part in ["gate", "up", "down"] {
                    names.push(format!("model.layers.{layer}.mlp.experts.{expert}.{part}_proj"));
                }
            }
        }
        let mut work = Work::over(&names);
        let mut expressions = 0;
        while work.compiling("k", r"layers\.0\..*", 4096).is_ok()
            && work.expression("k", 4096).is_ok()
        {
            expressions += 1;
        }
        assert!((180..190).contains(&expressions), "{expressions}");
        let mut work = Work::over(&names);
        for _ in ["rank_pattern", "alpha_pattern"] {
            names.iter().for_each(|name| work.plain("k", name).unwrap());
        }
        let listed: Vec<_> = names.iter().map(String::as_str).collect();
        work.list("k", &listed).unwrap();
        assert!(work.left > MOST / 2);
    }
}
