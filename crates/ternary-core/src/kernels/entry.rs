//! The public calls: shapes are checked here, then the instruction set is chosen.

use std::sync::Mutex;

use super::activations::{QuantizedRows, elements};
use super::arch::Arch;
#[cfg(target_arch = "x86_64")]
use super::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use super::avx512::{Avx512, Avx512Vbmi};
use super::bytes::{ByteSums, ScaledBytes};
use super::floats::{FloatProduct, FloatProductTransposed};
use super::gemv;
use super::isa::Isa;
use super::operand::{Rows, with_tiles};
use super::outputs::Outputs;
use super::pairs::{PairSums, PairSumsTransposed};
use super::parallel::{self, SharedSlice};
use super::portable::Portable;
use super::product;
use super::requantize::{Rule, run as pack};
use super::scaling::{add_segment, finish, lane_scales};
use super::scratch::{self, Purpose};
use super::source::Source;
use super::unpack::Plane;
use crate::error::{Error, Result, check_length};
use crate::matrix::TernaryMatrix;
use crate::packing::{LANES, PackedTrits, Packing};
use crate::quantize::{Levels, Quantizer};
use crate::scales::Granularity;
use crate::weights::Weights;

/// The longest int8 sum that is exact in 32 bits: 128 · (2²⁴ − 1) < 2³¹.
const MAX_BYTE_TERMS: usize = (1 << 24) - 1;
/// The longest int16 sum that is exact in 32 bits: 32 767 · 65 536 < 2³¹.
const MAX_PAIR_TERMS: usize = 1 << 16;

/// The kernels of one instruction set.
///
/// ```
/// use ternary_core::kernels::{Kernels, QuantizedRows};
/// use ternary_core::{Packing, Scales, TernaryMatrix};
///
/// let matrix =
///     TernaryMatrix::from_trits(2, 3, &[1, 0, -1, 0, 1, 1], Scales::tensor(0.5)?, Packing::TwoBit)?;
/// let kernels = Kernels::detect()?;
/// let mut x = QuantizedRows::new();
/// kernels.quantize_rows(&[127.0, 2.0, 3.0], 1, &mut x)?;
/// let mut y = [0.0; 2];
/// kernels.matmul_i8(&x, &matrix, &mut y)?;
/// assert_eq!(y, [62.0, 2.5]);
/// # Ok::<(), ternary_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernels {
    // Only ever an instruction set that `Isa::require` found on this processor.
    isa: Isa,
}

/// Calls a function that is generic over `Arch` for the instruction set at hand; tests keep book of
/// which one ran.
macro_rules! dispatch {
    ($self:expr, $function:ident $(, $argument:expr)*) => {
        select!($self, traced, $function($($argument),*))
    };
}

macro_rules! select {
    ($self:expr, $call:ident, $function:ident $arguments:tt) => {{
        // SAFETY: `Kernels` only exist for an instruction set that this processor has.
        unsafe {
            match $self.isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512Vbmi => $call!(Avx512Vbmi, $function $arguments),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => $call!(Avx512, $function $arguments),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => $call!(Avx2, $function $arguments),
                _ => $call!(Portable, $function $arguments),
            }
        }
    }};
}

macro_rules! traced {
    ($arch:ident, $function:ident $arguments:tt) => {{
        #[cfg(test)]
        super::tests::ran::record(<$arch as super::arch::Arch>::ISA);
        $function::<$arch> $arguments
    }};
}

macro_rules! plain {
    ($arch:ident, $function:ident $arguments:tt) => {
        $function::<$arch> $arguments
    };
}

impl Kernels {
    /// The best kernels for this processor, or those that [`ISA_VARIABLE`](super::ISA_VARIABLE) names.
    ///
    /// # Errors
    /// [`Error::IsaUnavailable`] when the variable names something this processor lacks.
    pub fn detect() -> Result<Self> {
        Ok(Self { isa: Isa::active()? })
    }

    /// The kernels of one instruction set.
    ///
    /// # Errors
    /// [`Error::IsaUnavailable`] when this processor lacks it.
    pub fn new(isa: Isa) -> Result<Self> {
        Ok(Self { isa: isa.require()? })
    }

    /// The instruction set in use.
    pub fn isa(self) -> Isa {
        self.isa
    }

    /// Quantises `rows` rows of activations to int8, a scale for each.
    ///
    /// # Errors
    /// [`Error::Length`] when `x` is not whole rows; [`Error::NonFinite`] with the index of the first
    /// number that is not finite (`out` is then not meaningful).
    pub fn quantize_rows(self, x: &[f32], rows: usize, out: &mut QuantizedRows) -> Result<()> {
        let cols = if rows == 0 { 0 } else { x.len() / rows };
        check_length("activations", rows * cols, x.len())?;
        let (codes, scales) = out.reshape(rows, cols);
        dispatch!(self, quantize_rows, x, cols, codes, scales)
    }

