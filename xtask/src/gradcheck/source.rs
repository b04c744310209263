//! What must be checked, read from the source: ops, types that implement the traits of layers or have
//! a `backward`, a `correct` or an `estimate` without one, and the mutants planted in them.
//!
//! The list is not one that somebody must remember to extend. What the scan cannot name (an `impl` for
//! the argument of a macro, a mutant without a literal name) is a finding, which fails the gate.

mod tokens;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use syn::visit::Visit;
use syn::{
    Attribute, ImplItem, ImplItemFn, Item as SynItem, ItemFn, ItemImpl, ItemMod, Macro, Type,
    Visibility,
};

use tokens::{Seen, macro_tokens};

/// Crates whose layers and ops must be checked.
const CRATES: [&str; 4] = ["ste", "nn", "lora-backward", "models"];
/// Traits whose implementations must be checked.
const TRAITS: [&str; 3] = ["Layer", "Projection", "Estimator"];
/// Public methods whose types must be checked though they implement none of them.
const METHODS: [&str; 3] = ["backward", "correct", "estimate"];
/// A public function in a folder of this name whose name ends with [`BACKWARD`] is an op's backward.
const OPS: &str = "ops";
const BACKWARD: &str = "_backward";
/// The macro that plants a mutant.
const MUTANT: &str = "mutant";
/// Types that a trait passes through: the implementation inside them is what is checked.
const POINTERS: [&str; 3] = ["Box", "Rc", "Arc"];

/// What kind of thing an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemKind {
    /// A function with a backward beside it.
    Op,
    /// A type that implements one of the traits, or has one of [`METHODS`] of its own.
    Type,
}

/// Something that a case must cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// An op, without `_backward`, or a type.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: ItemKind,
    /// The file it was found in first.
    pub(crate) file: String,
}

/// A wrong formula in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mutant {
    /// `item/what is wrong`.
    pub(crate) name: String,
    /// The file it stands in.
    pub(crate) file: String,
}

impl Mutant {
    /// The item that it makes wrong.
    pub(crate) fn item(&self) -> &str {
        self.name.split_once('/').map_or(&self.name, |(item, _)| item)
    }
}

/// Everything that the scan found.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// By name.
    pub(crate) items: BTreeMap<String, Item>,
    /// In the order of files and lines.
    pub(crate) mutants: Vec<Mutant>,
    /// What could not be named, or has a name twice.
    pub(crate) findings: Vec<String>,
}

impl Source {
    /// Reads the crates of the workspace at `root`.
    pub(crate) fn read(root: &Path) -> Result<Self, Box<dyn Error>> {
        let mut source = Self::default();
        let mut folders = Vec::new();
        for entry in root.join("crates").read_dir()? {
            folders.push(entry?.file_name().to_string_lossy().into_owned());
        }
        folders.sort();
        for folder in folders {
            source.read_folder(root, &format!("crates/{folder}/src"))?;
        }
        Ok(source)
    }

    fn read_folder(&mut self, root: &Path, folder: &str) -> Result<(), Box<dyn Error>> {
        let mut names = Vec::new();
        for entry in root.join(folder).read_dir().map_err(|error| format!("{folder}: {error}"))? {
            let entry = entry?;
            names.push((entry.file_name().to_string_lossy().into_owned(), entry.path().is_dir()));
        }
        names.sort();
        for (name, is_folder) in names {
            let path = format!("{folder}/{name}");
            if name == "tests" || name == "tests.rs" {
                continue;
            } else if is_folder {
                self.read_folder(root, &path)?;
            } else if name.ends_with(".rs") {
                self.read_file(&path, &fs::read_to_string(root.join(&path))?)?;
            }
        }
        Ok(())
    }

    /// Scans the `text` of the file at `path`, which is relative to the root.
    pub(crate) fn read_file(&mut self, path: &str, text: &str) -> Result<(), Box<dyn Error>> {
        let file = syn::parse_file(text).map_err(|error| format!("{path}: {error}"))?;
        let mut parts = path.split('/').skip(1);
        let is_checked = parts.next().is_some_and(|folder| CRATES.contains(&folder));
        let is_ops = parts.any(|part| part == OPS || part == "ops.rs");
        Scan { source: self, path, is_checked, is_ops }.visit_file(&file);
        Ok(())
    }
}

/// The visitor of one file.
struct Scan<'a> {
    source: &'a mut Source,
    path: &'a str,
    is_checked: bool,
    is_ops: bool,
}

