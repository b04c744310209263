//! Planted wrong formulas, activated one at a time: the cases must notice each.
//!
//! The wrong formulas exist only in a build with the feature `mutants`, so the command runs itself
//! again, built with it. The active mutant is one for the whole process; what runs at the same time
//! is therefore the cases that look for the same mutant.

use std::error::Error;
use std::path::Path;

use rayon::prelude::*;

use super::case::Case;
use super::runner::run_case;
use super::source::Mutant;
use crate::process::{cargo, run};
use crate::workspace::Workspace;

/// Activates a mutant, or none.
pub(crate) type Switch = fn(Option<&str>);

/// What activates mutants in this build, if it has any.
pub(crate) fn switch() -> Option<Switch> {
    #[cfg(feature = "mutants")]
    return Some(ternary_core::mutants::activate);
    #[cfg(not(feature = "mutants"))]
    None
}

/// Runs this command in a build with mutants, in a target folder of its own.
pub(crate) fn run_build_with_mutants(
    workspace: &Workspace,
    filter: Option<&str>,
    json: Option<&Path>,
) -> Result<(), Box<dyn Error>> {
    let target = workspace.target.join("mutants");
    let mut command = cargo(&workspace.root, &["run", "--package", "xtask", "--release"]);
    command.args(["--features", "mutants", "--target-dir"]).arg(target);
    command.args(["--", "gradcheck", "--mutants"]);
    if let Some(filter) = filter {
        command.args(["--filter", filter]);
    }
    if let Some(json) = json {
        command.arg("--json").arg(std::path::absolute(json)?);
    }
    Ok(run(&mut command)?)
}

/// What became of a mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fate {
    /// The mutant.
    pub(crate) mutant: Mutant,
    /// A case that failed while it was active; none has survived.
    pub(crate) killer: Option<String>,
}

/// Activates every mutant in turn. The cases that cover its item look for it first, then all others.
pub(crate) fn hunt(mutants: &[Mutant], cases: &[Box<dyn Case>], switch: Switch) -> Vec<Fate> {
    // A wrong formula may panic; that is a way of being caught and no news.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let fates = mutants
        .iter()
        .map(|mutant| {
            switch(Some(&mutant.name));
            let (near, far): (Vec<&dyn Case>, Vec<&dyn Case>) = cases
                .iter()
                .map(Box::as_ref)
                .partition(|case| case.covers().contains(&mutant.item()));
            let killer = first_failing(&near).or_else(|| first_failing(&far));
            switch(None);
            Fate { mutant: mutant.clone(), killer }
        })
        .collect();
    std::panic::set_hook(hook);
    fates
}

fn first_failing(cases: &[&dyn Case]) -> Option<String> {
    let failing = cases.par_iter().find_any(|case| !run_case(**case).passed());
    failing.map(|case| case.name().to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;
    use crate::gradcheck::case::Outcome;
    use crate::gradcheck::gradient::{Array, Gradient};

    static ACTIVE: AtomicU8 = AtomicU8::new(0);

    fn switch(name: Option<&str>) {
        let number = match name {
            None => 0,
            Some("square/sign") => 1,
            Some("square/panic") => 2,
            Some("other/factor") => 3,
            Some(_) => 4,
        };
        ACTIVE.store(number, Ordering::SeqCst);
    }

    /// y = x², whose backward is wrong while a mutant is active.
    fn square(name: &str, covers: &[&'static str]) -> Box<dyn Case> {
        let backward = |[x]: [&[f64]; 1], [u]: [&[f64]; 1], [dx]: [&mut [f64]; 1]| -> Outcome {
            let factor = match ACTIVE.load(Ordering::SeqCst) {
                1 => -2.0,
                2 => panic!("a wrong index"),
                3 => 4.0,
                _ => 2.0,
            };
            for i in 0..x.len() {
                dx[i] += factor * x[i] * u[i];
            }
            Ok(())
        };
        let forward = |[x]: [&[f64]; 1]| Ok([x.iter().map(|x| x * x).collect()]);
        Box::new(Gradient::new(
            name,
            covers,
            [Array::random("square", "x", &[5])],
            forward,
            backward,
        ))
    }

    #[test]
    fn a_mutant_is_caught_by_a_case_of_its_item_or_by_another_and_a_survivor_is_named() {
        let names = ["square/sign", "square/panic", "other/factor", "square/unreached"];
        let mutant = |name: &str| Mutant { name: name.into(), file: "a.rs".into() };
        let cases = [square("the square", &["square"]), square("elsewhere", &["unrelated"])];
        let fates = hunt(&names.map(mutant), &cases, switch);
        let killers: Vec<Option<&str>> = fates.iter().map(|fate| fate.killer.as_deref()).collect();
        assert_eq!(killers[..2], [Some("the square"); 2]);
        assert!(killers[2].is_some());
        assert_eq!(killers[3], None);
    }
}
