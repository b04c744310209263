//! A block of hybrid models: a delta net and a feed-forward net behind shifted norms, on tapes that keep and on tapes
//! that recompute.

use nn::{Block, Compute, Nonlinearity, Parameters, RmsNorm};

use super::delta_net::{Net, WIDTH};
use super::layers::Channels;
use super::part::{Built, OfLayer, Part, Recomputed, both, zeros};
use crate::gradcheck::case::Case;

/// ε that is not lost beside the mean of squares.
const EPSILON: f64 = 0.25;

/// The cases.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let kinds = [("Block, hybrid", false), ("Block, hybrid, recomputed", true)];
    let cases = kinds.map(|(name, recomputes)| both(name, "Block", Hybrid { recomputes }));
    cases.into_iter().flatten().collect()
}

#[derive(Clone)]
pub(super) struct Hybrid {
    pub(super) recomputes: bool,
}

impl Hybrid {
    const CHANNELS: Channels = Channels { nonlinearity: Nonlinearity::SwiGlu, has_norm: false };
}

impl Part for Hybrid {
    fn input(&self) -> Option<[usize; 2]> {
        Net::PLAIN.input()
    }

    fn sums(&self) -> Vec<usize> {
        [Net::PLAIN.sums(), Self::CHANNELS.sums(), vec![WIDTH, WIDTH]].concat()
    }

    fn values(&self, seed: &str, array: &str, shape: &[usize]) -> Vec<f64> {
        Net::PLAIN.values(seed, array, shape)
    }

    fn build<T: Compute>(&self, parameters: &mut Parameters) -> nn::Result<Box<dyn Built<T>>> {
        let norm = |name: &str, parameters: &mut Parameters| {
            RmsNorm::new(name, zeros(WIDTH), EPSILON, parameters).map(RmsNorm::shifted)
        };
        let before = norm("mixer_norm", parameters)?;
        let mixer = Net::PLAIN.layer(parameters)?;
        let after = norm("channels_norm", parameters)?;
        let channels = Self::CHANNELS.layer(parameters)?;
        let branches = ((before, Box::new(mixer) as _), (after, Box::new(channels) as _));
        let block = Block::new("block", branches.0, branches.1)?;
        let layer = OfLayer(Box::new(block), Net::PLAIN.context());
        Ok(if self.recomputes { Box::new(Recomputed(layer)) } else { Box::new(layer) })
    }
}
