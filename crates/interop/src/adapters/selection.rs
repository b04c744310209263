//! [`Selection`]: which modules have an adapter, in PEFT's words.

use std::collections::BTreeSet;

use super::expression::Expression;
use super::work::Work;
use crate::error::Problem;

/// The output head: a linear module that "all linear modules" leave out.
const HEAD: &str = "lm_head";
/// The end of the name of a router, which is no linear module in transformers: PEFT's "all linear modules" leave it out.
const ROUTER: &str = ".mlp.gate";

/// Expressions in `layers_pattern` at most: models have one or two names for their layers, and all of them are held.
const MOST_LAYERS_PATTERNS: usize = 16;

/// Modules of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Modules {
    /// Those whose name is one of these, or ends in one after a point.
    Endings(Vec<String>),
    /// Those whose whole name matches a regular expression.
    Expression(String),
    /// All linear modules: everything but the output head and the routers of mixtures.
    AllLinear,
}

/// Which modules have an adapter: `target_modules`, `exclude_modules`, `layers_to_transform` and `layers_pattern` of a
/// PEFT configuration, with what they mean there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The modules to choose from.
    pub targets: Modules,
    /// Modules that are left out all the same.
    pub exclude: Option<Modules>,
    /// The layers to choose from, if not all. A target that is the whole name of a module is in any layer.
    pub layers: Option<Vec<usize>>,
    /// Regular expressions for what stands before the number of a layer; without any, the first number in a name is
    /// that of the layer.
    pub layers_pattern: Vec<String>,
}

impl From<Modules> for Selection {
    fn from(targets: Modules) -> Self {
        Self { targets, exclude: None, layers: None, layers_pattern: Vec::new() }
    }
}

/// What a selection says of a module. Of a module that has several names the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// It is no target.
    Other,
    /// It is a target of another layer.
    OtherLayer,
    Chosen,
    /// It is left out by name.
    Excluded,
}

/// A selection that is ready to be asked.
#[derive(Debug)]
pub(super) struct Matcher<'a> {
    targets: Compiled<'a>,
    exclude: Option<Compiled<'a>>,
    layers: Option<Layers>,
}

#[derive(Debug)]
enum Compiled<'a> {
    /// Sorted, to be searched by halves.
    Endings(Vec<&'a str>),
    Expression(Expression),
    AllLinear,
}

#[derive(Debug)]
struct Layers {
    chosen: BTreeSet<usize>,
    before: Vec<Expression>,
}

impl Selection {
    /// It ready to be asked, once of each name that the work is for.
    pub(super) fn matcher(&self, work: &mut Work) -> Result<Matcher<'_>, Problem> {
        let targets = compile(&self.targets, "target_modules", work)?;
        let exclude = match &self.exclude {
            Some(modules) => Some(compile(modules, "exclude_modules", work)?),
            None => None,
        };
        let layers = match &self.layers {
            Some(layers) => Some(self.layers(layers, work)?),
            None => None,
        };
        Ok(Matcher { targets, exclude, layers })
    }

    fn layers(&self, layers: &[usize], work: &mut Work) -> Result<Layers, Problem> {
        const KEY: &str = "layers_pattern";
        let patterns = &self.layers_pattern;
        if patterns.len() > MOST_LAYERS_PATTERNS {
            let expected = format!("at most {MOST_LAYERS_PATTERNS} expressions");
            return Err(Problem::mismatch(KEY, expected, patterns.len()));
        }
        let before = if patterns.is_empty() {
            vec![Expression::before_any_layer(work)?]
        } else {
            let before = patterns.iter().map(|text| Expression::before_layer(KEY, text, work));
            before.collect::<Result<_, _>>()?
        };
        Ok(Layers { chosen: layers.iter().copied().collect(), before })
    }
}

impl Matcher<'_> {
    pub(super) fn verdict(&self, name: &str) -> Verdict {
        if self.exclude.as_ref().is_some_and(|modules| modules.has(name)) {
            Verdict::Excluded
        } else if !self.targets.has(name) {
            Verdict::Other
        } else if self.targets.has_whole(name)
            || self.layers.as_ref().is_none_or(|layers| layers.have(name))
        {
            Verdict::Chosen
        } else {
            Verdict::OtherLayer
        }
    }
}

fn compile<'a>(modules: &'a Modules, key: &str, work: &mut Work) -> Result<Compiled<'a>, Problem> {
    Ok(match modules {
        Modules::Endings(endings) => {
            let mut sorted: Vec<&str> = endings.iter().map(String::as_str).collect();
            sorted.sort_unstable();
            work.list(key, &sorted)?;
            Compiled::Endings(sorted)
        }
        Modules::Expression(text) => Compiled::Expression(Expression::whole(key, text, work)?),
        Modules::AllLinear => Compiled::AllLinear,
    })
}

impl Compiled<'_> {
    fn has(&self, name: &str) -> bool {
        match self {
            Self::Endings(known) => {
                endings(name).any(|ending| known.binary_search(&ending).is_ok())
            }
            Self::Expression(expression) => expression.matches(name),
            Self::AllLinear => name != HEAD && !name.ends_with(ROUTER),
        }
    }

    /// Whether it names this module and no other.
    fn has_whole(&self, name: &str) -> bool {
        matches!(self, Self::Endings(known) if known.binary_search(&name).is_ok())
    }
}

