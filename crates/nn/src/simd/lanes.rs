//! [`Lanes`]: what a vector of sixteen floats can do.

/// Floats in a vector, on every instruction set.
pub(crate) const LANES: usize = 16;

/// Sixteen floats, in as many registers as the instruction set needs.
///
/// # Safety
/// Every function needs a processor that has the instruction set of the implementing type.
pub(crate) trait Lanes: Copy {
    /// Rows and vectors of a register tile whose sums stay in registers.
    const TILE: (usize, usize);

    unsafe fn splat(value: f32) -> Self;
    unsafe fn from_array(values: &[f32; LANES]) -> Self;
    unsafe fn to_array(self) -> [f32; LANES];

    /// Reads sixteen floats.
    ///
    /// # Safety
    /// `values` points at sixteen readable floats.
    unsafe fn read(values: *const f32) -> Self;

    /// Writes sixteen floats.
    ///
    /// # Safety
    /// `values` points at sixteen writable floats.
    unsafe fn write(self, values: *mut f32);

    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    /// self · factor + addend: one rounding where the instruction set has it, two elsewhere.
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// The larger; `other` where one is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// `then` in the lanes where self < bound, `otherwise` elsewhere (a NaN is not smaller).
    unsafe fn select_less(self, bound: Self, then: Self, otherwise: Self) -> Self;
    /// The nearest integer, a half to the even one, for |self| < 2²².
    unsafe fn round(self) -> Self;
    /// self · 2ⁿ for an integral n, where self and the result are normal numbers; NaN where both are NaN,
    /// anything else elsewhere.
    unsafe fn scale(self, n: Self) -> Self;

    /// Writes the first `columns` columns of sixteen rows of sixteen floats as rows: what stands at
    /// `from + row · stride + column` goes to `to + column · to_stride + row`.
    ///
    /// # Safety
    /// All sixteen rows are readable, `columns` of sixteen floats writable; `columns` is at most sixteen.
    #[inline(always)]
    unsafe fn transpose(
        from: *const f32,
        stride: usize,
        columns: usize,
        to: *mut f32,
        to_stride: usize,
    ) {
        for column in 0..columns {
            for row in 0..LANES {
                // SAFETY: inside of what the caller hands in.
                unsafe { *to.add(column * to_stride + row) = *from.add(row * stride + column) }
            }
        }
    }

    /// The sum of the lanes, by halves: lane i + lane i + 8, then 4, 2, 1.
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: passed on from the caller.
        let mut lanes = unsafe { self.to_array() };
        let mut half = LANES / 2;
        while half > 0 {
            for lane in 0..half {
                lanes[lane] += lanes[lane + half];
            }
            half /= 2;
        }
        lanes[0]
    }

    /// The largest lane; a NaN may or may not count.
    #[inline(always)]
    unsafe fn largest(self) -> f32 {
        // SAFETY: passed on from the caller.
        let lanes = unsafe { self.to_array() };
        let mut largest = lanes[0];
        for lane in 1..LANES {
            largest = if lanes[lane] > largest { lanes[lane] } else { largest };
        }
        largest
    }

    /// Reads up to sixteen floats; `fill` in the lanes beyond.
    #[inline(always)]
    unsafe fn read_part(values: &[f32], fill: f32) -> Self {
        let mut lanes = [fill; LANES];
        let count = values.len().min(LANES);
        lanes[..count].copy_from_slice(&values[..count]);
        // SAFETY: passed on from the caller.
        unsafe { Self::from_array(&lanes) }
    }

    /// Writes as many lanes as `values` holds.
    #[inline(always)]
    unsafe fn write_part(self, values: &mut [f32]) {
        // SAFETY: passed on from the caller.
        let lanes = unsafe { self.to_array() };
        let count = values.len().min(LANES);
        values[..count].copy_from_slice(&lanes[..count]);
    }
}
