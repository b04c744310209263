//! Counter-based noise: every random number is a function of its address.
//!
//! ```text
//! number(seed, parameter, step, index) = f( Philox4×32-10( counter = (block, parameter, step), key = seed ) )
//! ```
//!
//! There is no state that advances: a number does not depend on which thread asks for it, how many
//! were asked for before, or in what order. Philox gives 128 bits for each *block*, which hold a fixed
//! count of numbers of each kind, and number `index` lies in block `index / count`.
//!
//! | kind | numbers in a block | |
//! |---|---|---|
//! | [`bits`](Noise::bits), [`uniform`](Noise::uniform), [`centred`](Noise::centred), [`normal`](Noise::normal), [`sign`](Noise::sign) | 4 | a 32-bit word each |
//! | [`wide_bits`](Noise::wide_bits), [`uniform_f64`](Noise::uniform_f64), [`normal_f64`](Noise::normal_f64) | 2 | two words each |
//! | [`below`](Noise::below) | 1 | two words, the others for a further attempt |
//!
//! All kinds of one stream are made from the same bits. Two independent uses for one parameter and
//! step therefore need two seeds; `Noise::new(seed, purpose, 0).wide_bits(0)` makes such seeds.
//!
//! Integers, uniform and normal numbers have the same bits on every platform: only `+ − × ÷ √` stand
//! between the words and the number.

mod box_muller;
mod philox;

use std::num::NonZeroU64;

use box_muller::box_muller;
use philox::philox_lanes;
pub use philox::philox4x32_10;

/// Blocks that a fill makes together: enough of them to hide the latency of the rounds.
const BATCH: usize = 16;

/// A stream of random numbers that are addressed by an index.
///
/// ```
/// use ternary_core::noise::Noise;
///
/// let noise = Noise::new(42, 7, 1000);
/// let mut all = [0.0; 100];
/// noise.fill_normal(0, &mut all);
/// let mut tail = [0.0; 10];
/// noise.fill_normal(90, &mut tail);
/// assert_eq!(all[90..], tail);
/// assert_eq!(all[17], noise.normal(17));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Noise {
    key: [u32; 2],
    parameter: u32,
    step: u32,
}

impl Noise {
    /// The stream of a seed, a parameter (which tensor, or which purpose) and a training step.
    pub const fn new(seed: u64, parameter: u32, step: u32) -> Self {
        Self { key: words(seed), parameter, step }
    }

    /// 32 random bits.
    pub fn bits(&self, index: u64) -> u32 {
        self.number(index, |block| block)
    }

    /// 64 random bits.
    pub fn wide_bits(&self, index: u64) -> u64 {
        self.number(index, wide)
    }

    /// A multiple of 2⁻²⁴ in [0, 1), each with the same probability.
    pub fn uniform(&self, index: u64) -> f32 {
        self.number(index, |block| block.map(uniform))
    }

    /// A multiple of 2⁻⁵³ in [0, 1), each with the same probability.
    pub fn uniform_f64(&self, index: u64) -> f64 {
        self.number(index, |block| wide(block).map(uniform_f64))
    }

    /// A number in (−½, ½) whose mean is exactly zero: an odd multiple of 2⁻²⁵, so that x and −x have
    /// the same probability. Its variance is 1/12.
    pub fn centred(&self, index: u64) -> f32 {
        self.number(index, |block| block.map(centred))
    }

    /// A standard normal number, by the Box–Muller transform of two 32-bit uniforms in `f64`, rounded.
    /// Its magnitude is at most 6.67.
    pub fn normal(&self, index: u64) -> f32 {
        self.number(index, normals)
    }

    /// A standard normal number, by the Box–Muller transform of two 53-bit uniforms. Its magnitude is
    /// at most 8.58.
    pub fn normal_f64(&self, index: u64) -> f64 {
        self.number(index, normals_f64)
    }

    /// −1 or +1, with the same probability.
    pub fn sign(&self, index: u64) -> i8 {
        if self.bits(index) >> 31 == 0 { 1 } else { -1 }
    }

    /// An integer of 0‥n, each with exactly the same probability.
    ///
    /// With x uniform on 64 bits, ⌊x·n / 2⁶⁴⌋ is unbiased once those x whose low product word falls
    /// below 2⁶⁴ mod n are rejected (Lemire, "Fast random integer generation in an interval", 2019).
    /// A rejected block holds the key of the next attempt.
    pub fn below(&self, index: u64, n: NonZeroU64) -> u64 {
        let n = n.get();
        let mut noise = *self;
        loop {
            let [candidate, key] = wide(noise.block(index));
            let product = u128::from(candidate) * u128::from(n);
            let low = product as u64;
            // 2⁶⁴ mod n is below n, so the division is for the few that could be rejected.
            if low >= n || low >= n.wrapping_neg() % n {
                return (product >> 64) as u64;
            }
            noise.key = words(key);
        }
    }

    /// Writes [`bits`](Self::bits) of the indices `start`, `start + 1`, … to `out`.
    pub fn fill_bits(&self, start: u64, out: &mut [u32]) {
        self.fill(start, out, |block| block);
    }

