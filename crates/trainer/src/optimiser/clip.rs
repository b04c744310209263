//! Clipping by the norm of all gradients together.

/// The factor that shortens gradients of norm `norm` to at most `longest`: min(1, longest / norm)
/// (Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks", 2013).
///
/// The direction stays, which clipping each tensor or entry alone would not promise.
pub fn clip_factor(norm: f64, longest: f64) -> f64 {
    if norm > longest { longest / norm } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_gradients_are_shortened() {
        assert_eq!(clip_factor(4.0, 1.0), 0.25);
        assert_eq!(clip_factor(1.0, 1.0), 1.0);
        assert_eq!(clip_factor(0.0, 1.0), 1.0);
        assert_eq!(clip_factor(1e300, 1.0), 1e-300);
    }
}
