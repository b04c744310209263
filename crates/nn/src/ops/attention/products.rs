//! The register tile that all products of attention share, and the products of a pair of blocks.

use super::blocks::BLOCK;
use crate::simd::{LANES, Lanes};

/// The rows of a product's left factor, of which a tile broadcasts one number at a time: number
/// (row, step) lies at row · ROW + step · STEP. One of the two strides is 1, the other [`BLOCK`].
#[derive(Clone, Copy)]
pub(super) struct Left<'a, const ROW: usize, const STEP: usize>(pub(super) &'a [f32]);

/// The rows of a product's right factor, whose numbers are lanes: step s starts at s · stride.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    pub(super) values: &'a [f32],
    pub(super) stride: usize,
}

/// The sums of `ROWS × VECTORS` vectors, which stay in registers:
/// `sums[row] += Σ left[row, step] · right[step]` over the steps, in ascending order.
///
/// # Safety
/// The processor has the instruction set of `L`.
#[inline(always)]
pub(super) unsafe fn tile<
    L: Lanes,
    const ROWS: usize,
    const VECTORS: usize,
    const ROW: usize,
    const STEP: usize,
>(
    left: Left<'_, ROW, STEP>,
    right: Right<'_>,
    steps: std::ops::Range<usize>,
    mut sums: [[L; VECTORS]; ROWS],
) -> [[L; VECTORS]; ROWS] {
    if steps.is_empty() {
        return sums;
    }
    let last = steps.end - 1;
    assert!(left.0.len() > (ROWS - 1) * ROW + last * STEP);
    assert!(right.values.len() >= last * right.stride + VECTORS * LANES);
    // SAFETY: the caller has the features; the last reads are inside by the assertions.
    unsafe {
        let mut numbers = left.0.as_ptr().add(steps.start * STEP);
        let mut lanes = right.values.as_ptr().add(steps.start * right.stride);
        for _ in 0..steps.len() / UNROLLED {
            for _ in 0..UNROLLED {
                step::<L, ROWS, VECTORS, ROW>(numbers, lanes, &mut sums);
                numbers = numbers.wrapping_add(STEP);
                lanes = lanes.wrapping_add(right.stride);
            }
        }
        for _ in 0..steps.len() % UNROLLED {
            step::<L, ROWS, VECTORS, ROW>(numbers, lanes, &mut sums);
            numbers = numbers.wrapping_add(STEP);
            lanes = lanes.wrapping_add(right.stride);
        }
    }
    sums
}

/// Steps of a [`tile`] between two jumps: with few jumps the last one is foreseen, which gains 4%.
const UNROLLED: usize = 4;

/// One step of a [`tile`].
///
/// # Safety
/// The processor has the instruction set of `L`; `ROWS` numbers, `ROW` apart, and `VECTORS` vectors are
/// readable.
#[inline(always)]
unsafe fn step<L: Lanes, const ROWS: usize, const VECTORS: usize, const ROW: usize>(
    numbers: *const f32,
    lanes: *const f32,
    sums: &mut [[L; VECTORS]; ROWS],
) {
    // SAFETY: passed on from the caller.
    unsafe {
        let mut factor = [L::splat(0.0); VECTORS];
        for vector in 0..VECTORS {
            factor[vector] = L::read(lanes.add(vector * LANES));
        }
        for row in 0..ROWS {
            let number = L::splat(*numbers.add(row * ROW));
            for vector in 0..VECTORS {
                sums[row][vector] = number.mul_add(factor[vector], sums[row][vector]);
            }
        }
    }
}

/// Which keys of a block the queries of a block see: query a sees keys up to a + shift.
#[derive(Clone, Copy)]
pub(super) struct Causal {
    shift: isize,
}

impl Causal {
    /// Of queries whose first one stands at position `query`, and keys whose first is at `key`.
    pub(super) fn new(query: usize, key: usize) -> Self {
        Self { shift: query as isize - key as isize }
    }

    /// How many keys the queries before `end` see together.
    pub(super) fn keys_before(self, end: usize) -> usize {
        (end as isize + self.shift).clamp(0, BLOCK as isize) as usize
    }

    /// The first query that sees a key.
    pub(super) fn first_query(self, key: usize) -> usize {
        (key as isize - self.shift).clamp(0, BLOCK as isize) as usize
    }

    /// `values` in the lanes whose queries, `first` and following, see a key; `hidden` elsewhere.
    ///
    /// # Safety
    /// The processor has the instruction set of `L`.
    #[inline(always)]
    pub(super) unsafe fn select<L: Lanes>(
        self,
        [first, key]: [usize; 2],
        values: L,
        hidden: f32,
    ) -> L {
        const LANE: [f32; LANES] =
            [0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.];
        // At most a block away from 0 where it matters, so the float is exact or its sign decides.
        let first_lane = (key as isize - self.shift - first as isize) as f32;
        // SAFETY: passed on from the caller.
        unsafe { L::from_array(&LANE).select_less(L::splat(first_lane), L::splat(hidden), values) }
    }
}

