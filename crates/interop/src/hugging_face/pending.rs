use nn::Nonlinearity;
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    pub vocabulary: usize,
    pub width: usize,
    pub layers: usize,
    pub heads: usize,
    pub key_heads: usize,
    pub head_width: usize,
    pub rotary_width: usize,
    pub feed_forward: usize,
    pub nonlinearity: Nonlinearity,
    pub rotary_base: f64,
    pub positions: usize,
    pub norm_epsilon: f64,
    pub shifted_norms: bool,
    pub head_norms: bool,
    pub gated_attention: bool,
    pub sub_norms: bool,
    pub tied_head: bool,
    pub per_layer: usize,
    pub delta: Option<DeltaNet>,
    pub mixture: Option<Mixture>,
}
#[derive(Debug, Clone, PartialEq)]
pub struct DeltaNet { pub key_heads: usize, pub value_heads: usize, pub key_width: usize, pub value_width: usize, pub kernel: usize, pub fused: bool, pub layers: Vec<bool> }
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture { pub experts: usize, pub used: usize, pub width: usize, pub shared: Option<usize>, pub balance: f64, pub z: f64, pub layers: Vec<bool> }
impl From<DecoderConfig> for models::DecoderConfig {
    fn from(c: DecoderConfig) -> Self {
        Self { vocabulary: c.vocabulary, width: c.width, layers: c.layers, heads: c.heads, key_heads: c.key_heads, head_width: c.head_width, feed_forward: c.feed_forward, nonlinearity: c.nonlinearity, rotary_base: c.rotary_base, positions: c.positions, norm_epsilon: c.norm_epsilon, sub_norms: c.sub_norms, tied_head: c.tied_head, per_layer: c.per_layer, mixture: None }
    }
}
