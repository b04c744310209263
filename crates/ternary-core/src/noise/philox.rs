//! Philox 4×32-10: a function from a counter and a key to 128 bits that look random.

/// The ten rounds of Philox 4×32 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
/// 1, 2, 3", SC 2011):
///
/// ```text
/// (h₀, l₀) = M₀ · c₀      (h₁, l₁) = M₁ · c₂          64-bit products, high and low words
/// c ← (h₁ ⊕ c₁ ⊕ k₀,  l₁,  h₀ ⊕ c₃ ⊕ k₁,  l₀)        k ← k + (W₀, W₁) between rounds
/// ```
///
/// It is a bijection of the counter for every key, so a stream never repeats a block.
#[inline]
pub fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    philox_lanes(counter.map(|word| [word]), key).map(|[word]| word)
}

/// [`philox4x32_10`] of several counters at once, word by word, so that the compiler can use vectors.
#[inline]
pub(super) fn philox_lanes<const LANES: usize>(
    counter: [[u32; LANES]; 4],
    key: [u32; 2],
) -> [[u32; LANES]; 4] {
    const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    let ([mut c0, mut c1, mut c2, mut c3], [mut k0, mut k1]) = (counter, key);
    for _ in 0..10 {
        for lane in 0..LANES {
            let p0 = MULTIPLIERS[0] * u64::from(c0[lane]);
            let p1 = MULTIPLIERS[1] * u64::from(c2[lane]);
            c0[lane] = (p1 >> 32) as u32 ^ c1[lane] ^ k0;
            c1[lane] = p1 as u32;
            c2[lane] = (p0 >> 32) as u32 ^ c3[lane] ^ k1;
            c3[lane] = p0 as u32;
        }
        (k0, k1) = (k0.wrapping_add(WEYL[0]), k1.wrapping_add(WEYL[1]));
    }
    [c0, c1, c2, c3]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The three vectors for ten rounds that the authors publish with their library Random123.
    #[test]
    fn the_published_answers_come_out() {
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([!0; 4], [!0; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox4x32_10(counter, key), expected, "{counter:x?} {key:x?}");
        }
    }
}
