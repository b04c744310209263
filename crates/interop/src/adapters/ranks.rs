//! [`Ranks`]: how large the adapter of a module is, and how strong.

use lora_backward::Scaling;

use super::expression::Expression;
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
    /// The first that matches counts.
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

    /// Those of modules, by their names.
    pub(super) fn of(&self, names: &[&str]) -> Result<Found, Problem> {
        let ranks = first_matches("rank_pattern", &self.rank_pattern, names)?;
        let alphas = first_matches("alpha_pattern", &self.alpha_pattern, names)?;
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

/// The value of the first pattern that matches each name. One pattern at a time is compiled: a file may have many.
fn first_matches<V: Copy>(
    key: &'static str,
    patterns: &[(String, V)],
    names: &[&str],
) -> Result<Matches<V>, Problem> {
    let mut found = Matches { values: vec![None; names.len()], unused: None };
    for (pattern, value) in patterns {
        let expression = Expression::ending(key, pattern)?;
        let mut is_used = false;
        for (name, found) in names.iter().zip(&mut found.values) {
            if expression.matches(name) {
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
        let found = ranks.of(&names).unwrap();
        let pairs: Vec<_> = found.modules.iter().map(|(rank, s)| (*rank, s.alpha)).collect();
        assert_eq!(pairs, [(4, 1.5), (2, 1.5), (8, 16.0)]);
        assert!(found.modules.iter().all(|(_, scaling)| scaling.rank_stabilised));
        assert_eq!(found.unused, Some(("alpha_pattern", "down_proj".into())));
        ranks.rank_pattern.push(of("(?=q)", 1));
        let error = ranks.of(&names).unwrap_err().to_string();
        assert!(error.starts_with("rank_pattern: expression \"(?=q)\": "), "{error}");
    }
}
