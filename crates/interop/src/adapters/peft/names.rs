//! The names of PEFT's tensors: `base_model.model.` + the module + `.lora_A.weight`.

use crate::adapters::factors::{Factor, Pairs};
use crate::adapters::prefix::Prefix;
use crate::error::Problem;

/// What all names begin with: PEFT's two wrappers around a model.
const WRAPPERS: &str = "base_model.model.";
/// The part of a model that no text goes through.
const VISUAL: &str = "model.visual.";

/// What a name holds that means something else than plain LoRA, and what that is.
const OTHERS: [(&str, &str); 7] = [
    (".lora_magnitude_vector", "DoRA, which scales the rows of the weights"),
    (".lora_embedding_", "an adapter of an embedding"),
    (".lora_bias", "a trained bias"),
    (".lora_B.bias", "a trained bias (lora_bias)"),
    (".lora_E", "AdaLoRA"),
    (".modules_to_save", "a module that was trained whole (modules_to_save)"),
    (".trainable_tokens", "trained rows of an embedding"),
];

/// The name of a factor.
pub(super) fn name(prefix: Prefix, module: &str, factor: Factor) -> String {
    format!("{WRAPPERS}{}.lora_{factor:?}.weight", prefix.in_model(module))
}

/// Sorts names by modules.
///
/// # Errors
/// The first name that is none of a factor, and two ways to name in one file.
pub(super) fn pairs<'a>(names: impl Iterator<Item = &'a str>) -> Result<Pairs, Problem> {
    let mut pairs = Pairs::default();
    let (mut adapter, mut prefix) = (None, None);
    for name in names {
        let parsed = parse(name)?;
        agree(
            &mut adapter,
            (name, parsed.adapter),
            "one adapter in a file, so that all names hold the same",
        )?;
        let (module, found) = Prefix::of_module(parsed.module);
        if let Some(found) = found {
            let expected = "modules of one model: either all with `language_model.` or none";
            agree(&mut prefix, (name, found), expected)?;
        }
        pairs.add(module, parsed.module, parsed.factor, name)?;
    }
    if pairs.0.is_empty() {
        return Err(Problem::mismatch("tensors", "factors of one module at least", "none"));
    }
    Ok(pairs)
}

/// Refuses that a second name says something else than the first.
fn agree<'a, V: PartialEq>(
    first: &mut Option<(&'a str, V)>,
    (name, found): (&'a str, V),
    expected: &str,
) -> Result<(), Problem> {
    match first {
        None => {
            *first = Some((name, found));
            Ok(())
        }
        Some((_, known)) if *known == found => Ok(()),
        Some((other, _)) => {
            Err(Problem::mismatch("tensors", expected, format!("{other:?} and {name:?}")))
        }
    }
}

struct Parsed<'a> {
    module: &'a str,
    factor: Factor,
    /// The name of the adapter in memory, which some programs leave in that of the tensor.
    adapter: Option<&'a str>,
}

fn parse(name: &str) -> Result<Parsed<'_>, Problem> {
    let refuse =
        |expected: &str, found: &str| Err(Problem::of_tensor(name, "name", expected, found));
    if let Some((_, what)) = OTHERS.into_iter().find(|(part, _)| name.contains(part)) {
        return refuse("plain LoRA, lora_A and lora_B", what);
    }
    let Some(path) = name.strip_prefix(WRAPPERS) else {
        return refuse("base_model.model. and the module", "another beginning");
    };
    if path.starts_with(VISUAL) {
        return refuse("a module of the part for text", "one of the part that sees");
    }
    let factors = [(".lora_A.", Factor::A), (".lora_B.", Factor::B)];
    let split = factors.into_iter().find_map(|(part, factor)| {
        let (module, rest) = path.rsplit_once(part)?;
        Some((module, factor, rest))
    });
    let Some((module, factor, rest)) = split.filter(|(module, _, _)| !module.is_empty()) else {
        return refuse("lora_A or lora_B after a module", "neither");
    };
    let adapter = match rest.rsplit_once('.') {
        None if rest == "weight" => None,
        Some((adapter, "weight")) if !adapter.is_empty() && !adapter.contains('.') => Some(adapter),
        _ => return refuse("weight, or NAME.weight, at its end", &format!("{rest:?}")),
    };
    Ok(Parsed { module, factor, adapter })
}

