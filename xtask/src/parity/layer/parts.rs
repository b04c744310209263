//! The ops that a layer is made of, each by itself, between the numbers that a case has inside the layer.

use lora_backward::ops::{
    ConvInputs, ConvShape, DecayParameterGradients, DecayParameters, DeltaGradients, DeltaRows,
    DeltaShape, decay_gates, decay_gates_backward, delta_rule, delta_rule_backward,
    delta_rule_tokens, short_conv, short_conv_backward,
};
use nn::ops::{silu, silu_backward};
use nn::{Compute, Sequences};

use super::reference::Found;
use crate::fixtures::layer::LayerCase;
use crate::parity::folder::Read;
use crate::parity::{Outcome, numbers, wide};

/// What each op gives, under the name of the op and that of the reference.
pub(super) type Parts = Vec<(&'static str, Found)>;

/// Runs each op from the numbers of the reference.
pub(super) fn found<T: Compute>(
    case: &LayerCase,
    inputs: &mut Read,
    reference: &mut Read,
) -> Outcome<Parts> {
    Ok(vec![
        ("decay_gates", gates::<T>(inputs, reference)?),
        ("short_conv", convolution::<T>(case, inputs, reference)?),
        ("delta_rule", rule::<T>(case, inputs, reference)?),
        ("delta_rule_tokens", rule_by_tokens::<T>(case, inputs, reference)?),
    ])
}

fn read<T: Compute>(from: &mut Read, name: &str) -> Outcome<Vec<T>> {
    Ok(numbers(&from.get(name)?.values))
}

/// A tensor where a case has it, and else zeros.
fn or_zeros<T: Compute>(from: &mut Read, has: bool, name: &str, count: usize) -> Outcome<Vec<T>> {
    if has { read(from, name) } else { Ok(vec![T::ZERO; count]) }
}

fn named<T: Compute, const N: usize>(arrays: [(&str, &[T]); N]) -> Found {
    arrays.into_iter().map(|(name, values)| (name.to_owned(), wide(values))).collect()
}

fn gates<T: Compute>(inputs: &mut Read, reference: &mut Read) -> Outcome<Found> {
    let a_log: Vec<T> = read(inputs, "A_log")?;
    let dt_bias: Vec<T> = read(inputs, "dt_bias")?;
    let parameters = DecayParameters { a_log: &a_log, dt_bias: &dt_bias };
    let [a, b, d_g, d_beta] =
        ["mid.a", "mid.b", "grad.mid.g", "grad.mid.beta"].map(|name| read::<T>(reference, name));
    let (a, b, d_g, d_beta) = (a?, b?, d_g?, d_beta?);
    let zeros = vec![T::ZERO; a.len()];
    let [mut g, mut beta, mut da, mut db] = [(); 4].map(|()| zeros.clone());
    decay_gates(parameters, [&a, &b], [&mut g, &mut beta])?;
    let [mut d_a_log, mut d_dt_bias] = [(); 2].map(|()| vec![T::ZERO; a_log.len()]);
    let learned = DecayParameterGradients { a_log: &mut d_a_log, dt_bias: &mut d_dt_bias };
    let (upstream, down) = ([&d_g[..], &d_beta], [&mut da[..], &mut db]);
    decay_gates_backward(parameters, [&a, &b], upstream, down, Some(learned))?;
    Ok(named([
        ("mid.g", &g),
        ("mid.beta", &beta),
        ("grad.mid.a", &da),
        ("grad.mid.b", &db),
        ("grad.A_log", &d_a_log),
        ("grad.dt_bias", &d_dt_bias),
    ]))
}

fn convolution<T: Compute>(
    case: &LayerCase,
    inputs: &mut Read,
    reference: &mut Read,
) -> Outcome<Found> {
    let channels = case.delta_net().channels();
    let sequences = Sequences { count: case.batch, length: case.seq };
    let shape = ConvShape { sequences, channels, taps: case.kernel };
    let taps: Vec<T> = read(inputs, "conv1d.weight")?;
    let x: Vec<T> = read(reference, "mid.mixed_qkv")?;
    let upstream: Vec<T> = read(reference, "grad.mid.conv_out")?;
    let count = case.batch * channels * (case.kernel - 1);
    let first: Vec<T> = or_zeros(inputs, case.init_state, "conv0", count)?;

    let [mut before, mut y, mut d_before, mut dx] = [(); 4].map(|()| vec![T::ZERO; x.len()]);
    let mut columns = first.clone();
    short_conv(shape, &taps, &x, &mut columns, &mut before)?;
    silu(&before, &mut y)?;
    silu_backward(&before, &upstream, &mut d_before)?;
    let mut d_columns = vec![T::ZERO; count];
    let mut d_taps = vec![T::ZERO; taps.len()];
    let inputs = ConvInputs { taps: &taps, x: &x, columns: &first };
    let learned = Some(&mut d_taps[..]);
    short_conv_backward(shape, inputs, &d_before, &mut d_columns, &mut dx, learned)?;
    let mut found = named([
        ("mid.conv_out", &y),
        ("conv_state", &columns),
        ("grad.mid.mixed_qkv", &dx),
        ("grad.conv1d.weight", &d_taps),
    ]);
    if case.init_state {
        found.insert("grad.conv0".to_owned(), wide(&d_columns));
    }
    Ok(found)
}

/// What enters the delta rule.
struct Rule<T> {
    shape: DeltaShape,
    query: Vec<T>,
    key: Vec<T>,
    value: Vec<T>,
    decay: Vec<T>,
    write: Vec<T>,
    start: Vec<T>,
}

impl<T: Compute> Rule<T> {
    fn read(case: &LayerCase, inputs: &mut Read, reference: &mut Read) -> Outcome<Self> {
        let shape = DeltaShape {
            sequences: Sequences { count: case.batch, length: case.seq },
            key_heads: case.nk,
            value_heads: case.nv,
            key_width: case.dk,
            value_width: case.dv,
        };
        Ok(Self {
            query: read(reference, "mid.q")?,
            key: read(reference, "mid.k")?,
            value: read(reference, "mid.v")?,
            decay: read(reference, "mid.g")?,
            write: read(reference, "mid.beta")?,
            start: or_zeros(inputs, case.init_state, "s0", shape.states())?,
            shape,
        })
    }

    fn rows(&self) -> DeltaRows<'_, T> {
        DeltaRows {
            query: &self.query,
            key: &self.key,
            value: &self.value,
            decay: &self.decay,
            write: &self.write,
        }
    }
}