    /// y\[m\]\[n\] = s_m · Σ_g α_{n,g} Σ_k x\[m\]\[k\] · t\[n\]\[k\], for int8 activations.
    ///
    /// # Errors
    /// [`Error::Mismatch`] or [`Error::Length`] when shapes do not fit, [`Error::TooManyTerms`] when a
    /// row is longer than an exact 32-bit sum.
    pub fn matmul_i8(self, x: &QuantizedRows, w: &TernaryMatrix, y: &mut [f32]) -> Result<()> {
        check_columns(w.cols(), x.cols())?;
        check_length("outputs", elements(x.rows(), w.rows())?, y.len())?;
        check_terms("int8 product", w.codes().layout().segment_columns(), MAX_BYTE_TERMS)?;
        if w.cols() == 0 {
            y.fill(0.0);
            return Ok(());
        }
        dispatch!(self, matmul_i8, x, w, y);
        Ok(())
    }

    /// Exact sums Σ_k x\[m\]\[k\] · t\[n\]\[k\] for `rows` rows of int8.
    ///
    /// # Errors
    /// As [`Kernels::matmul_i8`].
    pub fn sums_i8(self, x: &[i8], rows: usize, w: &PackedTrits, sums: &mut [i32]) -> Result<()> {
        let layout = w.layout();
        check_length("int8 activations", elements(rows, layout.cols())?, x.len())?;
        check_length("sums", elements(rows, layout.rows())?, sums.len())?;
        check_terms("int8 product", layout.cols(), MAX_BYTE_TERMS)?;
        if layout.cols() == 0 {
            sums.fill(0);
            return Ok(());
        }
        dispatch!(self, sums_i8, x, rows, w, sums);
        Ok(())
    }

    /// Exact sums Σ_k x\[m\]\[k\] · t\[n\]\[k\] for `rows` rows of int16, which exclude −32 768.
    ///
    /// # Errors
    /// [`Error::Length`]; [`Error::TooManyTerms`] beyond 65 536 columns; [`Error::OutOfRange`] with the
    /// index of the first −32 768.
    pub fn sums_i16(self, x: &[i16], rows: usize, w: &PackedTrits, sums: &mut [i32]) -> Result<()> {
        let layout = w.layout();
        check_length("int16 activations", elements(rows, layout.cols())?, x.len())?;
        check_length("sums", elements(rows, layout.rows())?, sums.len())?;
        check_pairs(x, layout.cols())?;
        sums.fill(0);
        dispatch!(self, sums_i16, x, rows, w, sums);
        Ok(())
    }

    /// Exact sums Σ_n x\[m\]\[n\] · t\[n\]\[k\] for `rows` rows of int16, which exclude −32 768.
    ///
    /// # Errors
    /// As [`Kernels::sums_i16`], for more than 65 536 rows of the matrix.
    pub fn sums_i16_transposed(
        self,
        x: &[i16],
        rows: usize,
        w: &PackedTrits,
        sums: &mut [i32],
    ) -> Result<()> {
        let layout = w.layout();
        check_length("int16 activations", elements(rows, layout.rows())?, x.len())?;
        check_length("sums", elements(rows, layout.cols())?, sums.len())?;
        check_pairs(x, layout.rows())?;
        sums.fill(0);
        dispatch!(self, sums_i16_transposed, x, rows, w, sums);
        Ok(())
    }

