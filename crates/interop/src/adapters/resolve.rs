//! [`resolve`]: the adapters that a model is to have.

use std::collections::{BTreeMap, BTreeSet};

use lora_backward::{Place, Scaling, check_rank};

use super::prefix::Prefix;
use super::ranks::Ranks;
use super::selection::{Modules, Selection, Verdict, endings};
use super::work::Work;
use crate::error::Problem;

/// Names that a message about an unknown one holds.
const NAMED: usize = 24;

/// An adapter that a model is to have.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The name of the projection.
    pub module: String,
    /// r.
    pub rank: usize,
    /// The factor of B·A·x.
    pub scaling: Scaling,
}

/// The adapters that a model of these places is to have, in the order of the places. A module may be called by our own
/// name, or as in a model that sees as well (`model.language_model.layers.…`).
///
/// ```
/// use interop::adapters::{Modules, Ranks, Selection, resolve};
/// use lora_backward::{Place, Scaling};
///
/// let place = |layer, part: &str| Place {
///     name: format!("model.layers.{layer}.{part}"),
///     layer: Some(layer),
///     kind: "attention",
///     inputs: 8,
///     outputs: 8,
/// };
/// let places = [place(0, "self_attn.q_proj"), place(1, "self_attn.q_proj")];
/// let selection = Selection {
///     layers: Some(vec![1]),
///     ..Modules::Endings(vec!["q_proj".into()]).into()
/// };
/// let ranks = Ranks::uniform(4, Scaling { alpha: 8.0, rank_stabilised: false });
/// let targets = resolve(&places, &selection, &ranks)?;
/// assert_eq!(targets.len(), 1);
/// assert_eq!(targets[0].module, "model.layers.1.self_attn.q_proj");
/// # Ok::<(), interop::Problem>(())
/// ```
///
/// # Errors
/// A target, a layer, an exclusion or a pattern that fits no module, with what there is; a rank that a module cannot
/// have; an expression that is none.
pub fn resolve(
    places: &[Place],
    selection: &Selection,
    ranks: &Ranks,
) -> Result<Vec<Target>, Problem> {
    let names: Vec<Names<'_>> = places.iter().map(Names::of).collect();
    let work = &mut Work::over(names.iter().flat_map(Names::both));
    check_layers(places, selection)?;
    check_known("target", &selection.targets, &names, work)?;
    if let Some(exclude) = &selection.exclude {
        check_known("exclusion", exclude, &names, work)?;
    }
    let matcher = selection.matcher(work)?;
    // The strongest of both names counts: what is left out under one is left out.
    let verdict =
        |names: &Names<'_>| names.both().map(|name| matcher.verdict(name)).into_iter().max();
    let verdicts: Vec<Verdict> = names.iter().filter_map(verdict).collect();
    check_used(selection, &names, &verdicts)?;
    let chosen: Vec<&Names<'_>> = names
        .iter()
        .zip(&verdicts)
        .filter(|(_, verdict)| **verdict == Verdict::Chosen)
        .map(|(names, _)| names)
        .collect();
    let both: Vec<[&str; 2]> = chosen.iter().map(|names| names.both()).collect();
    let found = ranks.of(&both, work)?;
    if let Some((key, pattern)) = found.unused {
        let what = format!("{key}: {pattern:?}");
        let expected = format!("the ending of a chosen module: {}", known_endings(&chosen));
        return Err(Problem::mismatch(what, expected, "one of none"));
    }
    let target = |(names, (rank, scaling)): (&&Names<'_>, (usize, Scaling))| {
        let Place { name: module, inputs, outputs, .. } = names.place;
        check_rank(module, [*outputs, *inputs], rank)?;
        Ok(Target { module: module.clone(), rank, scaling })
    };
    chosen.iter().zip(found.modules).map(target).collect()
}

/// What a place may be called.
struct Names<'a> {
    place: &'a Place,
    nested: String,
}

impl<'a> Names<'a> {
    fn of(place: &'a Place) -> Self {
        Self { place, nested: Prefix::Nested.in_model(&place.name) }
    }

    fn both(&self) -> [&str; 2] {
        [&self.place.name, &self.nested]
    }

    fn have_ending(&self, ending: &str) -> bool {
        self.both().iter().any(|name| endings(name).any(|known| known == ending))
    }
}

