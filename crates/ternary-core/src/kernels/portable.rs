//! Plain Rust, which the compiler vectorises for the target's baseline. It is also what aarch64 runs.

use super::activations;
use super::arch::{Arch, Operands, QUAD, StripSums, Tile};
use super::instantiate::shared_kernels;
use super::lanes::{Dot, Lanes};
use super::register_tile::register_tile;
use super::scaling::Place;
use super::scratch::Words;
use super::unpack::{self, LaneScales, Plane, QUADS};
use crate::packing::{LANES, Line};
use crate::weights::Weights;

pub(crate) struct Portable;

/// Four products of a u8 with an i8.
struct Bytes;
/// Two products of i16s.
struct Pairs;
/// One product of floats. Without fused instructions, multiply and add round apart.
struct Floats;

#[inline(always)]
fn four_products(weights: u32, activations: u32) -> i32 {
    let products = weights.to_le_bytes().into_iter().zip(activations.to_le_bytes());
    products.map(|(w, x)| i32::from(w) * i32::from(x as i8)).sum()
}

/// Sixteen lanes in an array.
struct Array;

impl Lanes for Array {
    type Vector = [u32; LANES];
    const PARTS: usize = 1;

    #[inline(always)]
    unsafe fn load(words: &Words, _: usize) -> [u32; LANES] {
        words.0
    }

    #[inline(always)]
    unsafe fn store(vector: [u32; LANES], words: &mut Words, _: usize) {
        words.0 = vector;
    }

    #[inline(always)]
    unsafe fn splat(word: u32) -> [u32; LANES] {
        [word; LANES]
    }

    #[inline(always)]
    unsafe fn shift_right(vector: [u32; LANES], count: usize) -> [u32; LANES] {
        vector.map(|word| word >> count)
    }

    #[inline(always)]
    unsafe fn shift_right_each(mut vector: [u32; LANES], counts: [u32; LANES]) -> [u32; LANES] {
        for lane in 0..LANES {
            vector[lane] >>= counts[lane];
        }
        vector
    }

    #[inline(always)]
    unsafe fn shift_left(vector: [u32; LANES], count: usize) -> [u32; LANES] {
        vector.map(|word| word << count)
    }

    #[inline(always)]
    unsafe fn and(mut a: [u32; LANES], b: [u32; LANES]) -> [u32; LANES] {
        for lane in 0..LANES {
            a[lane] &= b[lane];
        }
        a
    }

    #[inline(always)]
    unsafe fn or(mut a: [u32; LANES], b: [u32; LANES]) -> [u32; LANES] {
        for lane in 0..LANES {
            a[lane] |= b[lane];
        }
        a
    }

    #[inline(always)]
    unsafe fn xor(mut a: [u32; LANES], b: [u32; LANES]) -> [u32; LANES] {
        for lane in 0..LANES {
            a[lane] ^= b[lane];
        }
        a
    }

    #[inline(always)]
    unsafe fn add(mut a: [u32; LANES], b: [u32; LANES]) -> [u32; LANES] {
        for lane in 0..LANES {
            a[lane] = a[lane].wrapping_add(b[lane]);
        }
        a
    }

    #[inline(always)]
    unsafe fn weights(
        mut codes: [u32; LANES],
        negative: [u32; LANES],
        positive: [u32; LANES],
    ) -> [u32; LANES] {
        for lane in 0..LANES {
            let trit = codes[lane] as i32 as f32 - 1.0;
            let magnitude = if trit > 0.0 { positive[lane] } else { negative[lane] };
            codes[lane] = (trit * f32::from_bits(magnitude)).to_bits();
        }
        codes
    }
}

macro_rules! array_dot {
    ($name:ty, |$sum:ident, $weight:ident, $activation:ident| $dot:expr) => {
        impl Dot for $name {
            type Lanes = Array;

            #[inline(always)]
            unsafe fn dot(
                mut sums: [u32; LANES],
                weights: [u32; LANES],
                activations: [u32; LANES],
            ) -> [u32; LANES] {
                for lane in 0..LANES {
                    let ($sum, $weight, $activation) =
                        (sums[lane], weights[lane], activations[lane]);
                    sums[lane] = $dot;
                }
                sums
            }
        }
    };
}

array_dot!(Bytes, |sum, w, x| sum.wrapping_add(four_products(w, x) as u32));
array_dot!(Pairs, |sum, w, x| {
    let low = i32::from(w as i16) * i32::from(x as i16);
    let high = i32::from((w >> 16) as i16) * i32::from((x >> 16) as i16);
    sum.wrapping_add(low as u32).wrapping_add(high as u32)
});
array_dot!(Floats, |sum, w, x| {
    (f32::from_bits(sum) + f32::from_bits(w) * f32::from_bits(x)).to_bits()
});

