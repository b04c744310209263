//! The scan on small sources of its own.

use super::*;

fn scan(files: &[(&str, &str)]) -> Source {
    let mut source = Source::default();
    for (path, text) in files {
        source.read_file(path, text).unwrap();
    }
    source
}

fn items(path: &str, text: &str) -> Vec<String> {
    let source = scan(&[(path, text)]);
    assert_eq!(source.findings, [""; 0]);
    source.items.into_keys().collect()
}

fn findings(path: &str, text: &str) -> Vec<String> {
    scan(&[(path, text)]).findings
}

#[test]
fn every_implementation_of_a_trait_is_an_item_whatever_its_parameters() {
    let text = "
        impl Layer for Plain {}
        impl<T: Real> nn::Layer<T> for norm::RmsNorm<T> where T: Copy {}
        impl Projection<f32> for Dense<f32> {}
        impl Projection<f64> for Dense<f64> {}
        mod inner { impl<'a, P> Estimator<'a> for Clipped<'a, P> {} }
        fn local() { struct Hidden; impl Layer for Hidden {} }
        impl Display for Other {}
        impl Inherent {}";
    let expected = ["Clipped", "Dense", "Hidden", "Plain", "RmsNorm"];
    assert_eq!(items("crates/nn/src/a.rs", text), expected);
}

#[test]
fn a_type_with_a_public_backward_of_its_own_is_an_item() {
    let text = "
        impl<T> Embedding<T> { pub fn forward(&self) {} pub fn backward(&self) {} }
        impl Inner { pub(crate) fn backward(&self) {} }
        impl Pull { pub fn correct(&self) {} }
        impl Fogzo { pub fn estimate(&self) {} }
        impl Free { pub fn forward(&self) {} }";
    assert_eq!(items("crates/nn/src/a.rs", text), ["Embedding", "Fogzo", "Pull"]);
}

#[test]
fn what_only_passes_a_trait_on_is_no_item() {
    let text = "
        impl<L: Layer + ?Sized> Layer for &L {}
        impl<L: Layer> Layer for Box<L> {}
        impl<L: Sublayer> Layer for L {}";
    assert_eq!(items("crates/nn/src/a.rs", text), [""; 0]);
}

#[test]
fn a_public_backward_in_the_folder_of_ops_is_an_item() {
    let text = "
        pub fn rms_norm_backward() {}
        pub fn rms_norm() {}
        pub(crate) fn lanes_backward() {}
        fn private_backward() {}";
    assert_eq!(items("crates/nn/src/ops/norm.rs", text), ["rms_norm"]);
    assert_eq!(items("crates/nn/src/norm.rs", text), [""; 0]);
    assert_eq!(items("crates/ternary-core/src/ops/norm.rs", text), [""; 0]);
}

#[test]
fn tests_are_left_alone() {
    let text = "
        #[cfg(test)] mod tests {
            impl Layer for Fake {}
            fn f() -> i32 { mutant!(\"fake/sign\", 1, 2) }
        }
        #[cfg(test)] impl Layer for Fake {}
        #[cfg(not(test))] impl Layer for Real {}";
    let source = scan(&[("crates/nn/src/a.rs", text)]);
    assert_eq!(source.items.into_keys().collect::<Vec<_>>(), ["Real"]);
    assert_eq!(source.mutants, []);
}

#[test]
fn mutants_are_found_in_code_in_macros_and_inside_each_other() {
    let text = "
        fn f(a: f64) -> f64 {
            debug_assert!(mutant!(\"f/asserted\", a > 0.0, true));
            mutant!(\"f/outer\", ternary_core::mutant!(\"f/inner\", a, -a), 2.0 * a)
        }
        macro_rules! kernels { () => { fn g() { crate::mutant!(\"g/defined\", 1, 2); } } }
        macro_rules! mutant { ($name:literal, $right:expr, $wrong:expr $(,)?) => { $right }; }";
    let source = scan(&[("crates/ternary-core/src/a.rs", text)]);
    assert_eq!(source.findings, [""; 0]);
    let names: Vec<&str> = source.mutants.iter().map(|mutant| mutant.name.as_str()).collect();
    assert_eq!(names, ["f/asserted", "f/outer", "f/inner", "g/defined"]);
    assert_eq!(source.mutants[3].item(), "g");
}

#[test]
fn a_mutant_without_a_name_of_its_own_is_a_finding() {
    for (text, word) in [
        ("fn f() { mutant!(NAME, 1, 2) }", "literal"),
        ("fn f() { mutant!(\"sign\", 1, 2) }", "item/what"),
        ("fn f() { mutant!(\"f/\", 1, 2) }", "item/what"),
        ("fn f() { mutant!(\"f/a\", 1, 2); mutant!(\"f/a\", 3, 4) }", "also in"),
    ] {
        let found = findings("crates/nn/src/a.rs", text);
        assert!(found.len() == 1 && found[0].contains(word), "{text}: {found:?}");
    }
}

#[test]
fn what_a_macro_defines_is_an_item_or_a_finding() {
    let path = "crates/nn/src/ops/a.rs";
    let named = "both! {
        impl<T: for<'a> Sum<&'a T>> Layer<T> for inner::Named<T> { fn f() {} }
        pub fn named_backward() {}
    }";
    assert_eq!(items(path, named), ["Named", "named"]);
    let argument = "macro_rules! each { ($t:ty) => { impl Projection<$t> for $t {} } }";
    assert_eq!(findings(path, argument).len(), 1);
    let function = "macro_rules! each { ($f:ident) => { pub fn $f() {} } }";
    assert_eq!(findings(path, function).len(), 1);
    assert_eq!(findings("crates/nn/src/simd.rs", function), [""; 0]);
}

#[test]
fn one_name_for_two_things_is_a_finding() {
    let (layer, op) = ("impl Layer for A {}", "pub fn a_backward() {}");
    let nn = "crates/nn/src/ops/a.rs";
    assert_eq!(scan(&[(nn, layer), ("crates/models/src/a.rs", layer)]).findings.len(), 1);
    assert_eq!(scan(&[(nn, op), ("crates/nn/src/ops/b.rs", op)]).findings.len(), 1);
    assert_eq!(scan(&[(nn, layer), ("crates/nn/src/b.rs", layer)]).findings, [""; 0]);
}

#[test]
fn a_layer_without_a_name_is_a_finding_and_broken_source_an_error() {
    assert_eq!(findings("crates/nn/src/a.rs", "impl Layer for (A, B) {}").len(), 1);
    assert!(Source::default().read_file("crates/nn/src/a.rs", "fn f( {").is_err());
}

#[test]
fn the_crates_of_this_workspace_can_be_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    assert_eq!(Source::read(root).unwrap().findings, [""; 0]);
}