fn check_layers(places: &[Place], selection: &Selection) -> Result<(), Problem> {
    let known: BTreeSet<usize> = places.iter().filter_map(|place| place.layer).collect();
    let unknown = selection.layers.iter().flatten().find(|layer| !known.contains(layer));
    let Some(layer) = unknown else { return Ok(()) };
    let expected = match known.last() {
        Some(last) => format!("layers of the model, 0 to {last}"),
        None => "none, as the model has no layers".to_owned(),
    };
    Err(Problem::mismatch("layers", expected, layer))
}

/// Refuses names that no module ends in.
fn check_known(
    what: &str,
    modules: &Modules,
    names: &[Names<'_>],
    work: &mut Work,
) -> Result<(), Problem> {
    match modules {
        Modules::Endings(wanted) => {
            if let Some(ending) =
                wanted.iter().find(|ending| !names.iter().any(|names| names.have_ending(ending)))
            {
                let expected = format!("one of the model's: {}", known_endings(names));
                let found = "no module that ends so";
                return Err(Problem::mismatch(format!("{what} {ending:?}"), expected, found));
            }
            Ok(())
        }
        Modules::Expression(text) => {
            let selection = Selection::from(modules.clone());
            let matcher = selection.matcher(work)?;
            let is_match = |name: &str| matcher.verdict(name) == Verdict::Chosen;
            if names.iter().any(|names| names.both().into_iter().any(is_match)) {
                return Ok(());
            }
            let example = names.first().map_or("none at all", |names| &names.place.name);
            let expected = format!("one that a whole name matches, such as {example}");
            Err(Problem::mismatch(format!("{what} {text:?}"), expected, "an expression of none"))
        }
        Modules::AllLinear => Ok(()),
    }
}

/// Refuses targets of which nothing is left.
fn check_used(
    selection: &Selection,
    names: &[Names<'_>],
    verdicts: &[Verdict],
) -> Result<(), Problem> {
    let left = |what: String, is_meant: &dyn Fn(&Names<'_>) -> bool| {
        let meant = names.iter().zip(verdicts).filter(|(names, _)| is_meant(names));
        let meant: Vec<_> = meant.collect();
        if meant.iter().any(|(_, verdict)| **verdict == Verdict::Chosen) {
            return Ok(());
        }
        let elsewhere = meant.iter().filter(|(_, verdict)| **verdict == Verdict::OtherLayer);
        let layers: BTreeSet<usize> =
            elsewhere.filter_map(|(names, _)| names.place.layer).collect();
        if layers.is_empty() {
            let expected = "a module that is not excluded";
            return Err(Problem::mismatch(what, expected, "none that is left"));
        }
        let layers = layers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let chosen = selection.layers.iter().flatten().map(usize::to_string);
        let chosen = chosen.collect::<Vec<_>>().join(", ");
        let expected = format!("a module in the layers {chosen}");
        Err(Problem::mismatch(what, expected, format!("modules in the layers {layers} only")))
    };
    match &selection.targets {
        Modules::Endings(wanted) if wanted.is_empty() => {
            Err(Problem::mismatch("targets", "one name at least", "none"))
        }
        Modules::Endings(wanted) => wanted.iter().try_for_each(|ending| {
            left(format!("target {ending:?}"), &|names| names.have_ending(ending))
        }),
        Modules::Expression(text) => left(format!("target {text:?}"), &|_| true),
        Modules::AllLinear => left("all linear modules".to_owned(), &|_| true),
    }
}

/// The last parts of names, in the order of the model.
fn known_endings<'a, N: std::borrow::Borrow<Names<'a>>>(names: &[N]) -> String {
    let mut places = BTreeMap::new();
    for (index, names) in names.iter().enumerate() {
        let name = &names.borrow().place.name;
        places.entry(name.rsplit('.').next().unwrap_or(name)).or_insert(index);
    }
    let mut known: Vec<_> = places.into_iter().map(|(ending, index)| (index, ending)).collect();
    known.sort_unstable();
    let more = if known.len() > NAMED { ", …" } else { "" };
    let known: Vec<_> = known.into_iter().take(NAMED).map(|(_, ending)| ending).collect();
    format!("{}{more}", known.join(", "))
}

#[cfg(test)]
mod tests;
