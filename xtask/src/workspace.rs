//! The workspace as cargo sees it: its members and the packages they are built from.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::process::{cargo, output};

/// What a dependency is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The library or program itself.
    Normal,
    /// Its tests, examples and benches.
    Development,
    /// Its build script.
    Build,
}

/// A dependency of a member, as its manifest names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// The package's own name, whatever it is renamed to.
    pub(crate) name: String,
    /// What it is for.
    pub(crate) purpose: Purpose,
}

/// A package of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Name of the package.
    pub(crate) name: String,
    /// Its folder, relative to the root, with forward slashes.
    pub(crate) folder: String,
    /// Everything its manifest names, optional dependencies included.
    pub(crate) dependencies: Vec<Dependency>,
    /// Top-level modules in its `src`.
    pub(crate) modules: BTreeSet<String>,
}

impl Member {
    /// Whether it is one of the layers that the workspace publishes, or means to be one.
    pub(crate) fn is_crate(&self) -> bool {
        self.folder.starts_with("crates/")
    }

    /// The layer that this package uses as a stranger would, if it is such a package.
    pub(crate) fn downstream_of(&self) -> Option<&str> {
        self.folder.strip_prefix("tests/downstream/")
    }
}

/// A package that some member is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// The native library that its manifest claims to link.
    pub(crate) links: Option<String>,
}

/// The workspace around the current folder.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Folder of the root manifest.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// Its own packages.
    pub(crate) members: Vec<Member>,
    /// Every package of the lock file.
    pub(crate) packages: Vec<Package>,
}

impl Workspace {
    /// Asks cargo about the workspace around the current folder.
    pub(crate) fn read() -> Result<Self, Box<dyn Error>> {
        let mut metadata = cargo(Path::new("."), &["metadata", "--format-version", "1"]);
        Self::parse(&output(&mut metadata)?)
    }

    fn parse(metadata: &str) -> Result<Self, Box<dyn Error>> {
        let metadata: Metadata = serde_json::from_str(metadata)?;
        let root = metadata.workspace_root;
        let mut members = Vec::new();
        let mut packages = Vec::new();
        for package in metadata.packages {
            if metadata.workspace_members.contains(&package.id) {
                let folder = package.manifest_path.parent().unwrap_or(&root);
                members.push(Member {
                    folder: relative(&root, folder),
                    modules: modules(&folder.join("src"))?,
                    dependencies: package.dependencies.into_iter().map(Into::into).collect(),
                    name: package.name.clone(),
                });
            }
            let Described { name, version, links, .. } = package;
            packages.push(Package { name, version, links });
        }
        Ok(Self { root, target: metadata.target_directory, members, packages })
    }
}

/// The parts of `cargo metadata` that are used here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Described>,
    workspace_members: Vec<String>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Described {
    id: String,
    name: String,
    version: String,
    links: Option<String>,
    manifest_path: PathBuf,
    dependencies: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    kind: Option<String>,
}

impl From<Named> for Dependency {
    fn from(named: Named) -> Self {
        let purpose = match named.kind.as_deref() {
            Some("dev") => Purpose::Development,
            Some("build") => Purpose::Build,
            _ => Purpose::Normal,
        };
        Self { name: named.name, purpose }
    }
}

/// `folder` as it is written in documents: from the root, with forward slashes.
fn relative(root: &Path, folder: &Path) -> String {
    let folder = folder.strip_prefix(root).unwrap_or(folder);
    folder.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// The modules a crate root in `source` can declare: its files and folders, without the roots.
fn modules(source: &Path) -> std::io::Result<BTreeSet<String>> {
    let mut modules = BTreeSet::new();
    if !source.is_dir() {
        return Ok(modules);
    }
    for entry in source.read_dir()? {
        let path = entry?.path();
        let is_module = path.is_dir() || path.extension().is_some_and(|e| e == "rs");
        if let Some(name) = path.file_stem().filter(|_| is_module) {
            modules.insert(name.to_string_lossy().into_owned());
        }
    }
    for not_a_module in ["lib", "main", "bin"] {
        modules.remove(not_a_module);
    }
    Ok(modules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_of_this_crate_has_it_as_a_member_with_its_modules() {
        let workspace = Workspace::read().unwrap();
        let xtask = workspace.members.iter().find(|member| member.name == "xtask").unwrap();
        assert_eq!(xtask.folder, "xtask");
        assert!(xtask.modules.contains("workspace") && xtask.modules.contains("layers"));
        assert!(!xtask.modules.contains("main"));
        assert!(workspace.packages.iter().any(|p| p.links.as_deref() == Some("rayon-core")));
    }

    #[test]
    fn dependencies_keep_their_own_name_and_their_purpose() {
        let metadata = r#"{
            "workspace_root": "/w", "target_directory": "/w/target", "workspace_members": ["a 1"],
            "packages": [{
                "id": "a 1", "name": "a", "version": "1.0.0", "links": null,
                "manifest_path": "/w/crates/a/Cargo.toml",
                "dependencies": [
                    {"name": "b", "rename": "c", "kind": null},
                    {"name": "d", "kind": "dev"},
                    {"name": "e", "kind": "build"}
                ]
            }]
        }"#;
        let workspace = Workspace::parse(metadata).unwrap();
        let named = |name: &str, purpose| Dependency { name: name.into(), purpose };
        let expected = [
            named("b", Purpose::Normal),
            named("d", Purpose::Development),
            named("e", Purpose::Build),
        ];
        assert_eq!(workspace.members[0].dependencies, expected);
        assert_eq!(workspace.members[0].folder, "crates/a");
        assert!(workspace.members[0].is_crate());
    }
}