fn rule<T: Compute>(case: &LayerCase, inputs: &mut Read, reference: &mut Read) -> Outcome<Found> {
    let rule = Rule::<T>::read(case, inputs, reference)?;
    let upstream: Vec<T> = read(reference, "grad.mid.core")?;
    let mut state = rule.start.clone();
    let mut starts = vec![T::ZERO; rule.shape.starts()];
    let mut core = vec![T::ZERO; upstream.len()];
    delta_rule(rule.shape, rule.rows(), &mut state, Some(&mut starts), &mut core)?;
    let mut d_state: Vec<T> = or_zeros(inputs, case.state_grad, "ds", state.len())?;
    let zeros = |like: &Vec<T>| vec![T::ZERO; like.len()];
    let [mut query, mut key, mut value] = [&rule.query, &rule.key, &rule.value].map(zeros);
    let [mut decay, mut write] = [&rule.decay, &rule.write].map(zeros);
    let gradients = DeltaGradients {
        query: &mut query,
        key: &mut key,
        value: &mut value,
        decay: &mut decay,
        write: &mut write,
    };
    delta_rule_backward(rule.shape, rule.rows(), &starts, &upstream, &mut d_state, gradients)?;
    let mut found = named([
        ("mid.core", &core),
        ("state", &state),
        ("grad.mid.q", &query),
        ("grad.mid.k", &key),
        ("grad.mid.v", &value),
        ("grad.mid.g", &decay),
        ("grad.mid.beta", &write),
    ]);
    if case.init_state {
        found.insert("grad.s0".to_owned(), wide(&d_state));
    }
    Ok(found)
}

fn rule_by_tokens<T: Compute>(
    case: &LayerCase,
    inputs: &mut Read,
    reference: &mut Read,
) -> Outcome<Found> {
    let rule = Rule::<T>::read(case, inputs, reference)?;
    let mut state = rule.start.clone();
    let mut core = vec![T::ZERO; rule.value.len()];
    delta_rule_tokens(rule.shape, rule.rows(), &mut state, &mut core)?;
    Ok(named([("mid.core", &core), ("state", &state)]))
}