impl Layers {
    fn have(&self, name: &str) -> bool {
        let layer = self.before.iter().find_map(|before| before.layer(name)).flatten();
        layer.is_some_and(|layer| self.chosen.contains(&layer))
    }
}

/// A name, and what follows each of its points.
pub(super) fn endings(name: &str) -> impl Iterator<Item = &str> {
    std::iter::once(name).chain(name.match_indices('.').map(|(point, _)| &name[point + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const Q3: &str = "model.layers.3.self_attn.q_proj";

    fn of(endings: &[&str]) -> Modules {
        Modules::Endings(endings.iter().map(|&ending| ending.to_owned()).collect())
    }

    fn verdict(selection: &Selection, name: &str) -> Verdict {
        selection.matcher(&mut Work::over([name])).unwrap().verdict(name)
    }

    #[test]
    fn endings_begin_after_a_point() {
        let selection = of(&["q_proj", "self_attn.k_proj"]).into();
        for (name, expected) in [
            (Q3, Verdict::Chosen),
            ("q_proj", Verdict::Chosen),
            ("a.self_attn.k_proj", Verdict::Chosen),
            ("a.k_proj", Verdict::Other),
            ("a.xq_proj", Verdict::Other),
            ("a.q_proj.b", Verdict::Other),
        ] {
            assert_eq!(verdict(&selection, name), expected, "{name}");
        }
    }

    #[test]
    fn all_linear_modules_are_all_but_the_head() {
        let selection = Modules::AllLinear.into();
        assert_eq!(verdict(&selection, Q3), Verdict::Chosen);
        assert_eq!(verdict(&selection, "lm_head"), Verdict::Other);
    }

    #[test]
    fn what_is_excluded_is_left_out_by_name_or_by_expression() {
        for exclude in [of(&["q_proj"]), of(&[Q3]), Modules::Expression(".*layers.3.*".into())] {
            let selection = Selection { exclude: Some(exclude), ..of(&["q_proj"]).into() };
            assert_eq!(verdict(&selection, Q3), Verdict::Excluded);
            assert_ne!(verdict(&selection, "model.layers.2.self_attn.k_proj"), Verdict::Excluded);
        }
    }

    #[test]
    fn layers_narrow_endings_but_not_whole_names() {
        let layers = Some(vec![1, 2]);
        let selection = Selection { layers: layers.clone(), ..of(&["q_proj"]).into() };
        assert_eq!(verdict(&selection, Q3), Verdict::OtherLayer);
        assert_eq!(verdict(&selection, "model.layers.2.self_attn.q_proj"), Verdict::Chosen);
        assert_eq!(verdict(&selection, "model.q_proj"), Verdict::OtherLayer);
        let whole = Selection { layers: layers.clone(), ..of(&[Q3]).into() };
        assert_eq!(verdict(&whole, Q3), Verdict::Chosen);
        let pattern = vec!["experts".to_owned()];
        let experts = Selection { layers, layers_pattern: pattern, ..of(&["up_proj"]).into() };
        assert_eq!(verdict(&experts, "model.layers.9.mlp.experts.2.up_proj"), Verdict::Chosen);
        assert_eq!(verdict(&experts, "model.layers.2.mlp.experts.9.up_proj"), Verdict::OtherLayer);
        assert_eq!(verdict(&experts, "model.layers.2.mlp.up_proj"), Verdict::OtherLayer);
    }

    #[test]
    fn lists_and_names_that_compare_for_hours_are_refused_by_their_key() {
        // Every ending of every name is the same as every one listed but for their last letters.
        let listed: Vec<String> = (1..2_800).map(|count| ".".repeat(count) + "b").collect();
        let names = vec![".".repeat(4095) + "a"; 1_200];
        let exclude = Some(Modules::Endings(listed.clone()));
        for (selection, key) in [
            (Modules::Endings(listed).into(), "target_modules"),
            (Selection { exclude, ..of(&["a"]).into() }, "exclude_modules"),
        ] {
            assert_eq!(
                verdict(&selection, "....b"),
                if key == "target_modules" { Verdict::Chosen } else { Verdict::Excluded }
            );
            let error = selection.matcher(&mut Work::over(&names)).unwrap_err().to_string();
            let start = format!("{key}: expected expressions and names that take at most");
            assert!(error.starts_with(&start), "{error}");
        }
    }

    #[test]
    fn more_names_for_layers_than_models_have_are_refused() {
        let before = |count| Selection {
            layers: Some(vec![0]),
            layers_pattern: vec!["layers".to_owned(); count],
            ..of(&["q_proj"]).into()
        };
        assert_eq!(verdict(&before(16), "model.layers.0.q_proj"), Verdict::Chosen);
        let error = before(17).matcher(&mut Work::over([Q3])).unwrap_err().to_string();
        assert_eq!(error, "layers_pattern: expected at most 16 expressions, found 17");
    }
}
