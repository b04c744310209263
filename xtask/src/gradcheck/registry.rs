//! Whether cases and mutants fit what the source holds.

use std::collections::BTreeSet;

use super::case::Case;
use super::source::Source;

/// Mutants that every item must have.
const MUTANTS_OF_AN_ITEM: usize = 3;

/// What is checked by no case, and what a case names that is not there.
pub(crate) fn coverage(source: &Source, cases: &[Box<dyn Case>]) -> Vec<String> {
    let mut findings = Vec::new();
    for item in source.items.values() {
        if !cases.iter().any(|case| case.covers().contains(&item.name.as_str())) {
            findings.push(format!("{}: no case checks `{}`", item.file, item.name));
        }
    }
    let mut names = BTreeSet::new();
    for case in cases {
        if !names.insert(case.name()) {
            findings.push(format!("two cases are named `{}`", case.name()));
        }
        if case.covers().is_empty() {
            findings.push(format!("the case `{}` covers nothing", case.name()));
        }
        for item in case.covers().iter().filter(|&&item| !source.items.contains_key(item)) {
            let case = case.name();
            findings.push(format!("the case `{case}` covers `{item}`, which the source has not"));
        }
    }
    findings
}

/// Items with too few mutants, and mutants of what is no item.
pub(crate) fn planting(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    for item in source.items.values() {
        let planted = source.mutants.iter().filter(|mutant| mutant.item() == item.name).count();
        if planted < MUTANTS_OF_AN_ITEM {
            let (file, name) = (&item.file, &item.name);
            findings.push(format!(
                "{file}: `{name}` has {planted} mutants of at least {MUTANTS_OF_AN_ITEM}"
            ));
        }
    }
    for mutant in &source.mutants {
        if !source.items.contains_key(mutant.item()) {
            let (file, name) = (&mutant.file, &mutant.name);
            findings.push(format!("{file}: the mutant `{name}` is of no op, layer or estimator"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::case::{Outcome, Row};

    struct Named(&'static str, Vec<&'static str>);

    impl Case for Named {
        fn name(&self) -> &str {
            self.0
        }

        fn covers(&self) -> &[&'static str] {
            &self.1
        }

        fn run(&self) -> Outcome<Vec<Row>> {
            Ok(Vec::new())
        }
    }

    fn source(text: &str) -> Source {
        let mut source = Source::default();
        source.read_file("crates/nn/src/ops/a.rs", text).unwrap();
        source
    }

    fn cases(cases: &[(&'static str, &[&'static str])]) -> Vec<Box<dyn Case>> {
        let mut named: Vec<Box<dyn Case>> = Vec::new();
        for &(name, covers) in cases {
            named.push(Box::new(Named(name, covers.to_vec())));
        }
        named
    }

    #[test]
    fn an_item_without_a_case_and_a_case_without_an_item_are_found() {
        let source = source("impl Layer for A {} pub fn b_backward() {}");
        assert_eq!(coverage(&source, &cases(&[("both", &["A", "b"])])), [""; 0]);
        assert_eq!(
            coverage(&source, &cases(&[("a", &["A"])])),
            ["crates/nn/src/ops/a.rs: no case checks `b`"]
        );
        assert_eq!(
            coverage(&source, &cases(&[("both", &["A", "b", "gone"])])),
            ["the case `both` covers `gone`, which the source has not"]
        );
    }

    #[test]
    fn cases_have_names_of_their_own_and_cover_something() {
        let source = source("impl Layer for A {}");
        let found = coverage(&source, &cases(&[("a", &["A"]), ("a", &[])]));
        assert_eq!(found, ["two cases are named `a`", "the case `a` covers nothing"]);
    }

    #[test]
    fn too_few_mutants_and_mutants_of_nothing_are_found() {
        let three = "impl Layer for A { fn f() {
            mutant!(\"A/sign\", 1, 2); mutant!(\"A/factor\", 1, 2); mutant!(\"A/term\", 1, 2) } }";
        assert_eq!(planting(&source(three)), [""; 0]);
        assert_eq!(
            planting(&source(&three.replace("A/term", "B/term"))),
            [
                "crates/nn/src/ops/a.rs: `A` has 2 mutants of at least 3",
                "crates/nn/src/ops/a.rs: the mutant `B/term` is of no op, layer or estimator"
            ]
        );
    }
}
