//! [`Place`]: where an adapter can be.

/// What the names of all that is in layers begin with.
const LAYERS: &str = "model.layers.";

/// A projection of a model that can have an adapter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The name of the projection, such as `model.layers.0.linear_attn.in_proj_qkv`.
    pub name: String,
    /// The layer that it belongs to; none for a head.
    pub layer: Option<usize>,
    /// What kind of layer that is, in words: `attention`, `gated delta net`, `feed-forward`, `expert`, `router`, `head`.
    pub kind: &'static str,
    /// Numbers in a row of its inputs.
    pub inputs: usize,
    /// Numbers in a row of its outputs.
    pub outputs: usize,
}

impl Place {
    /// The name within the layer: what follows its number. The whole name of what belongs to none.
    pub fn part(&self) -> &str {
        layer_and_part(&self.name).map_or(&self.name, |(_, part)| part)
    }
}

/// The number of the layer in a name such as `model.layers.3.mlp.up_proj`, and what follows it. A number that is written
/// otherwise than models write it, such as 03, is none.
///
/// ```
/// use lora_backward::layer_and_part;
///
/// assert_eq!(layer_and_part("model.layers.3.mlp.up_proj"), Some((3, "mlp.up_proj")));
/// assert_eq!(layer_and_part("model.layers.03.mlp.up_proj"), None);
/// assert_eq!(layer_and_part("lm_head"), None);
/// ```
pub fn layer_and_part(name: &str) -> Option<(usize, &str)> {
    let (written, part) = number_and_part(name)?;
    let layer: usize = written.parse().ok()?;
    (layer.to_string() == written).then_some((layer, part))
}

/// The name whose layer has the plain number, where that of `name` is written otherwise.
pub(super) fn plain_name(name: &str) -> Option<String> {
    let (written, part) = number_and_part(name)?;
    let layer: usize = written.parse().ok()?;
    Some(format!("{LAYERS}{layer}.{part}"))
}

fn number_and_part(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(LAYERS)?.split_once('.')
}
