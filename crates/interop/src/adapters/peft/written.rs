//! PEFT's configuration as it is written.

use std::collections::BTreeMap;

use lora_backward::{Adapter, Adapters};
use serde::Serialize;
use serde_json::Value;
use ternary_core::Real;

use super::config::LORA;
use crate::adapters::files::{Options, WHAT};
use crate::error::Problem;

/// The configuration, its keys in the order that PEFT sorts them into.
#[derive(Serialize)]
struct Written<'a> {
    alpha_pattern: BTreeMap<&'a str, Value>,
    base_model_name_or_path: Option<&'a str>,
    bias: &'static str,
    fan_in_fan_out: bool,
    inference_mode: bool,
    init_lora_weights: bool,
    lora_alpha: Value,
    lora_dropout: f64,
    peft_type: &'static str,
    r: usize,
    rank_pattern: BTreeMap<&'a str, usize>,
    target_modules: Vec<&'a str>,
    task_type: &'static str,
    use_rslora: bool,
}

pub(super) fn config<T: Real>(
    adapters: &Adapters<T>,
    options: &Options,
) -> Result<Vec<u8>, Problem> {
    let path = |module| options.prefix.in_model(module);
    let modules: Vec<(String, &Adapter<T>)> =
        adapters.iter().map(|(module, adapter)| (path(module), adapter)).collect();
    let is_stabilised = |adapter: &Adapter<T>| adapter.scaling.rank_stabilised;
    let use_rslora = modules.iter().all(|(_, adapter)| is_stabilised(adapter));
    if let Some((name, _)) =
        modules.iter().find(|(_, adapter)| is_stabilised(adapter) != use_rslora)
    {
        let expected = "all rank-stabilised or none, as PEFT has one use_rslora";
        return Err(Problem::mismatch("adapters", expected, format!("{name} unlike others")));
    }
    let of = |value: fn(&Adapter<T>) -> f64| -> Vec<(&str, f64)> {
        modules.iter().map(|(name, adapter)| (name.as_str(), value(adapter))).collect()
    };
    // Ranks are far below 2⁵³, where floats cease to hold every integer.
    let (rank, rank_pattern) = common(&of(|adapter| adapter.rank as f64));
    let (alpha, alpha_pattern) = common(&of(|adapter| adapter.scaling.alpha));
    let written = Written {
        alpha_pattern: alpha_pattern
            .into_iter()
            .map(|(name, alpha)| (name, number(alpha)))
            .collect(),
        base_model_name_or_path: options.base.as_deref(),
        bias: "none",
        fan_in_fan_out: false,
        inference_mode: true,
        init_lora_weights: true,
        lora_alpha: number(alpha),
        lora_dropout: adapters.dropout,
        peft_type: LORA,
        r: rank as usize,
        rank_pattern: rank_pattern.into_iter().map(|(name, rank)| (name, rank as usize)).collect(),
        target_modules: modules.iter().map(|(name, _)| name.as_str()).collect(),
        task_type: "CAUSAL_LM",
        use_rslora,
    };
    let mut json = serde_json::to_vec_pretty(&written)
        .map_err(|source| Problem::Json { what: WHAT, source })?;
    json.push(b'\n');
    Ok(json)
}

/// The value that most modules have, and the others: by the last part of the name where all modules that end in it
/// have the same, or else by the whole.
fn common<'a>(modules: &[(&'a str, f64)]) -> (f64, BTreeMap<&'a str, f64>) {
    let mut counts = BTreeMap::new();
    // Numbers that are finite are equal where their bits are, but for zeros.
    for (_, value) in modules {
        *counts.entry(value.to_bits()).or_insert(0_usize) += 1;
    }
    let most = counts.into_iter().max_by_key(|&(bits, count)| (count, bits));
    let most = f64::from_bits(most.map_or(0, |(bits, _)| bits));
    let ending = |name: &'a str| name.rsplit('.').next().unwrap_or(name);
    let mut by_ending: BTreeMap<&str, Option<f64>> = BTreeMap::new();
    for (name, value) in modules {
        let known = by_ending.entry(ending(name)).or_insert(Some(*value));
        *known = known.filter(|known| known == value);
    }
    let others = modules.iter().filter(|(_, value)| *value != most);
    let key = |&(name, value): &(&'a str, f64)| {
        let is_agreed = by_ending.get(ending(name)).is_some_and(Option::is_some);
        (if is_agreed { ending(name) } else { name }, value)
    };
    (most, others.map(key).collect())
}

/// Without a point where there is nothing behind it: `lora_alpha` is an integer in PEFT, though it takes any number.
fn number(value: f64) -> Value {
    const EXACT: f64 = (1_u64 << 53) as f64;
    if value.fract() == 0.0 && value.abs() < EXACT {
        Value::from(value as i64)
    } else {
        Value::from(value)
    }
}
