//! The public calls: shapes are checked here, then the instruction set is chosen.

use half::bf16;

use super::activations::{QuantizedRows, elements, quantize_rows};
use super::arch::Arch;
#[cfg(target_arch = "x86_64")]
use super::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use super::avx512::{Avx512, Avx512Vbmi};
use super::dense::{DenseOperand, Store, matmul_bf16, matmul_dense};
use super::dispatch::{dispatch, plain, select, traced};
use super::floats::{matmul_f32, matmul_f32_transposed};
use super::int8::{matmul_i8, sums_i8};
use super::isa::Isa;
use super::pairs::{sums_i16, sums_i16_transposed};
use super::portable::Portable;
use super::requantize::{Rule, run as pack};
use crate::error::{Error, Result, check_length};
use crate::matrix::TernaryMatrix;
use crate::packing::PackedTrits;
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
    /// [`Error::Length`] when `x` is not whole rows, [`Error::ShapeOverflow`] for more rows than scales
    /// can be addressed, [`Error::NonFinite`] with the index of the first number that is not finite
    /// (`out` is then not meaningful).
    pub fn quantize_rows(self, x: &[f32], rows: usize, out: &mut QuantizedRows) -> Result<()> {
        let cols = x.len().checked_div(rows).unwrap_or(0);
        check_length("activations", rows * cols, x.len())?;
        // Rows without numbers still have a scale each.
        if isize::try_from(rows.saturating_mul(size_of::<f32>())).is_err() {
            return Err(Error::ShapeOverflow { rows, cols });
        }
        let (codes, scales) = out.reshape(rows, cols);
        dispatch!(self, quantize_rows, x, cols, codes, scales)
    }

    /// y\[m\]\[n\] = s_m · Σ_g α_{n,g} Σ_k x\[m\]\[k\] · t\[n\]\[k\], for int8 activations.
    ///
    /// # Errors
    /// [`Error::Mismatch`] or [`Error::Length`] when shapes do not fit, [`Error::TooManyTerms`] when a
    /// row is longer than an exact 32-bit sum.
    pub fn matmul_i8(self, x: &QuantizedRows, w: &TernaryMatrix, y: &mut [f32]) -> Result<()> {
        check_columns("columns of activations", w.cols(), x.cols())?;
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

    /// y\[m\]\[n\] = Σ_k x\[m\]\[k\] · w\[n\]\[k\] for `rows` rows of f32, written or added.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn matmul_f32(
        self,
        x: &[f32],
        rows: usize,
        w: &TernaryMatrix,
        y: &mut [f32],
        store: Store,
    ) -> Result<()> {
        check_length("activations", elements(rows, w.cols())?, x.len())?;
        check_length("outputs", elements(rows, w.rows())?, y.len())?;
        if w.cols() == 0 {
            sums_of_nothing(y, store);
            return Ok(());
        }
        dispatch!(self, matmul_f32, x, rows, w, y, store);
        Ok(())
    }

    /// dx\[m\]\[k\] = Σ_n dy\[m\]\[n\] · w\[n\]\[k\] for `rows` rows of f32, written or added.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn matmul_f32_transposed(
        self,
        dy: &[f32],
        rows: usize,
        w: &TernaryMatrix,
        dx: &mut [f32],
        store: Store,
    ) -> Result<()> {
        check_length("output gradients", elements(rows, w.rows())?, dy.len())?;
        check_length("input gradients", elements(rows, w.cols())?, dx.len())?;
        if w.rows() == 0 {
            sums_of_nothing(dx, store);
            return Ok(());
        }
        dispatch!(self, matmul_f32_transposed, dy, rows, w, dx, store);
        Ok(())
    }

    /// c\[m\]\[n\] = Σ_k a\[m\]\[k\] · b\[n\]\[k\], written or added to the row-major `c`.
    ///
    /// One product for all three of a linear layer with weights `[out, in]`:
    ///
    /// | product | `a` | `b` |
    /// |---|---|---|
    /// | y = x·Wᵀ | x | W |
    /// | dX = dY·W | dY | W transposed |
    /// | dW = dYᵀ·X | dY transposed | X transposed |
    ///
    /// ```
    /// use ternary_core::kernels::{DenseOperand, Kernels, Store};
    ///
    /// let x = DenseOperand::new(&[1.0, 2.0, 3.0], 1, 3)?;
    /// let w = DenseOperand::new(&[1.0, 0.0, 0.5, 0.0, -1.0, 1.0], 2, 3)?;
    /// let mut y = [0.0; 2];
    /// Kernels::detect()?.matmul_dense(x, w, &mut y, Store::Set)?;
    /// assert_eq!(y, [2.5, 1.0]);
    /// # Ok::<(), ternary_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Mismatch`] when the operands have different numbers of columns, [`Error::Length`] for
    /// outputs of another shape.
    pub fn matmul_dense(
        self,
        a: DenseOperand<'_>,
        b: DenseOperand<'_>,
        c: &mut [f32],
        store: Store,
    ) -> Result<()> {
        check_columns("columns of the second operand", a.cols(), b.cols())?;
        check_length("outputs", elements(a.rows(), b.rows())?, c.len())?;
        if a.cols() == 0 {
            sums_of_nothing(c, store);
            return Ok(());
        }
        dispatch!(self, matmul_dense, a, b, c, store);
        Ok(())
    }

    /// [`Kernels::matmul_dense`] with a second operand in `bf16`, which is widened panel by panel: the bits are those of
    /// the product with the same numbers in `f32`, and the memory is half.
    ///
    /// # Errors
    /// As [`Kernels::matmul_dense`].
    pub fn matmul_bf16(
        self,
        a: DenseOperand<'_>,
        b: DenseOperand<'_, bf16>,
        c: &mut [f32],
        store: Store,
    ) -> Result<()> {
        check_columns("columns of the second operand", a.cols(), b.cols())?;
        check_length("outputs", elements(a.rows(), b.rows())?, c.len())?;
        if a.cols() == 0 {
            sums_of_nothing(c, store);
            return Ok(());
        }
        dispatch!(self, matmul_bf16, a, b, c, store);
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

/// What is left of a product whose sums have no terms.
fn sums_of_nothing(outputs: &mut [f32], store: Store) {
    if store == Store::Set {
        outputs.fill(0.0);
    }
}

fn check_columns(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::Mismatch { what, expected: expected.to_string(), found: found.to_string() })
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
    let expected = (granularity, symmetric);
    let found = (matrix.scales().granularity(), matrix.scales().is_symmetric());
    if expected == found {
        return Ok(());
    }
    let describe = |(granularity, symmetric): (Granularity, bool)| {
        format!("{} scales per {granularity:?}", if symmetric { "symmetric" } else { "asymmetric" })
    };
    Err(Error::Mismatch {
        what: "scales of the matrix to requantise",
        expected: describe(expected),
        found: describe(found),
    })
}

/// See [`crate::weights`].
unsafe fn sum_abs<A: Arch>(values: &[f32]) -> f64 {
    // SAFETY: passed on from the caller.
    unsafe { A::sum_abs(values) }
}
