//! A layer against the reference of its case.

use std::collections::BTreeMap;

use lora_backward::DeltaNetState;
use nn::{Compute, Gradients, Recurrence, Tape};

use super::build::{Built, in_case, upstream};
use crate::fixtures::layer::{LayerCase, Layout};
use crate::parity::folder::Read;
use crate::parity::{Outcome, numbers, wide};

/// What the layer gives, under the names of the reference.
pub(super) type Found = BTreeMap<String, Vec<f64>>;

/// Outputs, states, the loss and all gradients of a case, from the training forward and its backward.
pub(super) fn found<T: Compute>(case: &LayerCase, inputs: &mut Read) -> Outcome<Found> {
    let built = Built::<T>::new(case, inputs)?;
    let context = built.context(Recurrence::Chunks);
    let mut tape = Tape::recording();
    let mut state = built.start.clone();
    let y = built.layer.forward_from(built.x.clone(), context, &mut state, &mut tape)?;
    let dy = inputs.get("dy")?.values.clone();
    let ds = upstream(inputs, case.state_grad, "ds")?.map(|tensor| tensor.values);

    let mut found = Found::new();
    let mut put = |name: &str, values: Vec<f64>| drop(found.insert(name.to_owned(), values));
    let (y, recurrent) = (wide(&y), wide(&state.recurrent));
    let of_states = ds.as_deref().map_or(0.0, |ds| dot(&recurrent, ds));
    put("loss", vec![dot(&y, &dy) + of_states]);
    put("y", y);
    put("state", recurrent);
    put("conv_state", wide(&state.conv));

    let zeros = built.layer.zeros(case.batch);
    let recurrent = ds.map_or(zeros.recurrent, |ds| numbers(&ds));
    let mut d_state = DeltaNetState { recurrent, conv: zeros.conv };
    let mut gradients = Gradients::zeros(&built.parameters);
    let dy = numbers(&dy);
    let dx = built.layer.backward_from(dy, context, &mut d_state, &mut tape, &mut gradients)?;
    put("grad.x", wide(&dx));
    if case.init_state {
        put("grad.s0", wide(&d_state.recurrent));
        put("grad.conv0", wide(&d_state.conv));
    }
    for id in built.parameters.ids().filter(|id| !id.is_frozen()) {
        let name = in_case(built.parameters.name(id));
        put(&format!("grad.{name}"), wide(gradients.get(id)));
    }
    if case.intermediates {
        found.extend(intermediates(case, built.seen.take()));
    }
    Ok(found)
}

/// What has passed through the projections, under the names of the reference.
fn intermediates(case: &LayerCase, mut seen: BTreeMap<String, Vec<f64>>) -> Found {
    let mut found = Found::new();
    for (way, of) in [("", "mid."), ("grad.", "grad.mid.")] {
        let mut take = |name: &str| seen.remove(&format!("{way}{name}")).unwrap_or_default();
        let gated = take("out_proj in");
        let named = match case.layout {
            Layout::Separate => [
                ("mixed_qkv", take("in_proj_qkv")),
                ("z", take("in_proj_z")),
                ("b", take("in_proj_b")),
                ("a", take("in_proj_a")),
            ],
            Layout::Fused => separated(case, &take("in_proj_qkvz"), &take("in_proj_ba")),
        };
        for (name, values) in named.into_iter().chain([("gated", gated)]) {
            found.insert(format!("{of}{name}"), values);
        }
    }
    found
}

/// Interleaved rows as those of separate projections.
fn separated(case: &LayerCase, qkvz: &[f64], ba: &[f64]) -> [(&'static str, Vec<f64>); 4] {
    let (repeat, dk) = (case.nv / case.nk, case.dk);
    let wide = repeat * case.dv;
    let block = 2 * dk + 2 * wide;
    let parts = |rows: &[f64], block: usize, parts: &[(usize, usize)]| -> Vec<f64> {
        let row = |row: &[f64]| -> Vec<f64> {
            let part = |&(start, count): &(usize, usize)| {
                row.chunks(block)
                    .flat_map(move |head| &head[start..][..count])
                    .copied()
                    .collect::<Vec<_>>()
            };
            parts.iter().flat_map(part).collect()
        };
        rows.chunks(block * case.nk).flat_map(row).collect()
    };
    [
        ("mixed_qkv", parts(qkvz, block, &[(0, dk), (dk, dk), (2 * dk, wide)])),
        ("z", parts(qkvz, block, &[(2 * dk + wide, wide)])),
        ("b", parts(ba, 2 * repeat, &[(0, repeat)])),
        ("a", parts(ba, 2 * repeat, &[(repeat, repeat)])),
    ]
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
