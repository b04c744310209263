//! The gated delta net in both layouts, with grouped heads and more tokens than a block, from states and with padding.

use lora_backward::{
    DeltaNetInputs, DeltaNetOptions, DeltaNetProjections, DeltaNetState, DeltaNetWeights,
    GatedDeltaNet,
};
use nn::{
    Compute, Context, Dense, Gradients, Layer, Module, Parameters, Projection, Recurrence,
    Sequences, Tape,
};

use super::part::{Built, OfLayer, Part, add_fresh, both, zeros};
use crate::gradcheck::case::Case;
use crate::gradcheck::values::{signed, uniform};

pub(super) const WIDTH: usize = 7;

/// The cases.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let short = Sequences { count: 2, length: 5 };
    let long = Sequences { count: 2, length: lora_backward::ops::CHUNK + 3 };
    let net = Net { sequences: short, ..Net::PLAIN };
    let mask = Some(&[false, true, true, true, true, true, true, true, false, false][..]);
    let mut cases = Vec::new();
    for (name, net) in [
        ("GatedDeltaNet", net),
        ("GatedDeltaNet, fused", Net { is_fused: true, ..net }),
        ("GatedDeltaNet, padding", Net { mask, ..net }),
        ("GatedDeltaNet, states", Net { has_states: true, ..net }),
        ("GatedDeltaNet, two blocks", Net { has_states: true, sequences: long, ..net }),
    ] {
        cases.extend(both(name, "GatedDeltaNet", net));
    }
    cases
}

#[derive(Clone, Copy)]
pub(super) struct Net {
    pub(super) is_fused: bool,
    pub(super) sequences: Sequences,
    pub(super) mask: Option<&'static [bool]>,
    pub(super) has_states: bool,
}

impl Net {
    /// One sequence, and nothing besides.
    pub(super) const PLAIN: Self = Self {
        is_fused: false,
        sequences: Sequences { count: 1, length: 5 },
        mask: None,
        has_states: false,
    };
    const OPTIONS: DeltaNetOptions = DeltaNetOptions {
        key_heads: 2,
        value_heads: 4,
        key_width: 3,
        value_width: 5,
        kernel: 3,
        // One that is not lost beside the mean of squares.
        epsilon: 0.25,
    };
    const CHANNELS: usize = 2 * 2 * 3 + 4 * 5;
    const VALUES: usize = 4 * 5;

    pub(super) fn context(self) -> Context<'static> {
        let Self { sequences, mask, .. } = self;
        Context { sequences, tokens: &[], mask, recurrence: Recurrence::Chunks }
    }

    fn recurrent(self) -> usize {
        self.sequences.count * Self::VALUES * Self::OPTIONS.key_width
    }

    fn columns(self) -> usize {
        self.sequences.count * Self::CHANNELS * (Self::OPTIONS.kernel - 1)
    }

    pub(super) fn layer<T: Compute>(
        self,
        parameters: &mut Parameters,
    ) -> nn::Result<GatedDeltaNet<T>> {
        let mut dense = |name, outputs, inputs| -> nn::Result<Box<dyn Projection<T>>> {
            let weight = zeros(outputs * inputs);
            Ok(Box::new(Dense::from_weight(name, inputs, weight, parameters)?))
        };
        let heads = Self::OPTIONS.value_heads;
        let input = if self.is_fused {
            DeltaNetInputs::Fused {
                qkvz: dense("qkvz", Self::CHANNELS + Self::VALUES, WIDTH)?,
                ba: dense("ba", 2 * heads, WIDTH)?,
            }
        } else {
            DeltaNetInputs::Separate {
                qkv: dense("qkv", Self::CHANNELS, WIDTH)?,
                z: dense("z", Self::VALUES, WIDTH)?,
                b: dense("b", heads, WIDTH)?,
                a: dense("a", heads, WIDTH)?,
            }
        };
        let output = dense("output", WIDTH, Self::VALUES)?;
        let weights = DeltaNetWeights {
            conv: zeros(Self::CHANNELS * Self::OPTIONS.kernel),
            a_log: zeros(heads),
            dt_bias: zeros(heads),
            gain: zeros(Self::OPTIONS.value_width),
        };
        let projections = DeltaNetProjections { input, output };
        GatedDeltaNet::new("net", projections, weights, Self::OPTIONS, parameters)
    }
}

impl Part for Net {
    fn input(&self) -> Option<[usize; 2]> {
        let rows = self.sequences.rows();
        // With states they follow the rows, in one row of all.
        let states = self.recurrent() + self.columns();
        Some(if self.has_states { [1, rows * WIDTH + states] } else { [rows, WIDTH] })
    }

    fn sums(&self) -> Vec<usize> {
        // A state forgets at a rate of e^−½ or so, and a block takes at most its tokens together.
        let (keys, values) = (Self::OPTIONS.key_width, Self::OPTIONS.value_width);
        let tokens = self.sequences.length;
        vec![WIDTH, Self::OPTIONS.kernel, keys, tokens, keys, values, values, Self::VALUES]
    }

    fn values(&self, seed: &str, array: &str, shape: &[usize]) -> Vec<f64> {
        let count = shape.iter().product();
        // Decays that are neither nothing nor all, so that what is long ago still counts.
        if array.ends_with("A_log") { uniform(seed, count, -1.5, 0.0) } else { signed(seed, count) }
    }

    fn build<T: Compute>(&self, parameters: &mut Parameters) -> nn::Result<Box<dyn Built<T>>> {
        let layer = self.layer(parameters)?;
        Ok(match self.has_states {
            true => Box::new(OfStates { layer, net: *self }),
            false => Box::new(OfLayer(Box::new(layer), self.context())),
        })
    }
}

/// The layer from states to states: they stand behind the rows of inputs and of outputs.
struct OfStates<T> {
    layer: GatedDeltaNet<T>,
    net: Net,
}

impl<T: Compute> OfStates<T> {
    fn split(&self, values: &[T]) -> (Vec<T>, DeltaNetState<T>) {
        let (rows, states) = values.split_at(self.net.sequences.rows() * WIDTH);
        let (recurrent, conv) = states.split_at(self.net.recurrent());
        (rows.to_vec(), DeltaNetState { recurrent: recurrent.to_vec(), conv: conv.to_vec() })
    }
}

impl<T: Compute> Built<T> for OfStates<T> {
    fn module(&mut self) -> &mut dyn Module<T> {
        &mut self.layer
    }

    fn each_projection_mut(&mut self, visit: &mut dyn FnMut(&mut Box<dyn Projection<T>>)) {
        self.layer.each_projection_mut(visit);
    }

    fn forward(&self, x: &[T], tape: &mut Tape<T>) -> nn::Result<Vec<T>> {
        let (rows, mut state) = self.split(x);
        let y = self.layer.forward_from(rows, self.net.context(), &mut state, tape)?;
        Ok([y, state.recurrent, state.conv].concat())
    }

    fn backward(
        &self,
        dy: &[T],
        dx: &mut [T],
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> nn::Result<()> {
        let (rows, mut d_state) = self.split(dy);
        let context = self.net.context();
        let fresh = self.layer.backward_from(rows, context, &mut d_state, tape, gradients)?;
        let DeltaNetState { recurrent, conv } = d_state;
        add_fresh([fresh, recurrent, conv].concat(), dx, tape);
        Ok(())
    }
}