    /// y\[m\]\[n\] = Σ_k x\[m\]\[k\] · w\[n\]\[k\] for `rows` rows of f32.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn matmul_f32(
        self,
        x: &[f32],
        rows: usize,
        w: &TernaryMatrix,
        y: &mut [f32],
    ) -> Result<()> {
        check_length("activations", elements(rows, w.cols())?, x.len())?;
        check_length("outputs", elements(rows, w.rows())?, y.len())?;
        y.fill(0.0);
        dispatch!(self, matmul_f32, x, rows, w, y);
        Ok(())
    }

    /// dx\[m\]\[k\] = Σ_n dy\[m\]\[n\] · w\[n\]\[k\] for `rows` rows of f32.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn matmul_f32_transposed(
        self,
        dy: &[f32],
        rows: usize,
        w: &TernaryMatrix,
        dx: &mut [f32],
    ) -> Result<()> {
        check_length("output gradients", elements(rows, w.rows())?, dy.len())?;
        check_length("input gradients", elements(rows, w.cols())?, dx.len())?;
        dx.fill(0.0);
        dispatch!(self, matmul_f32_transposed, dy, rows, w, dx);
        Ok(())
    }

    /// Quantises latent weights into an existing matrix of the rule's granularity and symmetry.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Mismatch`] for other scales than the rule's,
    /// [`Error::NonFinite`] with the index of the first bad weight, or an error of the rule. After an
    /// error of the weights or the rule the matrix is a mixture of old and new rows.
    pub fn requantize(
        self,
        weights: Weights<'_>,
        quantizer: &dyn Quantizer,
        matrix: &mut TernaryMatrix,
    ) -> Result<()> {
        check_scales(quantizer.granularity(), quantizer.is_symmetric(), matrix)?;
        self.requantize_by(weights, Rule::Fitted(quantizer), matrix)
    }

    /// Quantises latent weights into an existing matrix with one scale for the tensor, by levels that
    /// are already known: one read of the weights.
    ///
    /// # Errors
    /// As [`Kernels::requantize`].
    pub fn requantize_with_levels(
        self,
        weights: Weights<'_>,
        levels: Levels,
        matrix: &mut TernaryMatrix,
    ) -> Result<()> {
        let symmetric = matrix.scales().is_symmetric() && levels.negative == levels.positive;
        check_scales(Granularity::Tensor, symmetric, matrix)?;
        self.requantize_by(weights, Rule::Known(levels), matrix)
    }

    fn requantize_by(
        self,
        weights: Weights<'_>,
        rule: Rule<'_>,
        matrix: &mut TernaryMatrix,
    ) -> Result<()> {
        check_length("latent weights", matrix.rows() * matrix.cols(), weights.len())?;
        dispatch!(self, pack, weights, rule, matrix)
    }

    /// Σ|w| in one fixed order, see [`Weights::mean_abs`].
    pub(crate) fn sum_abs(self, values: &[f32]) -> f64 {
        select!(self, plain, sum_abs(values))
    }
}

fn check_columns(expected: usize, found: usize) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::Mismatch {
        what: "columns of activations",
        expected: expected.to_string(),
        found: found.to_string(),
    })
}

fn check_terms(what: &'static str, found: usize, limit: usize) -> Result<()> {
    if found <= limit { Ok(()) } else { Err(Error::TooManyTerms { what, limit, found }) }
}

fn check_pairs(x: &[i16], terms: usize) -> Result<()> {
    check_terms("int16 product", terms, MAX_PAIR_TERMS)?;
    match x.iter().position(|&x| x == i16::MIN) {
        None => Ok(()),
        Some(index) => Err(Error::OutOfRange {
            what: "int16 activations",
            expected: "-32767 to 32767",
            index,
            value: f64::from(i16::MIN),
        }),
    }
}

fn check_scales(granularity: Granularity, symmetric: bool, matrix: &TernaryMatrix) -> Result<()> {
    let describe = |granularity: Granularity, symmetric: bool| {
        format!("{} scales per {granularity:?}", if symmetric { "symmetric" } else { "asymmetric" })
    };
    let expected = describe(granularity, symmetric);
    let found = describe(matrix.scales().granularity(), matrix.scales().is_symmetric());
    if expected == found {
        return Ok(());
    }
    Err(Error::Mismatch { what: "scales of the matrix to requantise", expected, found })
}

unsafe fn sum_abs<A: Arch>(values: &[f32]) -> f64 {
    // SAFETY: passed on from the caller.
    unsafe { A::sum_abs(values) }
}

unsafe fn quantize_rows<A: Arch>(
    x: &[f32],
    cols: usize,
    codes: &mut [i8],
    scales: &mut [f32],
) -> Result<()> {
    let rows = scales.len();
    let codes = SharedSlice::new(codes);
    let scales = SharedSlice::new(scales);
    let failure = Mutex::new(None);
    parallel::for_each(rows, x.len(), |row| {
        // SAFETY: each row has codes and a scale of its own; the processor is the caller's promise.
        let result = unsafe {
            let codes = codes.range(row * cols, cols);
            A::quantize_row(&x[row * cols..(row + 1) * cols], codes)
                .map(|scale| scales.range(row, 1)[0] = scale)
        };
        if let Err(index) = result {
            let index = row * cols + index;
            let mut failure = failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            *failure = Some(failure.map_or(index, |first: usize| first.min(index)));
        }
    });
    match failure.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
        None => Ok(()),
        Some(index) => {
            Err(Error::NonFinite { what: "activations", index, value: f64::from(x[index]) })
        }
    }
}