/// `scores[key][query] = Σ keys[i][key] · queries[i][query]` for `VECTORS` vectors of queries
/// and, in whole tiles, the keys before `end`. Blocks are transposed; `queries` and `scores` start at
/// the first of the queries.
///
/// # Safety
/// The processor has the instruction set of `L`.
#[inline(always)]
pub(super) unsafe fn scores<L: Lanes, const ROWS: usize, const VECTORS: usize>(
    keys: &[f32],
    queries: &[f32],
    end: usize,
    scores: &mut [f32],
) {
    let width = keys.len() / BLOCK;
    let queries = Right { values: queries, stride: BLOCK };
    for key in (0..end).step_by(ROWS) {
        let to = &mut scores[key * BLOCK..];
        assert!(to.len() >= (ROWS - 1) * BLOCK + VECTORS * LANES);
        // SAFETY: the caller has the features; the last write is inside by the assertion.
        unsafe {
            let sums = [[L::splat(0.0); VECTORS]; ROWS];
            let sums =
                tile::<L, ROWS, VECTORS, 1, BLOCK>(Left(&keys[key..]), queries, 0..width, sums);
            for row in 0..ROWS {
                for vector in 0..VECTORS {
                    sums[row][vector].write(to.as_mut_ptr().add(row * BLOCK + vector * LANES));
                }
            }
        }
    }
}

/// d_scores = weights · (values · d_out − D), like [`scores`] of `values` and `d_out`.
///
/// # Safety
/// The processor has the instruction set of `L`.
#[inline(always)]
pub(super) unsafe fn d_scores<L: Lanes, const ROWS: usize, const VECTORS: usize>(
    [values, d_out, d]: [&[f32]; 3],
    weights: &[f32],
    end: usize,
    d_scores: &mut [f32],
) {
    let width = values.len() / BLOCK;
    let d_out = Right { values: d_out, stride: BLOCK };
    assert!(d.len() >= VECTORS * LANES);
    for key in (0..end).step_by(ROWS) {
        let (from, to) = (&weights[key * BLOCK..], &mut d_scores[key * BLOCK..]);
        assert!(from.len().min(to.len()) >= (ROWS - 1) * BLOCK + VECTORS * LANES);
        // SAFETY: the caller has the features; reads and writes are inside by the assertions.
        unsafe {
            let sums = [[L::splat(0.0); VECTORS]; ROWS];
            let sums =
                tile::<L, ROWS, VECTORS, 1, BLOCK>(Left(&values[key..]), d_out, 0..width, sums);
            for row in 0..ROWS {
                for vector in 0..VECTORS {
                    let at = row * BLOCK + vector * LANES;
                    let d = L::read(d.as_ptr().add(vector * LANES));
                    let weight = L::read(from.as_ptr().add(at));
                    sums[row][vector].sub(d).mul(weight).write(to.as_mut_ptr().add(at));
                }
            }
        }
    }
}

/// `out[row] = factors[row] · out[row] + Σ left[row, step] · right[step]` for `ROWS` rows; without
/// factors they are 1. `out` starts at the first row and has the stride of `right`.
///
/// # Safety
/// The processor has the instruction set of `L`.
#[inline(always)]
pub(super) unsafe fn accumulate<
    L: Lanes,
    const ROWS: usize,
    const VECTORS: usize,
    const ROW: usize,
    const STEP: usize,
>(
    left: Left<'_, ROW, STEP>,
    right: Right<'_>,
    steps: std::ops::Range<usize>,
    factors: Option<&[f32]>,
    out: &mut [f32],
) {
    let vectors = right.stride / LANES;
    let mut vector = 0;
    while vector < vectors {
        let from = Right { values: &right.values[vector * LANES..], ..right };
        let to = &mut out[vector * LANES..];
        // SAFETY: passed on from the caller.
        unsafe {
            if vector + VECTORS <= vectors {
                accumulate_vectors::<L, ROWS, VECTORS, ROW, STEP>(
                    left,
                    from,
                    steps.clone(),
                    factors,
                    to,
                );
                vector += VECTORS;
            } else {
                accumulate_vectors::<L, ROWS, 1, ROW, STEP>(left, from, steps.clone(), factors, to);
                vector += 1;
            }
        }
    }
}

/// [`accumulate`] for the first `VECTORS` vectors.
///
/// # Safety
/// The processor has the instruction set of `L`.
#[inline(always)]
unsafe fn accumulate_vectors<
    L: Lanes,
    const ROWS: usize,
    const VECTORS: usize,
    const ROW: usize,
    const STEP: usize,
>(
    left: Left<'_, ROW, STEP>,
    right: Right<'_>,
    steps: std::ops::Range<usize>,
    factors: Option<&[f32]>,
    out: &mut [f32],
) {
    assert!(out.len() >= (ROWS - 1) * right.stride + VECTORS * LANES);
    // SAFETY: the caller has the features; reads and writes are inside by the assertion.
    unsafe {
        let mut sums = [[L::splat(0.0); VECTORS]; ROWS];
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                let sum = L::read(out.as_ptr().add(row * right.stride + vector * LANES));
                sums[row][vector] = match factors {
                    Some(factors) => sum.mul(L::splat(factors[row])),
                    None => sum,
                };
            }
        }
        let sums = tile::<L, ROWS, VECTORS, ROW, STEP>(left, right, steps, sums);
        for row in 0..ROWS {
            for vector in 0..VECTORS {
                let to = out.as_mut_ptr().add(row * right.stride + vector * LANES);
                sums[row][vector].write(to);
            }
        }
    }
}
