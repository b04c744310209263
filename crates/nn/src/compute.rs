//! [`Compute`]: the products that layers are made of, in `f32` and in `f64`.

use half::bf16;
use ste::{AnyEstimator, Progress};
use ternary_core::kernels::{DenseOperand, Kernels, QuantizedRows, Store};
use ternary_core::profile::span;
use ternary_core::{Error, Levels, Real, Result, TernaryMatrix};

use crate::ops::{AttentionKernel, Rowwise};

/// The number type of a layer: `f32` computes with the kernels of `ternary-core`, `f64` with plain
/// loops, which the gradient check runs and the kernels are held to.
///
/// A trit matrix has the same codes and the same `f32` scales for both, and so have quantised rows: in
/// `f64` a layer computes what the `f32` codes mean.
pub trait Compute: Rowwise + AttentionKernel {
    /// c\[m\]\[n\] = Σ_k a\[m\]\[k\] · b\[n\]\[k\], or added to it. Each sum runs in ascending order of k.
    ///
    /// # Errors
    /// When shapes do not fit, as the others.
    fn product(
        a: DenseOperand<'_, Self>,
        b: DenseOperand<'_, Self>,
        c: &mut [Self],
        store: Store,
    ) -> Result<()>;

    /// The same for a second operand in `bf16`: what the product with its numbers in this type gives, in bits.
    ///
    /// # Errors
    /// When shapes do not fit.
    fn product_bf16(
        a: DenseOperand<'_, Self>,
        b: DenseOperand<'_, bf16>,
        c: &mut [Self],
        store: Store,
    ) -> Result<()>;

    /// Int8 codes of rows, decided in `f32`.
    ///
    /// # Errors
    /// [`Error::NonFinite`].
    fn quantize_rows(x: &[Self], rows: usize, out: &mut QuantizedRows) -> Result<()>;

    /// y = x · Wᵀ for int8 rows.
    ///
    /// # Errors
    /// When shapes do not fit.
    fn ternary_product_i8(x: &QuantizedRows, w: &TernaryMatrix, y: &mut [Self]) -> Result<()>;

    /// y = x · Wᵀ for rows of numbers.
    ///
    /// # Errors
    /// When shapes do not fit.
    fn ternary_product(x: &[Self], rows: usize, w: &TernaryMatrix, y: &mut [Self]) -> Result<()>;

    /// Turns dL/dq into dL/dw by an estimator.
    fn estimate(
        estimator: &dyn AnyEstimator,
        latent: &[Self],
        levels: Levels,
        progress: Progress,
        gradient: &mut [Self],
    );

    /// dx = dy · W, or added to it.
    ///
    /// # Errors
    /// When shapes do not fit.
    fn ternary_product_transposed(
        dy: &[Self],
        rows: usize,
        w: &TernaryMatrix,
        dx: &mut [Self],
        store: Store,
    ) -> Result<()>;
}

impl Compute for f32 {
    fn product(
        a: DenseOperand<'_>,
        b: DenseOperand<'_>,
        c: &mut [f32],
        store: Store,
    ) -> Result<()> {
        Kernels::detect()?.matmul_dense(a, b, c, store)
    }

    fn product_bf16(
        a: DenseOperand<'_>,
        b: DenseOperand<'_, bf16>,
        c: &mut [f32],
        store: Store,
    ) -> Result<()> {
        Kernels::detect()?.matmul_bf16(a, b, c, store)
    }

    fn quantize_rows(x: &[f32], rows: usize, out: &mut QuantizedRows) -> Result<()> {
        let _span = span("quantise activations");
        Kernels::detect()?.quantize_rows(x, rows, out)
    }

    fn ternary_product_i8(x: &QuantizedRows, w: &TernaryMatrix, y: &mut [f32]) -> Result<()> {
        let _span = span("ternary forward");
        Kernels::detect()?.matmul_i8(x, w, y)
    }

    fn ternary_product(x: &[f32], rows: usize, w: &TernaryMatrix, y: &mut [f32]) -> Result<()> {
        Kernels::detect()?.matmul_f32(x, rows, w, y, Store::Set)
    }

    fn estimate(
        estimator: &dyn AnyEstimator,
        latent: &[f32],
        levels: Levels,
        progress: Progress,
        gradient: &mut [f32],
    ) {
        estimator.pass(latent, levels, progress, gradient);
    }

