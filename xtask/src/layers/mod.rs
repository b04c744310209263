//! `cargo xtask layers`: the promises about what a crate pulls in, as checks.
//!
//! Each check is a function from what was read to the findings it makes, so that its tests can plant
//! what it is there to find.

mod code_map;
mod order;
mod weight;

use std::error::Error;
use std::fs;

use crate::process::{cargo, output};
use crate::workspace::Workspace;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Checks the workspace around the current folder and prints every finding.
pub(crate) fn run(_: Args) -> Result<(), Box<dyn Error>> {
    let workspace = Workspace::read()?;
    let mut findings = order::check(&workspace.members);
    for layer in workspace.members.iter().filter(|member| member.is_crate()) {
        // Cargo resolves features for the selected package alone here; `cargo metadata` would show
        // the union of what all members ask for.
        let mut tree = cargo(&workspace.root, &["tree", "--package", &layer.name]);
        tree.args(["--edges", "normal,build", "--target", "all", "--prefix", "none"]);
        let pulled = weight::packages_of_tree(&output(&mut tree)?, &workspace.packages);
        findings.extend(weight::check(&layer.name, &pulled));
    }
    let document = fs::read_to_string(workspace.root.join("ARCHITECTURE.md"))
        .map_err(|error| format!("ARCHITECTURE.md: {error}"))?;
    let exists = |path: &str| workspace.root.join(path).exists();
    findings.extend(code_map::check(&document, &workspace.members, &exists));

    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        let layers = workspace.members.iter().filter(|member| member.is_crate()).count();
        println!("layers: {layers} checked, nothing found");
        return Ok(());
    }
    Err(format!("layers: {} finding(s)", findings.len()).into())
}
