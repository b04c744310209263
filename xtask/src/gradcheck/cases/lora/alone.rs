//! Adapters beside each kind of projection.
//!
//! A ternary base that sees int8 codes is a staircase in x: there x stays as it is, and A and B alone are moved.

use lora_backward::{AdapterMode, Lora};
use nn::{
    Activations, Bf16Linear, BitLinear, BitLinearOptions, Compute, Dense, Gradients, GridLinear,
    Module, Parameters, Projection, Tape, TernaryLinear,
};
use ternary_core::quantize::Absmean;
use ternary_core::{Granularity, Packing};

use super::adapted::Dropping;
use super::{attach, refused};
use crate::gradcheck::case::Case;
use crate::gradcheck::cases::op::narrow;
use crate::gradcheck::cases::part::{Built, OfProjection, Part, both};
use crate::gradcheck::values::signed;

const ROWS: usize = 3;
const INPUTS: usize = 11;
const OUTPUTS: usize = 7;
const RANK: usize = 5;

/// The cases of adapters by themselves.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let (dense, enabled) = (Kind::Dense, AdapterMode::Enabled);
    let plain = Alone { kind: dense, dropout: 0.0, mode: enabled, is_still: false };
    let (real, int8) = (Activations::Real, Activations::Int8);
    let mut cases = Vec::new();
    for (name, alone) in [
        ("Lora, dense", plain),
        ("Lora, dense under dropout", Alone { dropout: 0.5, ..plain }),
        ("Lora, disabled", Alone { mode: AdapterMode::Disabled, ..plain }),
        ("Lora, bf16", Alone { kind: Kind::Bf16, ..plain }),
        ("Lora, ternary", Alone { kind: Kind::Ternary(real), ..plain }),
        ("Lora, ternary of codes", Alone { kind: Kind::Ternary(int8), is_still: true, ..plain }),
        ("Lora, BitLinear", Alone { kind: Kind::BitLinear(real), ..plain }),
        (
            "Lora, BitLinear of codes",
            Alone { kind: Kind::BitLinear(int8), is_still: true, ..plain },
        ),
        ("Lora, grid", Alone { kind: Kind::Grid(real), ..plain }),
        ("Lora, grid of codes", Alone { kind: Kind::Grid(int8), is_still: true, ..plain }),
    ] {
        cases.extend(both(name, "Lora", alone));
    }
    cases
}

#[derive(Clone, Copy)]
enum Kind {
    Dense,
    Bf16,
    Ternary(Activations),
    BitLinear(Activations),
    Grid(Activations),
}

#[derive(Clone, Copy)]
struct Alone {
    kind: Kind,
    dropout: f64,
    mode: AdapterMode,
    /// Whether x is no array of the case.
    is_still: bool,
}

impl Alone {
    /// The frozen base.
    fn base<T: Compute>(self, parameters: &mut Parameters) -> nn::Result<Box<dyn Projection<T>>> {
        let (shape, weight) = ([OUTPUTS, INPUTS], signed("Lora/base", OUTPUTS * INPUTS));
        let single = narrow(&weight);
        let options = |activations| BitLinearOptions { activations, ..BitLinearOptions::default() };
        Ok(match self.kind {
            Kind::Dense => {
                let weight = single.into_iter().map(T::from_f32).collect();
                Box::new(Dense::from_weight("base", INPUTS, weight, parameters)?)
            }
            Kind::Bf16 => Box::new(Bf16Linear::round("base", INPUTS, &single[..])?),
            Kind::Ternary(activations) => {
                let (rule, packing) = (Absmean::new(Granularity::Row), Packing::TwoBit);
                let base = TernaryLinear::quantize("base", shape, &single[..], &rule, packing)?;
                Box::new(base.with_activations(activations))
            }
            Kind::BitLinear(activations) => {
                let options = options(activations);
                Box::new(BitLinear::from_weight("base", INPUTS, single, options, parameters)?)
            }
            Kind::Grid(activations) => {
                let options = options(activations);
                Box::new(GridLinear::quantize("base", shape, &single, &options, parameters)?)
            }
        })
    }
}

impl Part for Alone {
    fn input(&self) -> Option<[usize; 2]> {
        (!self.is_still).then_some([ROWS, INPUTS])
    }

    fn sums(&self) -> Vec<usize> {
        vec![INPUTS, RANK, OUTPUTS]
    }

    fn is_zero(&self, array: &str) -> bool {
        self.mode == AdapterMode::Disabled && array.contains("lora_")
    }

    fn build<T: Compute>(&self, parameters: &mut Parameters) -> nn::Result<Box<dyn Built<T>>> {
        parameters.freeze();
        let mut place = self.base::<T>(parameters)?;
        parameters.thaw();
        attach(&mut place, RANK, self.dropout, parameters)?;
        if let Some(lora) = Lora::of_mut(&mut *place) {
            lora.set_mode(self.mode).map_err(refused)?;
        }
        let built = OfProjection(place);
        Ok(match self.is_still {
            true => Box::new(Still(built)),
            false => Box::new(Dropping(Box::new(built))),
        })
    }
}

/// A projection of rows that stay as they are.
struct Still<T>(OfProjection<T>);

impl<T: Compute> Still<T> {
    fn x() -> Vec<T> {
        narrow(&signed("Lora/x", ROWS * INPUTS)).into_iter().map(T::from_f32).collect()
    }
}

impl<T: Compute> Built<T> for Still<T> {
    fn module(&mut self) -> &mut dyn Module<T> {
        self.0.module()
    }

    fn forward(&self, _: &[T], tape: &mut Tape<T>) -> nn::Result<Vec<T>> {
        self.0.forward(&Self::x(), tape)
    }

    fn backward(
        &self,
        dy: &[T],
        _: &mut [T],
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> nn::Result<()> {
        self.0.backward(dy, &mut Self::x(), tape, gradients)
    }
}
