//! [`Adapters`]: those of a model, by the names of its projections.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use nn::ternary_core::Real;

use super::place::plain_name;
use super::{Adapter, AdapterError, Place, check_dropout, layer_and_part};

/// The adapters of a model. Each has the name of its projection, which is the name of a parameter of ours without
/// `.weight`: `model.layers.0.linear_attn.in_proj_qkv`.
///
/// ```
/// use lora_backward::{Adapter, Adapters, Place, Scaling};
///
/// let scaling = Scaling { alpha: 16.0, rank_stabilised: false };
/// let mut adapters = Adapters::<f32>::default();
/// adapters.insert("lm_head", Adapter::kaiming("lm_head", [6, 4], 2, scaling, 1)?)?;
/// let head = Place { name: "lm_head".into(), layer: None, kind: "head", inputs: 4, outputs: 6 };
/// adapters.validate_against(&[head])?;
/// assert!(adapters.validate_against(&[]).is_err());
/// # Ok::<(), lora_backward::AdapterError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Adapters<T> {
    modules: BTreeMap<String, Adapter<T>>,
    /// p, the share of the inputs that each adapter drops while it trains.
    pub dropout: f64,
}

impl<T> Default for Adapters<T> {
    fn default() -> Self {
        Self { modules: BTreeMap::new(), dropout: 0.0 }
    }
}

impl<T: Real> Adapters<T> {
    /// Adds the adapter of a projection.
    ///
    /// # Errors
    /// [`AdapterError::Twice`] where there is one already.
    pub fn insert(
        &mut self,
        module: impl Into<String>,
        adapter: Adapter<T>,
    ) -> Result<(), AdapterError> {
        match self.modules.entry(module.into()) {
            Entry::Vacant(entry) => {
                entry.insert(adapter);
                Ok(())
            }
            Entry::Occupied(entry) => Err(AdapterError::Twice { module: entry.key().clone() }),
        }
    }

    /// The adapter of a projection.
    pub fn get(&self, module: &str) -> Option<&Adapter<T>> {
        self.modules.get(module)
    }

    /// All of them with their names, in the order of those.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Adapter<T>)> {
        self.modules.iter().map(|(module, adapter)| (module.as_str(), adapter))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.modules.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }

    /// Checks that every adapter can be put into a model of these places: that its projection exists, that both
    /// factors have the shapes which that and the rank ask for, and that all numbers are finite.
    ///
    /// # Errors
    /// The first of them in the order of the names that does not fit.
    pub fn validate_against(&self, places: &[Place]) -> Result<(), AdapterError> {
        check_dropout(self.dropout)?;
        let by_name: BTreeMap<&str, &Place> =
            places.iter().map(|place| (place.name.as_str(), place)).collect();
        for (module, adapter) in self.iter() {
            let Some(place) = by_name.get(module) else { return Err(missing(module, places)) };
            for (what, expected, found) in [
                ("inputs", place.inputs, adapter.inputs),
                ("outputs", place.outputs, adapter.outputs),
            ] {
                if expected != found {
                    let (module, place) = (module.to_owned(), described(place));
                    return Err(AdapterError::Shape { module, place, what, expected, found });
                }
            }
            adapter.check(module)?;
        }
        Ok(())
    }
}

/// `layer 3, attention`.
fn described(place: &Place) -> String {
    match place.layer {
        Some(layer) => format!("layer {layer}, {}", place.kind),
        None => place.kind.to_owned(),
    }
}

/// What to say of a projection that a model of these places does not have.
fn missing(module: &str, places: &[Place]) -> AdapterError {
    let module = module.to_owned();
    let unknown =
        |module: String| AdapterError::Unknown { example: example(&module, places), module };
    let Some((layer, part)) = layer_and_part(&module) else { return unknown(module) };
    let Some(last) = places.iter().filter_map(|place| place.layer).max() else {
        return unknown(module);
    };
    if layer > last {
        return AdapterError::Layer { module, layer, last };
    }
    let with = places.iter().filter(|place| place.part() == part).filter_map(|place| place.layer);
    let with: Vec<usize> = with.collect();
    if with.is_empty() {
        return unknown(module);
    }
    let kinds = |layers: &[usize]| -> BTreeSet<&str> {
        let is_in = |place: &&Place| place.layer.is_some_and(|layer| layers.contains(&layer));
        places.iter().filter(is_in).map(|place| place.kind).collect()
    };
    // What the layer has beside those with the projection, feed-forward nets say, is not why it has none.
    let (own, of_others) = (kinds(&[layer]), kinds(&with));
    let found: Vec<&str> = own.difference(&of_others).copied().collect();
    let found = if found.is_empty() { "of another kind".to_owned() } else { found.join(" and ") };
    let with = with.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    AdapterError::Kind { part: part.to_owned(), module, layer, found, with }
}

