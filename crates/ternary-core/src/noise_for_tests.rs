//! Numbers for tests: a small congruential generator, so that a test depends on nothing it tests.

pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// An integer below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        // Knuth's MMIX constants; the high bits are the good ones.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    /// A float in −1 ‥ 1 with an exponent that varies.
    pub(crate) fn float(&mut self) -> f32 {
        let scale = [1.0, 0.25, 4.0, 1e-3][self.below(4) as usize];
        (self.below(1 << 24) as f32 / (1 << 23) as f32 - 1.0) * scale
    }
}
