//! ARCHITECTURE.md names the crates and modules that are there, all of them, and no other.
//!
//! Under `## Code map`, a heading ``### `FOLDER` `` stands for each package and an item that begins
//! with `` - `MODULE` `` for each of its top-level modules. Beyond the map, whatever the document sets
//! as code and looks like a path of the repository or of a crate must exist.

use std::collections::BTreeSet;

use super::order::LAYERS;
use crate::workspace::Member;

/// Findings about `document`. `exists` says whether there is a file or folder, by its path from the
/// root.
pub(crate) fn check(
    document: &str,
    members: &[Member],
    exists: &dyn Fn(&str) -> bool,
) -> Vec<String> {
    let map = CodeMap::parse(document);
    let mut findings = Vec::new();
    for entry in &map.entries {
        let Some(member) = members.iter().find(|member| member.folder == entry.folder) else {
            findings.push(format!("maps `{}`, which is no package", entry.folder));
            continue;
        };
        for module in entry.modules.difference(&member.modules) {
            findings.push(format!("maps module `{module}` of `{}`: it has none", entry.folder));
        }
        for module in member.modules.difference(&entry.modules) {
            findings.push(format!("does not map module `{module}` of `{}`", entry.folder));
        }
    }
    for Member { folder, .. } in members {
        if !map.entries.iter().any(|entry| entry.folder == *folder) {
            findings.push(format!("does not map `{folder}`"));
        }
    }
    for word in words_set_as_code(document) {
        findings.extend(check_word(word, members, exists));
    }
    findings.iter().map(|finding| format!("ARCHITECTURE.md {finding}")).collect()
}

/// The code map as the document gives it.
#[derive(Debug, Default)]
struct CodeMap {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    folder: String,
    modules: BTreeSet<String>,
}

impl CodeMap {
    fn parse(document: &str) -> Self {
        let mut map = Self::default();
        let lines = document.lines().skip_while(|line| line.trim_end() != "## Code map").skip(1);
        for line in lines.take_while(|line| !line.starts_with("## ")) {
            if let Some(folder) = line.strip_prefix("### `").and_then(up_to_backtick) {
                map.entries.push(Entry { folder: folder.to_owned(), modules: BTreeSet::new() });
            } else if let Some(module) = line.strip_prefix("- `").and_then(up_to_backtick) {
                let entry = map.entries.last_mut();
                entry.map(|entry| entry.modules.insert(module.to_owned()));
            }
        }
        map
    }
}

fn up_to_backtick(text: &str) -> Option<&str> {
    text.split_once('`').map(|(code, _)| code)
}

/// The words in code spans and fenced blocks.
fn words_set_as_code(document: &str) -> BTreeSet<&str> {
    let mut words = BTreeSet::new();
    let mut fenced = false;
    for line in document.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        // Outside a fence, every second piece between backticks is code.
        let pieces = line.split('`').enumerate();
        for (_, code) in pieces.filter(|(piece, _)| fenced || piece % 2 == 1) {
            let belongs = |c: char| c.is_alphanumeric() || "-_:/.".contains(c);
            words.extend(code.split(|c| !belongs(c)).filter(|word| !word.is_empty()));
        }
    }
    words
}

/// What is wrong with one word, if it names something of this workspace.
fn check_word(word: &str, members: &[Member], exists: &dyn Fn(&str) -> bool) -> Option<String> {
    let member = |name: &str| members.iter().find(|member| member.name.replace('-', "_") == name);
    let is_layer = |name: &str| LAYERS.iter().any(|layer| layer.replace('-', "_") == name);
    if ["crates/", "docs/", "tests/", "xtask/"].iter().any(|top| word.starts_with(top)) {
        return (!exists(word)).then(|| format!("names `{word}`, which is not there"));
    }
    let (krate, rest) = word.split_once("::").unwrap_or((word, ""));
    let krate = krate.replace('-', "_");
    if is_layer(&krate) && member(&krate).is_none() {
        return Some(format!("names the crate `{word}`, which is not there"));
    }
    let module = rest.split("::").next().filter(|m| m.starts_with(|c: char| c.is_lowercase()))?;
    let known = member(&krate)?.modules.contains(module);
    (!known).then(|| format!("names `{word}`: there is no such module"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "\
# Architecture

The bottom is `ternary-core`; start at `ternary_core::packing` or `crates/ternary-core/src/lib.rs`.

```text
ternary-core
```

## Code map

### `crates/ternary-core`

A paragraph.

- `packing`: bytes.
- `scales`: numbers, used by `packing`.

### `xtask`

- `layers`: this.

## After the map

- `nothing` is a module here.
";

    fn members() -> Vec<Member> {
        let member = |name: &str, folder: &str, modules: &[&str]| Member {
            name: name.into(),
            folder: folder.into(),
            dependencies: Vec::new(),
            modules: modules.iter().map(|&module| module.to_owned()).collect(),
        };
        vec![
            member("ternary-core", "crates/ternary-core", &["packing", "scales"]),
            member("xtask", "xtask", &["layers"]),
        ]
    }

    fn findings(document: &str) -> Vec<String> {
        check(document, &members(), &|path| path.starts_with("crates/ternary-core"))
    }

    #[test]
    fn a_true_document_has_no_findings() {
        assert_eq!(findings(DOCUMENT), [""; 0]);
    }

    #[test]
    fn a_module_or_package_that_is_not_mapped_is_found() {
        let found = findings(&DOCUMENT.replace("- `scales`: numbers, used by `packing`.", ""));
        assert_eq!(
            found,
            ["ARCHITECTURE.md does not map module `scales` of `crates/ternary-core`"]
        );
        let found = findings(&DOCUMENT.replace("### `xtask`", "### xtask"));
        assert!(found.contains(&"ARCHITECTURE.md does not map `xtask`".to_owned()), "{found:?}");
    }

    #[test]
    fn a_mapped_module_or_package_that_is_not_there_is_found() {
        let found = findings(&DOCUMENT.replace("- `layers`: this.", "- `layers`:\n- `old`: that."));
        assert_eq!(found, ["ARCHITECTURE.md maps module `old` of `xtask`: it has none"]);
        let found = findings(&DOCUMENT.replace("## After", "### `crates/nn`\n\n## After"));
        assert!(
            found.contains(&"ARCHITECTURE.md maps `crates/nn`, which is no package".to_owned()),
            "{found:?}"
        );
    }

    #[test]
    fn names_beyond_the_map_that_are_not_there_are_found() {
        for (planted, finding) in [
            ("`ternary_core::gone`", "names `ternary_core::gone`: there is no such module"),
            ("`docs/gone.md`", "names `docs/gone.md`, which is not there"),
            ("`trainer`", "names the crate `trainer`, which is not there"),
            ("`a ← lora-backward`", "names the crate `lora-backward`, which is not there"),
            ("```\nste::clipped\n```", "names the crate `ste::clipped`, which is not there"),
        ] {
            let document = DOCUMENT.replace("The bottom", &format!("{planted}\n\nThe bottom"));
            assert_eq!(findings(&document), [format!("ARCHITECTURE.md {finding}")], "{planted}");
        }
    }

    #[test]
    fn items_of_a_crate_and_words_in_prose_are_left_alone() {
        let document = format!("{DOCUMENT}\nThe trainer trains models: `ternary_core::Scales`.\n");
        assert_eq!(findings(&document), [""; 0]);
    }
}