/// Calls `work` with Σ x of each token and segment.
fn with_activation_sums<R>(
    codes: &[i8],
    rows: usize,
    segment: usize,
    segments: usize,
    work: impl FnOnce(&[i32]) -> R,
) -> R {
    let count = rows * segments;
    scratch::with(Purpose::Sums, count, |sums| {
        let sums: &mut [i32] = &mut bytemuck::cast_slice_mut(sums)[..count];
        let shared = SharedSlice::new(sums);
        parallel::for_each(rows, codes.len(), |row| {
            // SAFETY: each row has sums of its own.
            let sums = unsafe { shared.range(row * segments, segments) };
            let row = &codes[row * segment * segments..][..segment * segments];
            for (sum, codes) in sums.iter_mut().zip(row.chunks_exact(segment)) {
                *sum = codes.iter().map(|&code| i32::from(code)).sum();
            }
        });
        work(sums)
    })
}

/// int8 rows, padded as the lines of `source` are in packing `packing`.
fn byte_rows<'a>(
    codes: &'a [i8],
    rows: usize,
    source: &Source<'_>,
    packing: Packing,
) -> Rows<'a, i8> {
    let layout = source.layout();
    let lines = layout.segment_columns().div_ceil(packing.columns_per_line());
    Rows {
        values: codes,
        rows,
        cols: layout.cols(),
        segment: layout.segment_columns(),
        segment_words: lines * packing.trits_per_byte(),
        segments: layout.segments(),
    }
}

/// Calls `work` with each row padded to words, one after the other.
fn with_padded_rows<R>(rows: &Rows<'_, i8>, work: impl FnOnce(&[u32]) -> R) -> R {
    let words = rows.words();
    scratch::with(Purpose::Activations, rows.rows * words, |padded| {
        let padded: &mut [u32] = &mut bytemuck::cast_slice_mut(padded)[..rows.rows * words];
        for (row, padded) in padded.chunks_exact_mut(words.max(1)).enumerate() {
            rows.pad(row, padded);
        }
        work(padded)
    })
}

/// Whether so few tokens are multiplied straight from the lines.
fn is_vector(tokens: usize, planes: &[Plane], packing: Packing) -> bool {
    tokens <= gemv::MAX_TOKENS && (packing == Packing::TwoBit || planes == [Plane::Codes])
}

unsafe fn matmul_i8<A: Arch>(x: &QuantizedRows, w: &TernaryMatrix, y: &mut [f32]) {
    // SAFETY: passed on from the caller.
    unsafe {
        if w.scales().is_symmetric() {
            scaled_bytes::<A, false>(x, w, &[Plane::Codes], y);
        } else {
            scaled_bytes::<A, true>(x, w, &[Plane::Positive, Plane::Zero], y);
        }
    }
}

unsafe fn scaled_bytes<A: Arch, const ASYMMETRIC: bool>(
    x: &QuantizedRows,
    w: &TernaryMatrix,
    planes: &[Plane],
    y: &mut [f32],
) {
    let source = Source::new(w.codes());
    let (segment, segments) = (source.layout().segment_columns(), source.layout().segments());
    let (rows, packing) = (x.rows(), w.packing());
    let (scales, activation_scales) = (w.scales(), x.scales());
    let outputs = Outputs::new(y, w.rows());
    with_activation_sums(x.codes(), rows, segment, segments, |activation_sums| {
        if is_vector(rows, planes, packing) {
            let padded = byte_rows(x.codes(), rows, &source, packing);
            let store = |token: usize, block, segment, sums: [&[i32; LANES]; 2]| {
                let offset = activation_sums[token * segments + segment];
                let lane_scales = lane_scales(scales, &source, block, segment);
                // SAFETY: the GEMV hands out each block of a token to one thread.
                let out = unsafe { outputs.lanes(token, source.row_lanes(block)) };
                add_segment::<ASYMMETRIC>(out, sums, offset, &lane_scales, segment == 0);
                if segment + 1 == segments {
                    finish(out, activation_scales[token]);
                }
            };
            // SAFETY: passed on from the caller.
            with_padded_rows(&padded, |words| unsafe {
                gemv::run::<A>(&source, planes, rows, words, store);
            });
        } else {
            let padded = byte_rows(x.codes(), rows, &source, Packing::TwoBit);
            let product = ScaledBytes::<ASYMMETRIC> {
                source,
                scales,
                activation_sums,
                activation_scales,
                outputs,
            };
            // SAFETY: passed on from the caller.
            with_tiles::<A, _, _>(&padded, |tiles| unsafe {
                product::run::<A, _>(&product, rows, tiles);
            });
        }
    });
}