    /// Writes [`uniform`](Self::uniform) of the indices `start`, `start + 1`, … to `out`.
    pub fn fill_uniform(&self, start: u64, out: &mut [f32]) {
        self.fill(start, out, |block| block.map(uniform));
    }

    /// Writes [`uniform_f64`](Self::uniform_f64) of the indices `start`, `start + 1`, … to `out`.
    pub fn fill_uniform_f64(&self, start: u64, out: &mut [f64]) {
        self.fill(start, out, |block| wide(block).map(uniform_f64));
    }

    /// Writes [`centred`](Self::centred) of the indices `start`, `start + 1`, … to `out`.
    pub fn fill_centred(&self, start: u64, out: &mut [f32]) {
        self.fill(start, out, |block| block.map(centred));
    }

    /// Writes [`normal`](Self::normal) of the indices `start`, `start + 1`, … to `out`.
    pub fn fill_normal(&self, start: u64, out: &mut [f32]) {
        self.fill(start, out, normals);
    }

    /// Writes [`normal_f64`](Self::normal_f64) of the indices `start`, `start + 1`, … to `out`.
    pub fn fill_normal_f64(&self, start: u64, out: &mut [f64]) {
        self.fill(start, out, normals_f64);
    }

    #[inline]
    fn block(&self, block: u64) -> [u32; 4] {
        self.blocks([block]).map(|[word]| word)
    }

    #[inline]
    fn blocks<const LANES: usize>(&self, blocks: [u64; LANES]) -> [[u32; LANES]; 4] {
        let [low, high] = [0, 1].map(|half| blocks.map(|block| words(block)[half]));
        philox_lanes([low, high, [self.parameter; LANES], [self.step; LANES]], self.key)
    }

    /// Number `index` of a kind of which a block holds `N`.
    #[inline]
    fn number<T: Copy, const N: usize>(&self, index: u64, kind: impl Fn([u32; 4]) -> [T; N]) -> T {
        kind(self.block(index / N as u64))[(index % N as u64) as usize]
    }

    /// The numbers from `start` on: the rest of a begun block, batches of blocks, the last blocks.
    #[inline]
    fn fill<T: Copy, const N: usize>(
        &self,
        start: u64,
        out: &mut [T],
        kind: impl Fn([u32; 4]) -> [T; N],
    ) {
        let begun = (start % N as u64) as usize;
        let (head, rest) = out.split_at_mut(out.len().min((N - begun) % N));
        if !head.is_empty() {
            let numbers = kind(self.block(start / N as u64));
            head.copy_from_slice(&numbers[begun..begun + head.len()]);
        }
        let mut block = start.div_ceil(N as u64);
        let mut batches = rest.chunks_exact_mut(BATCH * N);
        for out in &mut batches {
            let words = self.blocks::<BATCH>(std::array::from_fn(|lane| block + lane as u64));
            for (lane, out) in out.chunks_exact_mut(N).enumerate() {
                out.copy_from_slice(&kind(words.map(|word| word[lane])));
            }
            block += BATCH as u64;
        }
        for out in batches.into_remainder().chunks_mut(N) {
            out.copy_from_slice(&kind(self.block(block))[..out.len()]);
            block += 1;
        }
    }
}

/// The low and the high half.
const fn words(wide: u64) -> [u32; 2] {
    [wide as u32, (wide >> 32) as u32]
}

#[inline]
fn wide([a, b, c, d]: [u32; 4]) -> [u64; 2] {
    [u64::from(a) | u64::from(b) << 32, u64::from(c) | u64::from(d) << 32]
}

#[inline]
fn uniform(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / (1 << 24) as f32)
}

#[inline]
fn uniform_f64(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// The middle of one of 2²⁴ equal steps, shifted by −½.
#[inline]
fn centred(bits: u32) -> f32 {
    let odd = 2 * (bits >> 8) as i32 + 1 - (1 << 24);
    odd as f32 * (1.0 / (1 << 25) as f32)
}

#[inline]
fn normals(block: [u32; 4]) -> [f32; 4] {
    const STEP: f64 = 1.0 / (1_u64 << 32) as f64;
    let pair = |u: u32, v: u32| box_muller((f64::from(u) + 1.0) * STEP, f64::from(v) * STEP);
    let ([a, b], [c, d]) = (pair(block[0], block[1]), pair(block[2], block[3]));
    [a as f32, b as f32, c as f32, d as f32]
}

#[inline]
fn normals_f64(block: [u32; 4]) -> [f64; 2] {
    let [u, v] = wide(block).map(uniform_f64);
    // 1 − u lies in (0, 1] and is exact.
    box_muller(1.0 - u, v)
}

/// A number for a name, so that what is called otherwise has other random numbers (FNV-1a, 64 bits).
///
/// ```
/// use ternary_core::noise::name_hash;
///
/// assert_ne!(name_hash("up_proj"), name_hash("down_proj"));
/// ```
pub const fn name_hash(name: &str) -> u64 {
    let (bytes, mut hash, mut index) = (name.as_bytes(), 0xcbf2_9ce4_8422_2325, 0);
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(0x0100_0000_01b3);
        index += 1;
    }
    hash
}

#[cfg(test)]
mod tests;