impl Scan<'_> {
    fn finding(&mut self, text: &str) {
        self.source.findings.push(format!("{}: {text}", self.path));
    }

    fn register(&mut self, name: String, kind: ItemKind) {
        let item = Item { name: name.clone(), kind, file: self.path.to_owned() };
        match self.source.items.get(&name) {
            None => drop(self.source.items.insert(name, item)),
            Some(known) if known.kind != kind || krate(&known.file) != krate(self.path) => {
                let finding = format!("`{name}` is also in {}: names must differ", known.file);
                self.finding(&finding);
            }
            // A second trait or float type of the same type.
            Some(_) if kind == ItemKind::Type => {}
            Some(known) => {
                let finding = format!("the op `{name}` is also in {}", known.file);
                self.finding(&finding);
            }
        }
    }

    fn register_function(&mut self, name: &str) {
        if let Some(op) = name.strip_suffix(BACKWARD).filter(|_| self.is_checked && self.is_ops) {
            self.register(op.to_owned(), ItemKind::Op);
        }
    }

    fn register_mutant(&mut self, name: String) {
        if let Some(known) = self.source.mutants.iter().find(|mutant| mutant.name == name) {
            let finding = format!("the mutant `{name}` is also in {}", known.file);
            self.finding(&finding);
        } else if name.split_once('/').is_none_or(|(item, what)| item.is_empty() || what.is_empty())
        {
            self.finding(&format!("the mutant `{name}` is not named `item/what`"));
        } else {
            self.source.mutants.push(Mutant { name, file: self.path.to_owned() });
        }
    }
}

impl<'ast> Visit<'ast> for Scan<'_> {
    fn visit_item(&mut self, item: &'ast SynItem) {
        let attributes = match item {
            SynItem::Mod(ItemMod { attrs, .. })
            | SynItem::Fn(ItemFn { attrs, .. })
            | SynItem::Impl(ItemImpl { attrs, .. }) => attrs.as_slice(),
            _ => &[],
        };
        if !attributes.iter().any(is_test) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let name = |path: &syn::Path| path.segments.last().map(|last| last.ident.to_string());
        let implemented = item.trait_.as_ref().and_then(|(path, ..)| name(path));
        let is_layer = match implemented {
            Some(name) => TRAITS.contains(&name.as_str()),
            None => item.items.iter().any(is_checked_method),
        };
        if self.is_checked && is_layer {
            match item.self_ty.as_ref() {
                Type::Reference(_) => {}
                Type::Path(path) if path.qself.is_none() => {
                    let name = name(&path.path).unwrap_or_default();
                    let is_parameter = item.generics.type_params().any(|known| known.ident == name);
                    if !is_parameter && !POINTERS.contains(&name.as_str()) {
                        self.register(name, ItemKind::Type);
                    }
                }
                _ => self.finding("a layer is implemented for a type without a name"),
            }
        }
        syn::visit::visit_item_impl(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if matches!(item.vis, Visibility::Public(_)) {
            self.register_function(&item.sig.ident.to_string());
        }
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        for seen in macro_tokens(item) {
            match seen {
                Seen::Mutant(name) => self.register_mutant(name),
                Seen::Function(name) => self.register_function(&name),
                Seen::Implementation(name) if self.is_checked => {
                    self.register(name, ItemKind::Type)
                }
                Seen::Unnamed(what) if self.is_checked => {
                    self.finding(&format!("{what} in a macro cannot be named by the scan"));
                }
                Seen::UnnamedFunction if self.is_checked && self.is_ops => {
                    self.finding("a public function in a macro cannot be named by the scan");
                }
                Seen::UnnamedMutant => self.finding("a mutant's name is not a literal"),
                Seen::Implementation(_) | Seen::Unnamed(_) | Seen::UnnamedFunction => {}
            }
        }
    }
}

/// Whether a method is a backward of a layer that implements no trait: one from tokens to rows, say; or a
/// correction of weights that no gradient is, or the estimate of a gradient from losses.
fn is_checked_method(item: &ImplItem) -> bool {
    matches!(item, ImplItem::Fn(ImplItemFn { vis: Visibility::Public(_), sig, .. })
        if METHODS.iter().any(|method| sig.ident == method))
}

/// The crate's folder in the path of a file.
fn krate(path: &str) -> Option<&str> {
    path.split('/').nth(1)
}

/// Whether an attribute keeps what follows for tests: `#[cfg(test)]`.
fn is_test(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
}

#[cfg(test)]
mod tests;
