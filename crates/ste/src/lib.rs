//! How a gradient passes a ternary quantiser.
