//! The names of MLX-LM's tensors: the module + `.lora_a`.

use crate::adapters::factors::{Factor, Pairs};
use crate::adapters::prefix::Prefix;
use crate::error::Problem;

/// What stands before all names of a model that sees as well; the text model within is called as alone.
const NESTED: &str = "language_model.";
/// The part of such a model that no text goes through.
const VISUAL: [&str; 2] = ["vision_tower.", "visual."];

/// What the file calls a module.
pub(super) fn path(prefix: Prefix, module: &str) -> String {
    match prefix {
        Prefix::Plain => module.to_owned(),
        Prefix::Nested => format!("{NESTED}{module}"),
    }
}

/// The name of a factor.
pub(super) fn name(prefix: Prefix, module: &str, factor: Factor) -> String {
    format!("{}.{}", path(prefix, module), ending(factor))
}

fn ending(factor: Factor) -> &'static str {
    match factor {
        Factor::A => "lora_a",
        Factor::B => "lora_b",
    }
}

/// Sorts names by modules.
///
/// # Errors
/// The first name that is none of a factor, and two ways to name in one file.
pub(super) fn pairs<'a>(names: impl Iterator<Item = &'a str>) -> Result<Pairs, Problem> {
    let mut pairs = Pairs::default();
    let mut first: Option<(&str, bool)> = None;
    for name in names {
        let refuse =
            |expected: &str, found: &str| Err(Problem::of_tensor(name, "name", expected, found));
        let factors = [Factor::A, Factor::B].into_iter();
        let mut split = factors.filter_map(|factor| {
            let module = name.strip_suffix(ending(factor))?.strip_suffix('.')?;
            Some((module, factor)).filter(|(module, _)| !module.is_empty())
        });
        let Some((path, factor)) = split.next() else {
            return match name.rsplit('.').next() {
                Some("m") => refuse("plain LoRA, lora_a and lora_b", "DoRA"),
                _ => refuse("lora_a or lora_b after a module", "neither"),
            };
        };
        if VISUAL.iter().any(|part| path.starts_with(part)) {
            return refuse("a module of the part for text", "one of the part that sees");
        }
        let module = path.strip_prefix(NESTED);
        let (other, is_nested) = *first.get_or_insert((name, module.is_some()));
        if is_nested != module.is_some() {
            let expected = "modules of one model: either all with `language_model.` or none";
            let found = format!("{other:?} and {name:?}");
            return Err(Problem::mismatch("tensors", expected, found));
        }
        pairs.add(module.unwrap_or(path).to_owned(), path, factor, name)?;
    }
    if pairs.0.is_empty() {
        return Err(Problem::mismatch("tensors", "factors of one module at least", "none"));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_prefixes_are_one_module_of_ours() {
        for prefix in [Prefix::Plain, Prefix::Nested] {
            for module in ["model.layers.11.self_attn.q_proj", "lm_head"] {
                let names = [Factor::A, Factor::B].map(|factor| name(prefix, module, factor));
                let found = pairs(names.iter().map(String::as_str)).unwrap();
                assert_eq!(found.0.keys().collect::<Vec<_>>(), [module]);
            }
        }
    }

    #[test]
    fn what_is_no_plain_factor_is_refused_with_what_it_is() {
        let error = |names: &[&str]| pairs(names.iter().copied()).unwrap_err().to_string();
        assert!(error(&["model.layers.0.mlp.up_proj.m"]).ends_with("found DoRA"));
        for name in ["model.layers.0.mlp.up_proj.lora_a_scales", "lora_a", ".lora_a", "a.lora_A"] {
            assert!(error(&[name]).ends_with("found neither"), "{name}");
        }
        assert!(error(&["vision_tower.a.lora_a"]).ends_with("the part that sees"));
        let mixed = ["language_model.model.layers.0.a.lora_a", "model.layers.0.b.lora_a"];
        assert!(error(&mixed).starts_with("tensors: expected modules of one model"));
        assert_eq!(error(&[]), "tensors: expected factors of one module at least, found none");
    }

    #[test]
    fn a_name_that_is_longer_than_any_model_has_is_refused() {
        let name = |bytes: usize| {
            let module = "a.".repeat(bytes / 2);
            format!("{module}.lora_a")
        };
        let of = |name: &str| pairs([name].into_iter()).map(|pairs| pairs.0.len());
        assert_eq!(of(&name(4096)).unwrap(), 1);
        let error = of(&name(4098)).unwrap_err().to_string();
        let start = "name of a module: expected at most 4096 bytes, found 4098, which begin \"a.a.";
        assert!(error.starts_with(start) && error.len() < 200, "{error}");
    }
}