#[inline(always)]
unsafe fn tile_of<D: Dot>(width: usize, panels: &[&[Words]], x: &[u32], tile: &mut Tile) {
    // SAFETY: plain Rust needs no processor feature.
    unsafe {
        match width {
            1 => register_tile::<D, 1, 1, 1>(panels, x, tile),
            2 => register_tile::<D, 1, 1, 2>(panels, x, tile),
            _ => register_tile::<D, 1, 1, 4>(panels, x, tile),
        }
    }
}

/// sums[lane] = Σ code · activation over the quads that `quads` unpacks from a line.
#[inline(always)]
fn gemv<const STEPS: usize>(
    blocks: &[&[Line]],
    activations: &[u32],
    sums: &mut StripSums,
    quads: impl Fn(&Line) -> [Words; STEPS],
) {
    for (lines, sums) in blocks.iter().zip(sums) {
        sums.fill(0);
        for (line, x) in lines.iter().zip(activations.chunks_exact(STEPS)) {
            for (step, &x) in quads(line).iter().zip(x) {
                for (sum, &word) in sums.iter_mut().zip(&step.0) {
                    *sum = sum.wrapping_add(four_products(word, x));
                }
            }
        }
    }
}

impl Arch for Portable {
    #[cfg(test)]
    const ISA: super::Isa = super::Isa::Portable;
    const WIDTHS: [usize; 3] = [1, 2, 4];
    const BLOCKS: usize = 1;
    const STREAMS: bool = false;

    unsafe fn tile(
        operands: Operands,
        width: usize,
        panels: &[&[Words]],
        activations: &[u32],
        tile: &mut Tile,
    ) {
        // SAFETY: plain Rust needs no processor feature.
        unsafe {
            match operands {
                Operands::Bytes => tile_of::<Bytes>(width, panels, activations, tile),
                Operands::Pairs => tile_of::<Pairs>(width, panels, activations, tile),
                Operands::Floats => tile_of::<Floats>(width, panels, activations, tile),
            }
        }
    }

    unsafe fn gemv_two_bit(
        plane: Plane,
        blocks: &[&[Line]],
        activations: &[u32],
        sums: &mut StripSums,
    ) {
        gemv(blocks, activations, sums, |line| {
            let mut steps = [Words([0; LANES]); QUADS];
            // SAFETY: arrays need no processor feature.
            unsafe { unpack::quads::<Array>(std::slice::from_ref(line), plane, &mut steps) };
            steps
        });
    }

    unsafe fn gemv_five_trits(blocks: &[&[Line]], activations: &[u32], sums: &mut StripSums) {
        gemv(blocks, activations, sums, |line| {
            let mut steps = [Words([0; LANES]); 5];
            let mut rest = line.0;
            for step in &mut steps {
                for (digit, c) in bytemuck::bytes_of_mut(step).iter_mut().zip(&mut rest) {
                    let tripled = 3 * u16::from(*c);
                    *digit = (tripled >> 8) as u8;
                    *c = tripled as u8;
                }
            }
            steps
        });
    }

    unsafe fn transpose_square(rows: &[u32], stride: usize, out: &mut [u32], width: usize) {
        super::dense::transpose_square(rows, stride, out, width);
    }

    unsafe fn add_rows(a: &[f32], rows: &[f32], sums: &mut [f32]) {
        super::dense::add_rows(a, rows, sums, |sum, a, b| sum + a * b);
    }

    unsafe fn ternarize(
        rows: [&[f32]; QUAD],
        thresholds: [f32; QUAD],
        quad: usize,
        lines: &mut [Line],
    ) -> bool {
        let mut finite = true;
        for (n, (row, threshold)) in rows.into_iter().zip(thresholds).enumerate() {
            for (line, row) in lines.iter_mut().zip(row.chunks_exact(LANES)) {
                finite &= row.iter().all(|w| w.is_finite());
                let mut word = 0;
                for (column, w) in row.iter().enumerate() {
                    let code = 1 + u32::from(*w > threshold) - u32::from(*w < -threshold);
                    word |= code << unpack::column_shift(column);
                }
                line.0[4 * (QUAD * quad + n)..][..4].copy_from_slice(&u32::to_le_bytes(word));
            }
        }
        finite
    }

    shared_kernels!(Array,);
}
