//! How activations enter a ternary product.

/// How activations enter a product with ternary weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Activations {
    /// Int8 codes with a scale for each row (token): exact integer sums.
    #[default]
    Int8,
    /// As they are.
    Real,
}
