//! Kernels that are written once, compiled for an instruction set.

/// The functions of [`Arch`](super::arch::Arch) that are written once, in plain Rust or over
/// [`Lanes`](super::lanes::Lanes), compiled with the given target features.
macro_rules! shared_kernels {
    ($lanes:ty, $(#[$features:meta])*) => {
        $(#[$features])*
        unsafe fn add_segment<const ASYMMETRIC: bool>(
            y: &mut [f32],
            sums: [&[i32; LANES]; 2],
            offset: i32,
            scales: &LaneScales,
            place: Place,
        ) {
            super::scaling::add_segment::<ASYMMETRIC>(y, sums, offset, scales, place);
        }

        $(#[$features])*
        unsafe fn quads(lines: &[Line], plane: Plane, panel: &mut [Words]) {
            // SAFETY: this function is only called where there are these features.
            unsafe { unpack::quads::<$lanes>(lines, plane, panel) }
        }

        $(#[$features])*
        unsafe fn pairs(lines: &[Line], panel: &mut [Words]) {
            // SAFETY: this function is only called where there are these features.
            unsafe { unpack::pairs::<$lanes>(lines, panel) }
        }

        $(#[$features])*
        unsafe fn floats(lines: &[Line], scales: &LaneScales, panel: &mut [Words]) {
            // SAFETY: this function is only called where there are these features.
            unsafe { unpack::floats::<$lanes>(lines, scales, panel) }
        }

        $(#[$features])*
        unsafe fn pairs_transposed(line: &Line, panel: &mut [Words]) {
            // SAFETY: this function is only called where there are these features.
            unsafe { unpack::pairs_transposed::<$lanes>(line, panel) }
        }

        $(#[$features])*
        unsafe fn floats_transposed(line: &Line, scales: &LaneScales, panel: &mut [Words]) {
            // SAFETY: this function is only called where there are these features.
            unsafe { unpack::floats_transposed::<$lanes>(line, scales, panel) }
        }

        $(#[$features])*
        unsafe fn five_trits_to_two_bit(lines: &[Line], out: &mut [Line]) {
            // SAFETY: this function is only called where there are these features.
            unsafe { unpack::five_trits_to_two_bit::<$lanes>(lines, out) }
        }

        $(#[$features])*
        unsafe fn quantize_row(x: &[f32], codes: &mut [i8]) -> Result<f32, usize> {
            activations::quantize_row(x, codes)
        }

        $(#[$features])*
        unsafe fn widen(weights: Weights<'_>, out: &mut [f32]) {
            crate::weights::widen(weights, out);
        }

        $(#[$features])*
        unsafe fn sum_abs(values: &[f32]) -> f64 {
            crate::weights::sum_abs(values)
        }
    };
}

/// Functions of [`Lanes`](super::lanes::Lanes) that are one expression of intrinsics each.
macro_rules! vector_operations {
    ($vector:ty, $($name:ident($($argument:ident: $kind:ty),*) => $body:expr;)*) => {
        $(
            #[inline(always)]
            unsafe fn $name($($argument: $kind),*) -> $vector {
                // SAFETY: the caller has the features of these intrinsics.
                unsafe { $body }
            }
        )*
    };
}

pub(super) use {shared_kernels, vector_operations};
