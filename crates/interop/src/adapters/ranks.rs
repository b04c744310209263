//! [`Ranks`]: how large the adapter of a module is, and how strong.

use lora_backward::Scaling;

use super::ending::Ending;
use super::work::Work;
use crate::error::Problem;

/// The rank and α of each module: `r`, `lora_alpha`, `use_rslora`, `rank_pattern` and `alpha_pattern` of a PEFT
/// configuration, with what they mean there.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranks {
    /// The rank of modules that no pattern says another for.
    pub rank: usize,
    /// α of modules that no pattern says another for.
    pub alpha: f64,
    /// Whether α is divided by √r in the place of r.
    pub rank_stabilised: bool,
    /// Ranks of modules whose name ends in what matches a regular expression, after a point or at its beginning.
    /// The first that matches counts. In [`resolve`](super::resolve()) either name of a module will do, in a file it is
    /// the one that the file has.
    pub rank_pattern: Vec<(String, usize)>,
    /// The same for α.
    pub alpha_pattern: Vec<(String, f64)>,
}

impl Ranks {
    /// The same for every module.
    pub fn uniform(rank: usize, scaling: Scaling) -> Self {
        let Scaling { alpha, rank_stabilised } = scaling;
        let (rank_pattern, alpha_pattern) = (Vec::new(), Vec::new());
        Self { rank, alpha, rank_stabilised, rank_pattern, alpha_pattern }
    }

    /// Those of modules, each by any of its names, all of which the work is for.
    pub(super) fn of<'a, N: AsRef<[&'a str]>>(
        &self,
        modules: &[N],
        work: &mut Work,
    ) -> Result<Found, Problem> {
        let ranks = first_matches("rank_pattern", &self.rank_pattern, modules, work)?;
        let alphas = first_matches("alpha_pattern", &self.alpha_pattern, modules, work)?;
        let modules = ranks.values.into_iter().zip(alphas.values).map(|(rank, alpha)| {
            let alpha = alpha.unwrap_or(self.alpha);
            let scaling = Scaling { alpha, rank_stabilised: self.rank_stabilised };
            (rank.unwrap_or(self.rank), scaling)
        });
        let unused = ranks.unused.or(alphas.unused);
        Ok(Found { modules: modules.collect(), unused })
    }
}

/// What is said of modules.
#[derive(Debug)]
pub(super) struct Found {
    /// Of each module, in the order that was asked in.
    pub(super) modules: Vec<(usize, Scaling)>,
    /// The first pattern that matches none of them, after the key that it stands under.
    pub(super) unused: Option<(&'static str, String)>,
}

struct Matches<V> {
    values: Vec<Option<V>>,
    unused: Option<(&'static str, String)>,
}

/// The value of the first pattern that matches each module. One pattern at a time is compiled: a file may have many.
fn first_matches<'a, V: Copy, N: AsRef<[&'a str]>>(
    key: &'static str,
    patterns: &[(String, V)],
    modules: &[N],
    work: &mut Work,
) -> Result<Matches<V>, Problem> {
    let mut found = Matches { values: vec![None; modules.len()], unused: None };
    for (pattern, value) in patterns {
        let ending = Ending::new(key, pattern, work)?;
        let mut is_used = false;
        for (names, found) in modules.iter().zip(&mut found.values) {
            if names.as_ref().iter().any(|name| ending.matches(name)) {
                is_used = true;
                found.get_or_insert(*value);
            }
        }
        if !is_used {
            found.unused.get_or_insert_with(|| (key, pattern.clone()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_that_matches_counts_and_others_have_the_common_values() {
        let mut ranks = Ranks::uniform(8, Scaling { alpha: 16.0, rank_stabilised: true });
        let of = |text: &str, value| (text.to_owned(), value);
        ranks.rank_pattern = vec![of(r"layers\.0\..*", 4), of("q_proj", 2)];
        ranks.alpha_pattern = vec![("q_proj".into(), 1.5), ("down_proj".into(), 9.0)];
        let names = ["model.layers.0.q_proj", "model.layers.1.q_proj", "model.layers.10.up_proj"];
        let (modules, work) = (names.map(|name| [name]), &mut Work::over(names));
        let found = ranks.of(&modules, work).unwrap();
        let pairs: Vec<_> = found.modules.iter().map(|(rank, s)| (*rank, s.alpha)).collect();
        assert_eq!(pairs, [(4, 1.5), (2, 1.5), (8, 16.0)]);
        assert!(found.modules.iter().all(|(_, scaling)| scaling.rank_stabilised));
        assert_eq!(found.unused, Some(("alpha_pattern", "down_proj".into())));
        ranks.rank_pattern.push(of("(?=q)", 1));
        let error = ranks.of(&modules, work).unwrap_err().to_string();
        assert!(error.starts_with("rank_pattern: expression \"(?=q)\": "), "{error}");
    }

    #[test]
    fn a_pattern_matches_a_module_by_any_of_its_names_and_the_first_pattern_counts() {
        let mut ranks = Ranks::uniform(8, Scaling { alpha: 16.0, rank_stabilised: false });
        ranks.rank_pattern = vec![("c.d".into(), 2), ("b".into(), 4), ("a.*".into(), 5)];
        let modules = [["a.b", "c.d"], ["x", "y.b"], ["z", "a"]];
        let found = ranks.of(&modules, &mut Work::over(modules.concat())).unwrap();
        let found: Vec<_> = found.modules.into_iter().map(|(rank, _)| rank).collect();
        assert_eq!(found, [2, 4, 5]);
    }

    #[test]
    fn more_patterns_than_can_be_worked_through_are_refused_by_their_key() {
        let mut ranks = Ranks::uniform(8, Scaling { alpha: 16.0, rank_stabilised: false });
        // Some of them may take their time with so long a name, but not all.
        ranks.alpha_pattern = vec![("[q]_proj(?:abcdefgh){200}".into(), 1.0); 100_000];
        let name = "a".repeat(1 << 18);
        let of = |ranks: &Ranks| ranks.of(&[[&*name]], &mut Work::over([&name]));
        let error = of(&ranks).unwrap_err().to_string();
        let start = "alpha_pattern: expected expressions and names that take";
        assert!(error.starts_with(start), "{error}");
        ranks.alpha_pattern.truncate(10);
        assert!(of(&ranks).is_ok());
    }

    #[test]
    fn hundreds_of_modules_may_each_have_a_pattern() {
        let names: Vec<_> = (0..500).map(|at| format!("model.layers.{at}.mlp.up_proj")).collect();
        let mut ranks = Ranks::uniform(8, Scaling { alpha: 16.0, rank_stabilised: false });
        ranks.rank_pattern = names.iter().cloned().zip(1..).collect();
        let modules: Vec<[&str; 1]> = names.iter().map(|name| [name.as_str()]).collect();
        let found = ranks.of(&modules, &mut Work::over(&names)).unwrap();
        let found: Vec<_> = found.modules.into_iter().map(|(rank, _)| rank).collect();
        assert_eq!(found, (1..=500).collect::<Vec<_>>());
    }
}
