//! [`Work`]: what the expressions of a configuration may take together.

use crate::error::Problem;

/// Steps that are taken at most, minutes in the worst case. Some dozen expressions for each of the twenty thousand
/// projections of a large mixture of experts, or the whole name of each, take less.
const MOST: u64 = 1 << 39;
/// Steps that compiling takes, for each byte of what is compiled.
const COMPILING: u64 = 256;
/// Steps that comparing a letter takes.
const COMPARING: u64 = 4;

/// How many steps are left for the expressions of a configuration: there may be as many as fit in it, each slow, and as
/// many modules to ask them of.
///
/// ```text
/// an expression    (256 + bytes of all names)·bytes of the expression, compiled
/// a plain ending   4·number of names·(bytes of the ending + 1)
/// ```
///
/// The first is what a search for an expression takes that no automaton of few states can do: a step for each letter of a
/// name and each state.
#[derive(Debug)]
pub(super) struct Work {
    names: u64,
    bytes: u64,
    left: u64,
}

impl Work {
    /// For expressions each of which is asked once of each of these names.
    pub(super) fn over(names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut work = Self { names: 0, bytes: 0, left: MOST };
        for name in names {
            work.names += 1;
            work.bytes += name.as_ref().len() as u64;
        }
        work
    }

    /// Takes what an expression under a key costs that was compiled to so many bytes.
    pub(super) fn expression(&mut self, key: &str, compiled: usize) -> Result<(), Problem> {
        self.take(key, (COMPILING + self.bytes).saturating_mul(compiled as u64))
    }

    /// Takes what a plain ending under a key costs.
    pub(super) fn plain(&mut self, key: &str, ending: &str) -> Result<(), Problem> {
        self.take(key, (COMPARING * self.names).saturating_mul(ending.len() as u64 + 1))
    }

    fn take(&mut self, key: &str, steps: u64) -> Result<(), Problem> {
        let Some(left) = self.left.checked_sub(steps) else {
            let expected = format!(
                "expressions that take at most {MOST} steps for the {} names of modules in all; plain names take few",
                self.names
            );
            return Err(Problem::mismatch(key, expected, "more, or larger ones"));
        };
        self.left = left;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_adds_up_and_grows_with_names_and_expressions() {
        let names = ["a".repeat(1000), "b".repeat(24)];
        let mut work = Work::over(&names);
        work.expression("k", 100).unwrap();
        work.plain("k", "q_proj").unwrap();
        assert_eq!(MOST - work.left, (256 + 1024) * 100 + 4 * 2 * 7);
        let mut taken = 0;
        let error = loop {
            match work.expression("rank_pattern", 1 << 20) {
                Ok(()) => taken += 1,
                Err(error) => break error.to_string(),
            }
        };
        assert_eq!(taken, MOST / ((256 + 1024) << 20));
        assert_eq!(
            error,
            "rank_pattern: expected expressions that take at most 549755813888 steps for the 2 names of modules in \
             all; plain names take few, found more, or larger ones"
        );
        // What is too much is not taken: less is still there.
        work.plain("k", "q_proj").unwrap();
        assert!(Work { names: u64::MAX >> 8, ..work }.plain("k", "q_proj").is_err());
    }
}