/// The projection that `module` means with a layer's number written plainly, or one that ends as it does, or else the
/// first.
fn example(module: &str, places: &[Place]) -> String {
    let end = |name: &str| name.rsplit('.').next().map(str::to_owned);
    let plain = plain_name(module);
    let plain = places.iter().find(|place| Some(&place.name) == plain.as_ref());
    let alike = || places.iter().find(|place| end(&place.name) == end(module));
    plain
        .or_else(alike)
        .or(places.first())
        .map_or_else(|| "none at all".to_owned(), |place| place.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::Scaling;

    const SCALING: Scaling = Scaling { alpha: 8.0, rank_stabilised: true };

    /// Two layers with a gated delta net and one with attention, each with a feed-forward net, and a head.
    fn places() -> Vec<Place> {
        let mut places = Vec::new();
        for layer in 0..3 {
            let (kind, part) = if layer == 1 {
                ("attention", "self_attn.q_proj")
            } else {
                ("gated delta net", "linear_attn.in_proj_qkv")
            };
            for (kind, part) in [(kind, part), ("feed-forward", "mlp.up_proj")] {
                let name = format!("model.layers.{layer}.{part}");
                places.push(Place { name, layer: Some(layer), kind, inputs: 4, outputs: 6 });
            }
        }
        places.push(Place {
            name: "lm_head".into(),
            layer: None,
            kind: "head",
            inputs: 4,
            outputs: 9,
        });
        places
    }

    fn of(module: &str, shape: [usize; 2]) -> Adapters<f32> {
        let mut adapters = Adapters::default();
        adapters.insert(module, Adapter::kaiming(module, shape, 2, SCALING, 1).unwrap()).unwrap();
        adapters
    }

    fn error(module: &str, shape: [usize; 2]) -> String {
        of(module, shape).validate_against(&places()).unwrap_err().to_string()
    }

    #[test]
    fn adapters_of_projections_that_the_model_has_are_accepted() {
        for place in places() {
            let adapters = of(&place.name, [place.outputs, place.inputs]);
            assert_eq!(adapters.validate_against(&places()), Ok(()));
        }
        assert_eq!(Adapters::<f64>::default().validate_against(&[]), Ok(()));
    }

    #[test]
    fn a_projection_of_another_kind_of_layer_is_told_with_the_layers_that_have_it() {
        assert_eq!(
            error("model.layers.1.linear_attn.in_proj_qkv", [6, 4]),
            "model.layers.1.linear_attn.in_proj_qkv: layer 1 is attention and has no \
             linear_attn.in_proj_qkv; layers with it: 0, 2: choose among those"
        );
    }

    #[test]
    fn layers_and_projections_that_no_layer_has_are_told_with_what_there_is() {
        assert_eq!(
            error("model.layers.7.mlp.up_proj", [6, 4]),
            "model.layers.7.mlp.up_proj: expected one of the layers 0 to 2, found layer 7: \
             the adapter belongs to a deeper model"
        );
        for (module, example) in [
            (
                "model.language_model.layers.0.mlp.gate_proj",
                "model.layers.0.linear_attn.in_proj_qkv",
            ),
            // What the same projection is called in a model that sees as well.
            ("model.language_model.layers.0.mlp.up_proj", "model.layers.0.mlp.up_proj"),
            ("up_proj", "model.layers.0.mlp.up_proj"),
            ("model.layers.x.mlp.up_proj", "model.layers.0.mlp.up_proj"),
            // A layer whose number is not written as models write it.
            ("model.layers.00.linear_attn.in_proj_qkv", "model.layers.0.linear_attn.in_proj_qkv"),
            ("model.layers.+2.mlp.up_proj", "model.layers.2.mlp.up_proj"),
        ] {
            let expected = format!(
                "{module}: expected a projection of the model, such as {example}, found none of that name"
            );
            assert_eq!(error(module, [6, 4]), expected);
        }
        let error = of("lm_head", [9, 4]).validate_against(&[]).unwrap_err().to_string();
        assert!(error.contains("such as none at all"), "{error}");
    }

    #[test]
    fn a_shape_that_does_not_fit_is_told_with_layer_and_kind() {
        assert_eq!(
            error("model.layers.2.mlp.up_proj", [5, 4]),
            "model.layers.2.mlp.up_proj (layer 2, feed-forward): outputs: expected 6, found 5: \
             the adapter belongs to another model"
        );
        let error = error("lm_head", [9, 3]);
        assert!(error.starts_with("lm_head (head): inputs: expected 4, found 3"), "{error}");
    }

    #[test]
    fn factors_that_were_changed_into_nonsense_are_found() {
        let name = "model.layers.0.mlp.up_proj";
        let mut adapter = Adapter::kaiming(name, [6, 4], 2, SCALING, 1).unwrap();
        adapter.rank = 3;
        let mut adapters = Adapters::<f32>::default();
        adapters.insert(name, adapter).unwrap();
        let error = adapters.validate_against(&places()).unwrap_err();
        assert!(matches!(error, AdapterError::Size { matrix: "lora_A", rows: 3, .. }));
        let mut adapters = of(name, [6, 4]);
        for dropout in [1.0, -0.1, f64::NAN] {
            adapters.dropout = dropout;
            assert!(matches!(
                adapters.validate_against(&places()),
                Err(AdapterError::Dropout { .. })
            ));
        }
    }

    #[test]
    fn a_projection_has_one_adapter() {
        let mut adapters = of("b", [6, 4]);
        let second = Adapter::kaiming("b", [6, 4], 1, SCALING, 1).unwrap();
        let error = adapters.insert("b", second.clone()).unwrap_err().to_string();
        assert_eq!(error, "b: expected one adapter, found a second");
        assert_eq!(adapters.get("b").map(|adapter| adapter.rank), Some(2));
        adapters.insert("a", second).unwrap();
        assert_eq!(adapters.iter().map(|(module, _)| module).collect::<Vec<_>>(), ["a", "b"]);
    }
}
