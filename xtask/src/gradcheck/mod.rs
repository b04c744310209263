//! `cargo xtask gradcheck`: every backward against the derivative of its forward.
//!
//! What must be checked is read from the source ([`source`]), and so are the wrong formulas planted
//! there; `cases` holds the checks. With `--mutants` the command proves that it can fail: it runs in
//! a build where each wrong formula in turn takes the place of the right one, and every one must be
//! noticed.

mod case;
mod cases;
mod comparison;
mod gradient;
mod mutants;
mod numeric;
mod registry;
mod report;
mod runner;
mod source;
mod values;

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use case::Case;
use report::Report;
use source::Source;

use crate::workspace::Workspace;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Run only the cases whose name, or the name of an item they cover, contains this
    #[arg(long, value_name = "S")]
    filter: Option<String>,
    /// Plant wrong formulas, one at a time, and fail if one is not noticed
    #[arg(long)]
    mutants: bool,
    /// Write the counts and a row for each array to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Args {
    /// Everything, mutants included.
    pub(crate) fn with_mutants() -> Self {
        Self { mutants: true, ..Self::default() }
    }
}

/// Checks the workspace around the current folder.
pub(crate) fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let workspace = Workspace::read()?;
    let source = Source::read(&workspace.root)?;
    let all = cases::all();
    let mut findings = source.findings.clone();
    findings.extend(registry::coverage(&source, &all));
    findings.extend(registry::planting(&source));
    let filter = args.filter.as_deref();
    let cases = select(all, filter);
    if let Some(filter) = filter.filter(|_| cases.is_empty()) {
        return Err(format!("gradcheck: no case and no item it covers contains {filter:?}").into());
    }

    let ran = runner::run_cases(&cases);
    let switch = mutants::switch();
    let mut fates = Vec::new();
    if args.mutants
        && let Some(switch) = switch
    {
        let is_near = |mutant: &&source::Mutant| {
            filter.is_none() || cases.iter().any(|case| case.covers().contains(&mutant.item()))
        };
        let chosen: Vec<_> = source.mutants.iter().filter(is_near).cloned().collect();
        fates = mutants::hunt(&chosen, &cases, switch);
    }
    let report = Report::new(&source, ran, fates, findings);
    let failures = report.failures();
    if args.mutants && switch.is_none() && failures.is_empty() {
        println!("{}, in a build without mutants", report.summary());
        return mutants::run_build_with_mutants(&workspace, filter, args.json.as_deref());
    }

    print!("{}", report.table());
    for failure in &failures {
        println!("{failure}");
    }
    println!("{}", report.summary());
    if let Some(path) = args.json {
        let text = serde_json::to_string_pretty(&report.to_json())?;
        fs::write(&path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(format!("gradcheck: {} failure(s)", failures.len()).into())
}

/// The cases that a filter leaves.
fn select(cases: Vec<Box<dyn Case>>, filter: Option<&str>) -> Vec<Box<dyn Case>> {
    let Some(filter) = filter else { return cases };
    let names = |case: &dyn Case| {
        case.name().contains(filter) || case.covers().iter().any(|item| item.contains(filter))
    };
    cases.into_iter().filter(|case| names(&**case)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::comparison::Comparison;

    #[test]
    fn a_filter_keeps_cases_by_their_name_and_by_what_they_cover() {
        let case = |name, covers: &[&'static str]| {
            Box::new(Comparison::new(name, covers, || Ok(Vec::new()))) as Box<dyn Case>
        };
        let cases = || vec![case("a norm", &["rms_norm"]), case("b", &["Norm"]), case("c", &["x"])];
        let names = |filter| {
            let cases = select(cases(), filter);
            cases.iter().map(|case| case.name().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(None), ["a norm", "b", "c"]);
        assert_eq!(names(Some("norm")), ["a norm"]);
        assert_eq!(names(Some("Norm")), ["b"]);
        assert_eq!(names(Some("none")), [""; 0]);
    }
}
