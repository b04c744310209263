//! Crates depend downward only, and each has a stranger who uses it alone.

use crate::workspace::{Member, Purpose};

/// The layers from the bottom up. A crate depends on those before it and on no other member.
pub(crate) const LAYERS: [&str; 7] =
    ["ternary-core", "ste", "nn", "lora-backward", "models", "interop", "trainer"];

/// The place of a layer in [`LAYERS`].
pub(crate) fn rank(name: &str) -> Option<usize> {
    LAYERS.iter().position(|&layer| layer == name)
}

/// Findings about the dependencies between members. Dependencies for tests count: a test that needs
/// an upper layer belongs into that layer.
pub(crate) fn check(members: &[Member]) -> Vec<String> {
    let mut findings = Vec::new();
    for layer in members.iter().filter(|member| member.is_crate()) {
        let Some(own) = rank(&layer.name) else {
            let order = LAYERS.join(", ");
            findings.push(format!("{}: stands in no layer; the order is {order}", layer.name));
            continue;
        };
        for dependency in &layer.dependencies {
            let is_member = members.iter().any(|member| member.name == dependency.name);
            let below = rank(&dependency.name).is_some_and(|rank| rank <= own);
            if is_member && !below {
                let name = &dependency.name;
                findings.push(format!("{}: depends upward, on {name}", layer.name));
            }
        }
        if !members.iter().any(|member| member.downstream_of() == Some(&layer.name)) {
            let folder = format!("tests/downstream/{}", layer.name);
            findings.push(format!("{}: no package in {folder} uses it alone", layer.name));
        }
    }
    findings.extend(members.iter().filter_map(|member| {
        let layer = member.downstream_of()?;
        let others = of_the_workspace(member, members).filter(|&name| name != layer);
        let others = others.collect::<Vec<_>>().join(", ");
        let text = format!("{}: is to use {layer} alone, but depends on {others}", member.name);
        (!others.is_empty()).then_some(text)
    }));
    findings
}

/// The members that `member` is built from.
fn of_the_workspace<'a>(
    member: &'a Member,
    members: &'a [Member],
) -> impl Iterator<Item = &'a str> {
    let built_from = member.dependencies.iter().filter(|d| d.purpose != Purpose::Development);
    let names = built_from.map(|dependency| dependency.name.as_str());
    names.filter(|&name| members.iter().any(|member| member.name == name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::workspace::Dependency;

    fn member(folder: &str, name: &str, dependencies: &[(&str, Purpose)]) -> Member {
        let dependencies = dependencies
            .iter()
            .map(|&(name, purpose)| Dependency { name: name.into(), purpose })
            .collect();
        Member { name: name.into(), folder: folder.into(), dependencies, modules: BTreeSet::new() }
    }

    /// A sound workspace of two layers, `ste` with one more dependency if `extra` has one.
    fn workspace(extra: Option<(&str, Purpose)>) -> Vec<Member> {
        let mut of_ste = vec![("ternary-core", Purpose::Normal), ("rayon", Purpose::Normal)];
        of_ste.extend(extra);
        vec![
            member("crates/ternary-core", "ternary-core", &[("half", Purpose::Normal)]),
            member("crates/ste", "ste", &of_ste),
            member("tests/downstream/ternary-core", "a", &[("ternary-core", Purpose::Normal)]),
            member("tests/downstream/ste", "b", &[("ste", Purpose::Normal)]),
            member("xtask", "xtask", &[("ternary-core", Purpose::Normal)]),
        ]
    }

    #[test]
    fn a_sound_workspace_has_no_findings() {
        assert_eq!(check(&workspace(None)), [""; 0]);
    }

    #[test]
    fn an_upward_dependency_is_found_whatever_it_is_for() {
        for purpose in [Purpose::Normal, Purpose::Development, Purpose::Build] {
            let mut members = workspace(None);
            members[0].dependencies.push(Dependency { name: "ste".into(), purpose });
            assert_eq!(check(&members), ["ternary-core: depends upward, on ste"], "{purpose:?}");
        }
    }

    #[test]
    fn a_layer_must_not_depend_on_a_member_outside_the_layers() {
        let found = check(&workspace(Some(("xtask", Purpose::Development))));
        assert_eq!(found, ["ste: depends upward, on xtask"]);
    }

    #[test]
    fn a_package_of_the_registry_that_is_named_like_a_layer_above_is_no_member() {
        assert_eq!(check(&workspace(Some(("models", Purpose::Normal)))), [""; 0]);
    }

    #[test]
    fn a_crate_outside_the_order_is_found() {
        let mut members = workspace(None);
        members.push(member("crates/odds-and-ends", "odds-and-ends", &[]));
        assert!(check(&members)[0].starts_with("odds-and-ends: stands in no layer"));
    }

    #[test]
    fn a_layer_without_a_downstream_package_is_found() {
        let mut members = workspace(None);
        members.remove(3);
        assert_eq!(check(&members), ["ste: no package in tests/downstream/ste uses it alone"]);
    }

    #[test]
    fn a_downstream_package_that_uses_a_second_layer_is_found() {
        let mut members = workspace(None);
        let second = Dependency { name: "ternary-core".into(), purpose: Purpose::Normal };
        members[3].dependencies.push(second);
        assert_eq!(check(&members), ["b: is to use ste alone, but depends on ternary-core"]);
    }
}
