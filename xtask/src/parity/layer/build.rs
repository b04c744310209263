//! The layer of a case, with its adapters beside its projections.

use lora_backward::{
    Adapter, DeltaNetInputs, DeltaNetOptions, DeltaNetProjections, DeltaNetState, DeltaNetWeights,
    GatedDeltaNet, Lora, Scaling,
};
use nn::{Compute, Context, Dense, Parameters, Projection, Recurrence, Sequences};

use super::seen::{Seen, Watched};
use crate::fixtures::layer::{LayerCase, Layout};
use crate::fixtures::tensors::Tensor;
use crate::parity::folder::Read;
use crate::parity::{Outcome, numbers};

/// The layer of a case, with what goes in.
#[derive(Debug)]
pub(super) struct Built<T> {
    pub(super) layer: GatedDeltaNet<T>,
    pub(super) parameters: Parameters,
    pub(super) seen: Seen,
    pub(super) x: Vec<T>,
    pub(super) start: DeltaNetState<T>,
    pub(super) mask: Option<Vec<bool>>,
    pub(super) sequences: Sequences,
}

impl<T: Compute> Built<T> {
    /// A case without the gradients of the weights is one of a layer whose weights are frozen.
    pub(super) fn new(case: &LayerCase, inputs: &mut Read) -> Outcome<Self> {
        let seen = Seen::default();
        let mut parameters = Parameters::new();
        let mut projections = Vec::new();
        for (name, rows, columns) in case.projections() {
            let weight = numbers::<T>(&inputs.get(&format!("{name}.weight"))?.values);
            if !case.base_grads {
                parameters.freeze();
            }
            let dense = Dense::from_weight(name, columns, weight, &mut parameters)?;
            parameters.thaw();
            let mut projection: Box<dyn Projection<T>> = Box::new(dense);
            if case.lora {
                let adapter = adapter(case, name, [rows, columns], inputs)?;
                projection = Box::new(Lora::new(projection, adapter, 0.0, &mut parameters)?);
            }
            let watched: Box<dyn Projection<T>> = Box::new(Watched::new(projection, &seen));
            projections.push(watched);
        }
        if !case.base_grads {
            parameters.freeze();
        }
        let mut vector =
            |name: &str| Ok::<_, crate::fixtures::Error>(numbers(&inputs.get(name)?.values));
        let weights = DeltaNetWeights {
            conv: vector("conv1d.weight")?,
            a_log: vector("A_log")?,
            dt_bias: vector("dt_bias")?,
            gain: vector("norm.weight")?,
        };
        let options = DeltaNetOptions {
            key_heads: case.nk,
            value_heads: case.nv,
            key_width: case.dk,
            value_width: case.dv,
            kernel: case.kernel,
            epsilon: case.eps,
        };
        let projections = assembled(case.layout, projections)?;
        let layer = GatedDeltaNet::new("layer", projections, weights, options, &mut parameters)?;
        let mut start = layer.zeros(case.batch);
        if case.init_state {
            start.recurrent = numbers(&inputs.get("s0")?.values);
            start.conv = numbers(&inputs.get("conv0")?.values);
        }
        let mask = match case.mask {
            Some(_) => Some(inputs.get("mask")?.values.iter().map(|&real| real != 0.0).collect()),
            None => None,
        };
        let x = numbers(&inputs.get("x")?.values);
        let sequences = Sequences { count: case.batch, length: case.seq };
        Ok(Self { layer, parameters, seen, x, start, mask, sequences })
    }

    pub(super) fn context(&self, recurrence: Recurrence) -> Context<'_> {
        Context { mask: self.mask.as_deref(), recurrence, ..self.sequences.into() }
    }
}

/// A and B of a projection of `shape`, `[outputs, inputs]`.
fn adapter<T: Compute>(
    case: &LayerCase,
    name: &str,
    shape: [usize; 2],
    inputs: &mut Read,
) -> Outcome<Adapter<T>> {
    let mut factor = |matrix| {
        let tensor = inputs.get(&format!("{name}.{matrix}.weight"))?;
        Ok::<_, crate::fixtures::Error>(numbers(&tensor.values))
    };
    let factors = [factor("lora_A")?, factor("lora_B")?];
    let scaling = Scaling { alpha: case.alpha, rank_stabilised: case.rslora };
    Ok(Adapter::new(name, shape, case.r, factors, scaling)?)
}

fn assembled<T: Compute>(
    layout: Layout,
    projections: Vec<Box<dyn Projection<T>>>,
) -> Outcome<DeltaNetProjections<T>> {
    let mut next = projections.into_iter();
    let mut next = || next.next().ok_or("a layout has fewer projections than it needs");
    let input = match layout {
        Layout::Separate => {
            DeltaNetInputs::Separate { qkv: next()?, z: next()?, b: next()?, a: next()? }
        }
        Layout::Fused => DeltaNetInputs::Fused { qkvz: next()?, ba: next()? },
    };
    Ok(DeltaNetProjections { input, output: next()? })
}

/// The tensor of a case that a name of the layer's parameters means.
pub(super) fn in_case(parameter: &str) -> &str {
    parameter.strip_prefix("layer.").unwrap_or(parameter)
}

/// The numbers of a tensor that a case may not have.
pub(super) fn upstream(inputs: &mut Read, wanted: bool, name: &str) -> Outcome<Option<Tensor>> {
    Ok(if wanted { Some(inputs.get(name)?.clone()) } else { None })
}