    fn ternary_product_transposed(
        dy: &[f32],
        rows: usize,
        w: &TernaryMatrix,
        dx: &mut [f32],
        store: Store,
    ) -> Result<()> {
        let _span = span("ternary dX");
        Kernels::detect()?.matmul_f32_transposed(dy, rows, w, dx, store)
    }
}

impl Compute for f64 {
    fn product(
        a: DenseOperand<'_, f64>,
        b: DenseOperand<'_, f64>,
        c: &mut [f64],
        store: Store,
    ) -> Result<()> {
        product_f64(a, [b.rows(), b.cols()], |n, k| b.at(n, k), c, store)
    }

    fn product_bf16(
        a: DenseOperand<'_, f64>,
        b: DenseOperand<'_, bf16>,
        c: &mut [f64],
        store: Store,
    ) -> Result<()> {
        product_f64(a, [b.rows(), b.cols()], |n, k| b.at(n, k).to_f64(), c, store)
    }

    fn quantize_rows(x: &[f64], rows: usize, out: &mut QuantizedRows) -> Result<()> {
        let x: Vec<f32> = x.iter().map(|x| x.to_f32()).collect();
        Kernels::detect()?.quantize_rows(&x, rows, out)
    }

    fn ternary_product_i8(x: &QuantizedRows, w: &TernaryMatrix, y: &mut [f64]) -> Result<()> {
        let mut values = vec![0.0; x.codes().len()];
        dequantize_rows(x, &mut values);
        Self::ternary_product(&values, x.rows(), w, y)
    }

    fn ternary_product(x: &[f64], rows: usize, w: &TernaryMatrix, y: &mut [f64]) -> Result<()> {
        let weights = widen(w);
        let (x, w) = (
            DenseOperand::new(x, rows, w.cols())?,
            DenseOperand::new(&weights, w.rows(), w.cols())?,
        );
        Self::product(x, w, y, Store::Set)
    }

    fn estimate(
        estimator: &dyn AnyEstimator,
        latent: &[f64],
        levels: Levels,
        progress: Progress,
        gradient: &mut [f64],
    ) {
        estimator.pass(latent, levels, progress, gradient);
    }

    fn ternary_product_transposed(
        dy: &[f64],
        rows: usize,
        w: &TernaryMatrix,
        dx: &mut [f64],
        store: Store,
    ) -> Result<()> {
        let weights = widen(w);
        let (dy, w) = (
            DenseOperand::new(dy, rows, w.rows())?,
            DenseOperand::new(&weights, w.rows(), w.cols())?,
        );
        Self::product(dy, w.transposed(), dx, store)
    }
}

/// x̂ = code · scale.
pub(crate) fn dequantize_rows<T: Real>(rows: &QuantizedRows, out: &mut [T]) {
    let _span = span("dequantise activations");
    let cols = rows.cols().max(1);
    let rows = rows.codes().chunks_exact(cols).zip(rows.scales());
    for ((codes, &scale), out) in rows.zip(out.chunks_exact_mut(cols)) {
        for (&code, out) in codes.iter().zip(out) {
            *out = T::from_f32(f32::from(code)) * T::from_f32(scale);
        }
    }
}

/// The plain product; `b` gives the number of a row and a column.
fn product_f64(
    a: DenseOperand<'_, f64>,
    [rows, cols]: [usize; 2],
    b: impl Fn(usize, usize) -> f64,
    c: &mut [f64],
    store: Store,
) -> Result<()> {
    check("inner dimension", a.cols(), cols)?;
    check("outputs", a.rows() * rows, c.len())?;
    for m in 0..a.rows() {
        for n in 0..rows {
            let sum = (0..cols).map(|k| a.at(m, k) * b(n, k)).sum();
            put(&mut c[m * rows + n], sum, store);
        }
    }
    Ok(())
}

fn widen(w: &TernaryMatrix) -> Vec<f64> {
    w.to_f32().into_iter().map(f64::from).collect()
}

fn put(out: &mut f64, sum: f64, store: Store) {
    *out = match store {
        Store::Set => sum,
        Store::Add => *out + sum,
    };
}

fn check(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Length { what, expected, found }) }
}
