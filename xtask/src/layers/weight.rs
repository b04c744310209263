//! What a layer's default features pull in: no command line, no file format, no C library.

use std::fmt;

use super::order::rank;
use crate::workspace::Package;

/// Packages that parse command lines.
const COMMAND_LINES: [&str; 12] = [
    "argh",
    "bpaf",
    "clap",
    "clap_builder",
    "docopt",
    "getopts",
    "gumdrop",
    "lexopt",
    "palc",
    "pico-args",
    "structopt",
    "xflags",
];

/// Packages that read or write files of a format.
const FILE_FORMATS: [&str; 37] = [
    "arrow",
    "bincode",
    "bson",
    "ciborium",
    "csv",
    "flate2",
    "gguf",
    "hdf5",
    "hf-hub",
    "image",
    "memmap2",
    "ndarray-npy",
    "npyz",
    "parquet",
    "plotters",
    "png",
    "postcard",
    "prost",
    "protobuf",
    "quick-xml",
    "rkyv",
    "rmp-serde",
    "ron",
    "safetensors",
    "sentencepiece",
    "serde-pickle",
    "serde_json",
    "serde_yaml",
    "simd-json",
    "tar",
    "tiktoken-rs",
    "tokenizers",
    "toml",
    "toml_edit",
    "yaml-rust2",
    "zip",
    "zstd",
];

/// Packages that compile C, or look for a C library, from a build script.
const C_BUILDERS: [&str; 8] =
    ["autotools", "bindgen", "cc", "cmake", "nasm-rs", "pkg-config", "system-deps", "vcpkg"];

/// Packages that look like C libraries and are none: a `links` key that only keeps a second version
/// out of a build, and declarations of what the system itself offers.
const NO_C: [&str; 7] = [
    "js-sys",
    "linux-raw-sys",
    "prettyplease",
    "rayon-core",
    "wasm-bindgen-shared",
    "web-sys",
    "windows-sys",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Burden {
    CommandLine,
    FileFormat,
    CLibrary,
}

impl fmt::Display for Burden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CommandLine => "a command line",
            Self::FileFormat => "a file format",
            Self::CLibrary => "a C library",
        })
    }
}

impl Burden {
    fn of(package: &Package) -> Option<Self> {
        let name = package.name.as_str();
        let linked = package.links.is_some() || name.ends_with("-sys");
        if C_BUILDERS.contains(&name) || (linked && !NO_C.contains(&name)) {
            Some(Self::CLibrary)
        } else if COMMAND_LINES.contains(&name) {
            Some(Self::CommandLine)
        } else if FILE_FORMATS.contains(&name) {
            Some(Self::FileFormat)
        } else {
            None
        }
    }

    /// Whether a layer may carry it: files belong to `interop` and above, a command line to
    /// `trainer`, C to nobody.
    fn is_allowed_in(self, layer: &str) -> bool {
        let lowest = match self {
            Self::CommandLine => rank("trainer"),
            Self::FileFormat => rank("interop"),
            Self::CLibrary => return false,
        };
        rank(layer) >= lowest
    }
}

/// The packages that a `cargo tree --prefix none` lists, each once.
pub(crate) fn packages_of_tree(tree: &str, known: &[Package]) -> Vec<Package> {
    let mut packages: Vec<Package> = Vec::new();
    for line in tree.lines() {
        let mut words = line.split_whitespace();
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        let version = version.trim_start_matches('v');
        let is_it = |package: &&Package| package.name == name && package.version == version;
        let package = known.iter().find(is_it).cloned().unwrap_or_else(|| Package {
            name: name.to_owned(),
            version: version.to_owned(),
            links: None,
        });
        if !packages.contains(&package) {
            packages.push(package);
        }
    }
    packages
}

/// Findings about the packages that `layer` is built from with its default features.
pub(crate) fn check(layer: &str, pulled: &[Package]) -> Vec<String> {
    let burdens = pulled.iter().filter_map(|package| Some((package, Burden::of(package)?)));
    burdens
        .filter(|(_, burden)| !burden.is_allowed_in(layer))
        .map(|(Package { name, version, .. }, burden)| {
            format!(
                "{layer}: its default features pull {burden}, {name} {version} \
                 (`cargo tree -p {layer} -e normal,build --target all -i {name}` shows why)"
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str) -> Package {
        Package { name: name.into(), version: "1.0.0".into(), links: None }
    }

    fn found(layer: &str, name: &str) -> bool {
        let found = check(layer, &[package("half"), package(name)]);
        assert!(found.iter().all(|text| text.contains(&format!("{name} 1.0.0"))), "{found:?}");
        !found.is_empty()
    }

    #[test]
    fn a_command_line_is_for_the_trainer_only() {
        assert!(found("ternary-core", "clap"));
        assert!(found("interop", "lexopt"));
        assert!(!found("trainer", "clap"));
    }

    #[test]
    fn a_file_format_is_for_interop_and_above() {
        assert!(found("ternary-core", "serde_json"));
        assert!(found("models", "safetensors"));
        assert!(!found("interop", "safetensors"));
        assert!(!found("trainer", "tokenizers"));
    }

    #[test]
    fn a_c_library_is_for_nobody() {
        for name in ["cc", "cmake", "openblas-sys"] {
            assert!(found("ternary-core", name) && found("trainer", name), "{name}");
        }
        let linked = Package { links: Some("zstd".into()), ..package("innocent") };
        assert_eq!(check("trainer", &[linked]).len(), 1);
    }

    #[test]
    fn a_links_key_that_keeps_versions_apart_is_no_c_library() {
        let rayon = Package { links: Some("rayon-core".into()), ..package("rayon-core") };
        assert_eq!(check("ternary-core", &[rayon, package("windows-sys")]), [""; 0]);
    }

    #[test]
    fn a_tree_gives_each_package_once_with_its_links_key() {
        let zstd = Package { links: Some("zstd".into()), ..package("zstd-sys") };
        let tree = "a v0.1.0 (/somewhere/a)\nzstd-sys v1.0.0\nquote v1.0.0 (*)\nquote v1.0.0\n\n";
        let packages = packages_of_tree(tree, std::slice::from_ref(&zstd));
        let a = Package { version: "0.1.0".into(), ..package("a") };
        assert_eq!(packages, [a, zstd, package("quote")]);
    }
}
