//! [`Scaling`]: the factor of what an adapter adds.

/// The factor s in y = W·x + s·B·A·x, for an adapter of rank r:
///
/// ```text
/// s = α/r           LoRA (Hu et al., arXiv 2106.09685)
/// s = α/√r          rank-stabilised (Kalajdzievski, arXiv 2312.03732)
/// ```
///
/// ```
/// use lora_backward::Scaling;
///
/// assert_eq!(Scaling { alpha: 32.0, rank_stabilised: false }.factor(16), 2.0);
/// assert_eq!(Scaling { alpha: 32.0, rank_stabilised: true }.factor(16), 8.0);
/// assert_eq!(Scaling::multiplier(20.0, 8).factor(8), 20.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    /// α.
    pub alpha: f64,
    /// Whether α is divided by √r in the place of r.
    pub rank_stabilised: bool,
}

impl Scaling {
    /// The largest α, and the largest multiplier, that is taken from a setting or a file: far above all that adapters are
    /// trained with, and far below what makes weights infinite.
    pub const LARGEST: f64 = 1e6;

    /// s for an adapter of this rank.
    pub fn factor(self, rank: usize) -> f64 {
        let rank = rank as f64;
        self.alpha / if self.rank_stabilised { rank.sqrt() } else { rank }
    }

    /// The scaling whose factor is `scale` itself at this rank, as MLX-LM keeps it: α = scale·r.
    pub fn multiplier(scale: f64, rank: usize) -> Self {
        Self { alpha: scale * rank as f64, rank_stabilised: false }
    }
}