#[cfg(test)]
mod tests {
    use super::*;

    const Q: &str = "base_model.model.model.layers.0.self_attn.q_proj";

    fn error(names: &[&str]) -> String {
        pairs(names.iter().copied()).unwrap_err().to_string()
    }

    #[test]
    fn both_prefixes_are_one_module_of_ours() {
        for prefix in [Prefix::Plain, Prefix::Nested] {
            let module = "model.layers.0.self_attn.q_proj";
            let names = [Factor::A, Factor::B].map(|factor| name(prefix, module, factor));
            let found = pairs(names.iter().map(String::as_str)).unwrap();
            assert_eq!(found.0.keys().collect::<Vec<_>>(), [module]);
            assert_eq!(found.paths().collect::<Vec<_>>(), [prefix.in_model(module)]);
        }
    }

    #[test]
    fn an_adapters_name_is_passed_over_where_there_is_one() {
        let named = ["A", "B"].map(|factor| format!("{Q}.lora_{factor}.default.weight"));
        let found = pairs(named.iter().map(String::as_str)).unwrap();
        assert_eq!(found.paths().collect::<Vec<_>>(), ["model.layers.0.self_attn.q_proj"]);
        let plain = format!("{Q}.lora_B.weight");
        let error = error(&[&named[0], &plain]);
        assert!(error.starts_with("tensors: expected one adapter in a file"), "{error}");
        assert!(error.contains(&format!("{plain:?}")), "{error}");
    }

    #[test]
    fn modules_of_two_models_are_refused() {
        let plain = format!("{Q}.lora_A.weight");
        let nested = plain.replace("model.layers", "model.language_model.layers");
        assert!(error(&[&plain, &nested]).starts_with("tensors: expected modules of one model"));
    }

    #[test]
    fn what_is_no_plain_factor_is_refused_with_what_it_is() {
        for (end, found) in [
            (".lora_magnitude_vector", "DoRA"),
            (".lora_magnitude_vector.default.weight", "DoRA"),
            (".lora_embedding_A", "an adapter of an embedding"),
            (".lora_B.bias", "a trained bias"),
            (".modules_to_save.weight", "a module that was trained whole"),
            (".weight", "found neither"),
            (".lora_A.weight.x", "found \"weight.x\""),
            (".lora_A.a.b.weight", "found \"a.b.weight\""),
            (".lora_A..weight", "found \".weight\""),
        ] {
            let error = error(&[&format!("{Q}{end}")]);
            assert!(error.starts_with(&format!("tensor \"{Q}{end}\": name: ")), "{error}");
            assert!(error.contains(found), "{error}");
        }
        assert!(error(&["model.layers.0.q_proj.lora_A.weight"]).contains("another beginning"));
        assert!(error(&["base_model.model.model.visual.a.lora_A.weight"]).contains("that sees"));
        assert!(error(&["base_model.model..lora_A.weight"]).contains("found neither"));
        assert_eq!(error(&[]), "tensors: expected factors of one module at least, found none");
    }

    #[test]
    fn a_name_that_is_longer_than_any_model_has_is_refused() {
        let name = |bytes: usize| {
            let module = "a.".repeat(bytes / 2);
            format!("base_model.model.{module}.lora_A.weight")
        };
        let of = |name: &str| pairs([name].into_iter()).map(|pairs| pairs.0.len());
        assert_eq!(of(&name(4096)).unwrap(), 1);
        let error = of(&name(4098)).unwrap_err().to_string();
        let start = "name of a module: expected at most 4096 bytes, found 4098, which begin \"a.a.";
        assert!(error.starts_with(start) && error.len() < 200, "{error}");
    }
}
