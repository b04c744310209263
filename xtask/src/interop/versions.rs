//! What a Python has installed, against what is pinned.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::process::output;

/// The second numbers of the versions of Python 3 that the pinned packages are for.
const MINORS: std::ops::RangeInclusive<u32> = 11..=13;
/// Tells the version of Python and those of all packages, with nothing but Python's own library.
const SCRIPT: &str = "\
import importlib.metadata, json, sys
packages = {found.metadata['Name']: found.version for found in importlib.metadata.distributions()}
print(json.dumps(dict(python=list(sys.version_info[:3]), packages=packages)))";
/// The packages that numbers depend on, named beside what came out.
const NAMED: [&str; 4] = ["peft", "transformers", "torch", "safetensors"];

/// What a Python has.
#[derive(Debug, Deserialize)]
pub(super) struct Versions {
    python: [u32; 3],
    packages: BTreeMap<String, String>,
}

impl Versions {
    /// Asks a Python.
    ///
    /// # Errors
    /// One that does not run.
    pub(super) fn of(python: &Path) -> Result<Self, Box<dyn Error>> {
        let text = output(Command::new(python).args(["-c", SCRIPT]))?;
        let Self { python, packages } = serde_json::from_str(&text)?;
        let packages = packages.into_iter().map(|(name, version)| (spelled(&name), version));
        Ok(Self { python, packages: packages.collect() })
    }

    /// Checks that Python is one that the pinned packages are for.
    ///
    /// # Errors
    /// Another one.
    pub(super) fn check_python(&self) -> Result<(), Box<dyn Error>> {
        let [major, minor, _] = self.python;
        if major == 3 && MINORS.contains(&minor) {
            return Ok(());
        }
        let (first, last) = (MINORS.start(), MINORS.end());
        let found = format!("expected Python 3.{first} to 3.{last}, found {major}.{minor}");
        Err(format!("{found}: name another with --python, which has the packages").into())
    }

    /// Checks that every package is there in the version that is pinned. What is pinned for some systems alone, after a
    /// semicolon, need not be, and what a build adds to its version (`+cpu`) does not count.
    ///
    /// # Errors
    /// All that are not, each with what was expected and found.
    pub(super) fn check(&self, requirements: &str) -> Result<(), Box<dyn Error>> {
        let mut wrong = Vec::new();
        for (name, pinned) in pins(requirements) {
            let found = self.packages.get(&spelled(name)).map(String::as_str);
            let plain = found.map(|found| found.split_once('+').map_or(found, |(plain, _)| plain));
            if plain != Some(pinned) {
                let found = found.unwrap_or("none");
                wrong.push(format!("{name}: expected {pinned}, found {found}"));
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let text = "the packages are not those of xtask/python/requirements.txt:\n";
        Err((text.to_owned() + &wrong.join("\n")).into())
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.python;
        write!(f, "Python {major}.{minor}.{patch}")?;
        for name in NAMED {
            let version = self.packages.get(name).map_or("none", String::as_str);
            write!(f, ", {name} {version}")?;
        }
        Ok(())
    }
}

/// Names and versions of a list, but for those of some systems alone and for pip's own tools, which no number depends on.
fn pins(requirements: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = requirements.lines().filter(|line| !line.starts_with('#') && !line.contains(';'));
    let pins = lines.filter_map(|line| line.split_once("=="));
    pins.map(|(name, version)| (name.trim(), version.trim())).filter(|pin| pin.0 != "setuptools")
}

/// A name as indexes compare it: in small letters, with one hyphen for each run of hyphens, points and underscores.
fn spelled(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let parts = lower.split(['-', '_', '.']).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# torch is old\ntorch==2.8.0\ncolorama==0.4.6 ; sys_platform == \"win32\"\n\
                        setuptools==80.9.0\nJinja2==3.1.6\ntyping_extensions==4.16.0\n";

    fn versions(minor: u32, packages: &[(&str, &str)]) -> Versions {
        let packages =
            packages.iter().map(|(name, version)| (spelled(name), (*version).to_owned()));
        Versions { python: [3, minor, 7], packages: packages.collect() }
    }

    #[test]
    fn every_package_that_is_missing_or_of_another_version_is_named() {
        let all = [("torch", "2.8.0+cpu"), ("jinja2", "3.1.6"), ("Typing.Extensions", "4.16.0")];
        versions(11, &all).check(LIST).unwrap();
        let error = versions(11, &[("torch", "2.9.0"), all[1]]).check(LIST).unwrap_err();
        let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
        let wrong = [
            "torch: expected 2.8.0, found 2.9.0",
            "typing_extensions: expected 4.16.0, found none",
        ];
        assert_eq!(lines[1..], wrong);
    }

    #[test]
    fn the_list_of_the_repository_pins_what_is_named() {
        let list = include_str!("../../python/requirements.txt");
        let pinned: Vec<&str> = pins(list).map(|(name, _)| name).collect();
        assert!(NAMED.iter().all(|name| pinned.contains(name)), "{pinned:?}");
        assert!(list.lines().all(|line| line.starts_with('#') || line.contains("==")));
    }

    #[test]
    fn a_python_that_the_packages_are_not_for_is_refused() {
        for (minor, is_known) in [(10, false), (11, true), (13, true), (14, false)] {
            assert_eq!(versions(minor, &[]).check_python().is_ok(), is_known, "{minor}");
        }
        let error = versions(14, &[]).check_python().unwrap_err().to_string();
        assert!(error.starts_with("expected Python 3.11 to 3.13, found 3.14"), "{error}");
    }

    #[test]
    fn the_line_beside_what_came_out_names_python_and_the_packages() {
        let found = versions(12, &[("peft", "0.21.2"), ("torch", "2.8.0+cpu")]).to_string();
        assert_eq!(
            found,
            "Python 3.12.7, peft 0.21.2, transformers none, torch 2.8.0+cpu, safetensors none"
        );
    }
}
