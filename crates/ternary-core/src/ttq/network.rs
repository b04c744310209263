//! Named layers and what they are together.

use super::layer::{TtqLayer, TtqStatistics};
use crate::error::{Error, Result};
use crate::matrix::TernaryMatrix;
use crate::packing::Packing;

/// Layers by name, in the order in which they were added.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TtqNetwork {
    layers: Vec<(String, TtqLayer)>,
}

/// What each layer of a network is once quantised, and the whole.
#[derive(Debug, Clone, PartialEq)]
pub struct TtqNetworkStatistics {
    /// Each layer by name.
    pub layers: Vec<(String, TtqStatistics)>,
    /// All layers: weights and bytes are sums, sparsity and effective bits are means over the weights.
    pub total: TtqStatistics,
}

impl TtqNetwork {
    /// A network without layers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a layer.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when the name is taken.
    pub fn push(&mut self, name: impl Into<String>, layer: TtqLayer) -> Result<()> {
        let name = name.into();
        if self.layer(&name).is_some() {
            return Err(Error::Mismatch {
                what: "layer name",
                expected: "a name that no other layer has".into(),
                found: format!("{name:?}"),
            });
        }
        self.layers.push((name, layer));
        Ok(())
    }

    /// The layers with their names, in order.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = (&str, &TtqLayer)> {
        self.layers.iter().map(|(name, layer)| (name.as_str(), layer))
    }

    /// The layers with their names, in order, for an optimiser.
    pub fn layers_mut(&mut self) -> impl ExactSizeIterator<Item = (&str, &mut TtqLayer)> {
        self.layers.iter_mut().map(|(name, layer)| (name.as_str(), layer))
    }

    /// The layer of this name.
    pub fn layer(&self, name: &str) -> Option<&TtqLayer> {
        self.layers().find(|(found, _)| *found == name).map(|(_, layer)| layer)
    }

    /// Every layer quantised with its scales.
    ///
    /// # Errors
    /// [`Error::Layer`] naming the first layer that has a weight that is not finite or a parameter out of
    /// its range.
    pub fn quantize_scaled(&self, packing: Packing) -> Result<Vec<(String, TernaryMatrix)>> {
        self.map(|layer| layer.quantize_scaled(packing))
    }

    /// What the layers are once quantised, each and together. A network without weights has the
    /// sparsity and the effective bits 0.
    ///
    /// # Errors
    /// As [`TtqNetwork::quantize_scaled`].
    pub fn statistics(&self, packing: Packing) -> Result<TtqNetworkStatistics> {
        let layers = self.map(|layer| layer.statistics(packing))?;
        let weights = layers.iter().map(|(_, layer)| layer.weights).sum();
        let mean = |value: fn(&TtqStatistics) -> f64| {
            let sum: f64 =
                layers.iter().map(|(_, layer)| layer.weights as f64 * value(layer)).sum();
            if weights == 0 { 0.0 } else { sum / weights as f64 }
        };
        let total = TtqStatistics {
            weights,
            sparsity: mean(|layer| layer.sparsity),
            effective_bits: mean(|layer| layer.effective_bits),
            size_bytes: layers.iter().map(|(_, layer)| layer.size_bytes).sum(),
        };
        Ok(TtqNetworkStatistics { layers, total })
    }

    fn map<T>(&self, apply: impl Fn(&TtqLayer) -> Result<T>) -> Result<Vec<(String, T)>> {
        let named = self.layers.iter().map(|(name, layer)| match apply(layer) {
            Ok(value) => Ok((name.clone(), value)),
            Err(source) => Err(Error::Layer { name: name.clone(), source: Box::new(source) }),
        });
        named.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scales::Granularity;

    fn network() -> TtqNetwork {
        let mut network = TtqNetwork::new();
        let layers = [
            ("first", 2, 4, vec![1.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0, -1.0]),
            ("second", 1, 2, vec![0.5, 0.5]),
            ("empty", 0, 3, vec![]),
        ];
        for (name, rows, cols, latent) in layers {
            let layer = TtqLayer::initialised(rows, cols, latent, Granularity::Tensor, 0.05);
            network.push(name, layer.unwrap()).unwrap();
        }
        network
    }

    #[test]
    fn totals_weigh_each_layer_by_its_size() {
        let TtqNetworkStatistics { layers, total } =
            network().statistics(Packing::FiveTrits).unwrap();
        let names: Vec<&str> = layers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["first", "second", "empty"]);
        let each: Vec<_> = layers.iter().map(|(_, l)| (l.sparsity, l.effective_bits)).collect();
        assert_eq!(each, [(0.5, 1.5), (0.0, 0.0), (0.0, 0.0)]);
        assert_eq!(total.weights, 10);
        assert_eq!((total.sparsity, total.effective_bits), (0.4, 1.2));
        let bytes: usize = layers.iter().map(|(_, layer)| layer.size_bytes).sum();
        assert_eq!(total.size_bytes, bytes);
        let matrices = network().quantize_scaled(Packing::FiveTrits).unwrap();
        let sizes: Vec<_> = matrices.iter().map(|(_, matrix)| matrix.size_bytes()).collect();
        assert_eq!(sizes, layers.iter().map(|(_, l)| l.size_bytes).collect::<Vec<_>>());
        assert_eq!(matrices[1].1.to_f32(), [0.5, 0.5]);
    }

    #[test]
    fn a_network_without_layers_weighs_nothing() {
        let total = TtqNetwork::new().statistics(Packing::TwoBit).unwrap().total;
        let nothing =
            TtqStatistics { weights: 0, sparsity: 0.0, effective_bits: 0.0, size_bytes: 0 };
        assert_eq!(total, nothing);
    }

    #[test]
    fn a_name_is_given_once_and_an_error_names_its_layer() {
        let mut network = network();
        let layer = network.layer("second").unwrap().clone();
        assert!(matches!(network.push("first", layer), Err(Error::Mismatch { .. })));
        assert_eq!(network.layers().len(), 3);
        for (name, layer) in network.layers_mut() {
            if name == "second" {
                layer.latent_mut()[1] = f32::INFINITY;
            }
        }
        let error = network.statistics(Packing::TwoBit).unwrap_err();
        assert_eq!(
            error.to_string(),
            "layer \"second\": weights: expected finite numbers, found inf at index 1"
        );
        assert!(network.layer("third").is_none());
    }
}
