//! Plain-Rust kernels, compiled for an instruction set.

/// The functions of [`Arch`](super::arch::Arch) that are written once in plain Rust, compiled with
/// the given target features.
macro_rules! plain_kernels {
    ($(#[$features:meta])*) => {
        $(#[$features])*
        unsafe fn quads(lines: &[Line], plane: Plane, panel: &mut [Words]) {
            unpack::quads(lines, plane, panel);
        }

        $(#[$features])*
        unsafe fn pairs(lines: &[Line], panel: &mut [Words]) {
            unpack::pairs(lines, panel);
        }

        $(#[$features])*
        unsafe fn floats(lines: &[Line], scales: &LaneScales, panel: &mut [Words]) {
            unpack::floats(lines, scales, panel);
        }

        $(#[$features])*
        unsafe fn pairs_transposed(line: &Line, panel: &mut [Words]) {
            unpack::pairs_transposed(line, panel);
        }

        $(#[$features])*
        unsafe fn floats_transposed(line: &Line, scales: &LaneScales, panel: &mut [Words]) {
            unpack::floats_transposed(line, scales, panel);
        }

        $(#[$features])*
        unsafe fn five_trits_to_two_bit(lines: &[Line], out: &mut [Line]) {
            unpack::five_trits_to_two_bit(lines, out);
        }

        $(#[$features])*
        unsafe fn quantize_row(x: &[f32], codes: &mut [i8]) -> Result<f32, usize> {
            activations::quantize_row(x, codes)
        }

        $(#[$features])*
        unsafe fn sum_abs(values: &[f32]) -> f64 {
            crate::weights::sum_abs(values)
        }
    };
}

pub(super) use plain_kernels;
