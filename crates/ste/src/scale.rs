//! What several estimators ask about the levels of a weight.

use ternary_core::{Levels, Real};

/// α: the magnitude on the side of a weight, W_p for w ≥ 0 and W_n for w < 0.
pub(crate) fn scale<T: Real>(latent: T, levels: Levels) -> T {
    T::from_f32(if latent < T::ZERO { levels.negative } else { levels.positive })
}

/// q = Q(w).
pub(crate) fn quantized<T: Real>(latent: T, levels: Levels) -> T {
    let threshold = T::from_f32(levels.threshold);
    if latent > threshold {
        T::from_f32(levels.positive)
    } else if latent < -threshold {
        -T::from_f32(levels.negative)
    } else {
        T::ZERO
    }
}

/// An odd function of w from its value at |w|.
pub(crate) fn odd<T: Real>(latent: T, value: T) -> T {
    if latent < T::ZERO { -value } else { value }
}