unsafe fn sums_i8<A: Arch>(x: &[i8], rows: usize, w: &PackedTrits, sums: &mut [i32]) {
    let source = Source::new(w);
    let layout = w.layout();
    let (segment, segments) = (layout.segment_columns(), layout.segments());
    let sums = Outputs::new(sums, layout.rows());
    with_activation_sums(x, rows, segment, segments, |activation_sums| {
        if is_vector(rows, &[Plane::Codes], layout.packing()) {
            let padded = byte_rows(x, rows, &source, layout.packing());
            let store = |token: usize, block, segment, [codes, _]: [&[i32; LANES]; 2]| {
                let offset = activation_sums[token * segments + segment];
                // SAFETY: the GEMV hands out each block of a token to one thread.
                let out = unsafe { sums.lanes(token, source.row_lanes(block)) };
                for (out, code_sum) in out.iter_mut().zip(codes) {
                    let sum = code_sum.wrapping_sub(offset);
                    *out = if segment == 0 { sum } else { out.wrapping_add(sum) };
                }
            };
            // SAFETY: passed on from the caller.
            with_padded_rows(&padded, |words| unsafe {
                gemv::run::<A>(&source, &[Plane::Codes], rows, words, store);
            });
        } else {
            let padded = byte_rows(x, rows, &source, Packing::TwoBit);
            let product = ByteSums { source, activation_sums, sums };
            // SAFETY: passed on from the caller.
            with_tiles::<A, _, _>(&padded, |tiles| unsafe {
                product::run::<A, _>(&product, rows, tiles);
            });
        }
    });
}

/// Rows over the columns of a matrix, of which `per_word` fill a word.
fn column_rows<'a, T>(
    x: &'a [T],
    rows: usize,
    source: &Source<'_>,
    per_word: usize,
) -> Rows<'a, T> {
    let layout = source.layout();
    Rows {
        values: x,
        rows,
        cols: layout.cols(),
        segment: layout.segment_columns(),
        segment_words: source.segment_lines() * LANES / per_word,
        segments: layout.segments(),
    }
}

/// Rows over the rows of a matrix, of which `per_word` fill a word.
fn row_rows<'a, T>(x: &'a [T], rows: usize, source: &Source<'_>, per_word: usize) -> Rows<'a, T> {
    let layout = source.layout();
    Rows {
        values: x,
        rows,
        cols: layout.rows(),
        segment: layout.rows(),
        segment_words: layout.blocks() * LANES / per_word,
        segments: 1,
    }
}

unsafe fn sums_i16<A: Arch>(x: &[i16], rows: usize, w: &PackedTrits, sums: &mut [i32]) {
    let source = Source::new(w);
    let product = PairSums { source, sums: Outputs::new(sums, w.layout().rows()) };
    // SAFETY: passed on from the caller.
    with_tiles::<A, _, _>(&column_rows(x, rows, &source, 2), |tiles| unsafe {
        product::run::<A, _>(&product, rows, tiles);
    });
}

unsafe fn sums_i16_transposed<A: Arch>(x: &[i16], rows: usize, w: &PackedTrits, sums: &mut [i32]) {
    let source = Source::new(w);
    let product = PairSumsTransposed { source, sums: Outputs::new(sums, w.layout().cols()) };
    // SAFETY: passed on from the caller.
    with_tiles::<A, _, _>(&row_rows(x, rows, &source, 2), |tiles| unsafe {
        product::run::<A, _>(&product, rows, tiles);
    });
}

unsafe fn matmul_f32<A: Arch>(x: &[f32], rows: usize, w: &TernaryMatrix, y: &mut [f32]) {
    let source = Source::new(w.codes());
    let outputs = Outputs::new(y, w.rows());
    let product = FloatProduct { source, scales: w.scales(), outputs };
    // SAFETY: passed on from the caller.
    with_tiles::<A, _, _>(&column_rows(x, rows, &source, 1), |tiles| unsafe {
        product::run::<A, _>(&product, rows, tiles);
    });
}

unsafe fn matmul_f32_transposed<A: Arch>(
    dy: &[f32],
    rows: usize,
    w: &TernaryMatrix,
    dx: &mut [f32],
) {
    let source = Source::new(w.codes());
    let outputs = Outputs::new(dx, w.cols());
    let product = FloatProductTransposed { source, scales: w.scales(), outputs };
    // SAFETY: passed on from the caller.
    with_tiles::<A, _, _>(&row_rows(dy, rows, &source, 1), |tiles| unsafe {
        product::run::<A, _>(&product, rows, tiles);
    });
}
