//! What the kernels refuse, and what their errors name.

use super::requantisation::Spread;
use super::*;
use crate::Error;
use crate::quantize::Levels;

#[test]
fn weights_that_are_not_finite_are_refused_with_the_first_index() {
    let (rows, cols) = (40, 50);
    let row_scales = Granularity::Row;
    on_every_isa(|kernels| {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for index in [0, 777, 1_234, 1_999] {
                let mut latent = vec![0.5; rows * cols];
                latent[index] = bad;
                latent[1_999] = bad;
                let refused = |result| match result {
                    Err(Error::NonFinite { index: found, .. }) => assert_eq!(found, index),
                    other => panic!("{other:?} for {bad} at {index}"),
                };
                for (granularity, count) in [(row_scales, rows), (Granularity::Tensor, 1)] {
                    let scales = Scales::symmetric(granularity, vec![1.0; count]).unwrap();
                    let mut matrix = TernaryMatrix::from_trits(
                        rows,
                        cols,
                        &vec![0; rows * cols],
                        scales,
                        Packing::TwoBit,
                    )
                    .unwrap();
                    let rule = Spread { granularity, asymmetric: false };
                    refused(kernels.requantize(latent[..].into(), &rule, &mut matrix));
                    if granularity == Granularity::Tensor {
                        let levels = Levels::symmetric(0.1, 1.0);
                        let weights = latent[..].into();
                        refused(kernels.requantize_with_levels(weights, levels, &mut matrix));
                    }
                }
                let mut rows_out = QuantizedRows::new();
                let result = kernels.quantize_rows(&latent, rows, &mut rows_out);
                assert!(matches!(result, Err(Error::NonFinite { index: i, .. }) if i == index));
            }
        }
    });
}

#[test]
fn shapes_that_do_not_fit_are_typed_errors() {
    let kernels = Kernels::detect().unwrap();
    let scales = Scales::tensor(1.0).unwrap();
    let matrix = TernaryMatrix::from_trits(2, 3, &[0; 6], scales, Packing::TwoBit).unwrap();
    let x = QuantizedRows::from_parts(1, 4, vec![0; 4], vec![1.0]).unwrap();
    let result = kernels.matmul_i8(&x, &matrix, &mut [0.0; 2]);
    assert!(matches!(result, Err(Error::Mismatch { .. })));
    let length = |result| matches!(result, Err(Error::Length { .. }));
    let x = QuantizedRows::from_parts(1, 3, vec![0; 3], vec![1.0]).unwrap();
    assert!(length(kernels.matmul_i8(&x, &matrix, &mut [0.0; 3])));
    assert!(length(kernels.sums_i8(&[0; 3], 2, matrix.codes(), &mut [0; 4])));
    assert!(length(kernels.sums_i8(&[0; 6], 2, matrix.codes(), &mut [0; 3])));
    assert!(length(kernels.sums_i16_transposed(&[0; 3], 1, matrix.codes(), &mut [0; 3])));
    assert!(length(kernels.matmul_f32(&[0.0; 3], 1, &matrix, &mut [0.0; 3], Store::Set)));
    assert!(length(kernels.matmul_f32_transposed(
        &[0.0; 2],
        1,
        &matrix,
        &mut [0.0; 2],
        Store::Set
    )));
    let dense = |rows, cols| DenseOperand::new(&[0.0_f32; 6], rows, cols);
    assert!(length(dense(2, 4).map(|_| ())));
    assert!(matches!(dense(usize::MAX, 2), Err(Error::ShapeOverflow { .. })));
    let (a, b) = (dense(2, 3).unwrap(), dense(3, 2).unwrap());
    assert!(length(kernels.matmul_dense(a, a, &mut [0.0; 3], Store::Add)));
    let result = kernels.matmul_dense(a, b, &mut [0.0; 6], Store::Set);
    let mismatch = Error::Mismatch {
        what: "columns of the second operand",
        expected: "3".to_owned(),
        found: "2".to_owned(),
    };
    assert_eq!(result, Err(mismatch));
    assert!(length(kernels.quantize_rows(&[0.0; 3], 2, &mut QuantizedRows::new())));
    assert!(length(kernels.quantize_rows(&[0.0; 3], 0, &mut QuantizedRows::new())));
    let overflow = kernels.sums_i8(&[0; 3], usize::MAX, matrix.codes(), &mut [0; 3]);
    assert!(matches!(overflow, Err(Error::ShapeOverflow { .. })));
    let reserved = kernels.sums_i16(&[0, 0, i16::MIN], 1, matrix.codes(), &mut [0; 2]);
    assert!(matches!(reserved, Err(Error::OutOfRange { index: 2, .. })));
    let long = Layout::new(1, 65_537, 65_537, Packing::TwoBit).unwrap();
    let long = PackedTrits::zeros(long);
    let result = kernels.sums_i16(&vec![0; 65_537], 1, &long, &mut [0]);
    assert!(matches!(result, Err(Error::TooManyTerms { limit: 65_536, found: 65_537, .. })));
    let long = PackedTrits::zeros(Layout::new(1, 1 << 24, 1 << 24, Packing::FiveTrits).unwrap());
    let result = kernels.sums_i8(&vec![0; 1 << 24], 1, &long, &mut [0]);
    assert!(matches!(result, Err(Error::TooManyTerms { limit: 16_777_215, .. })));
    let matrix_of_long = TernaryMatrix::new(long, Scales::tensor(1.0).unwrap()).unwrap();
    let x = QuantizedRows::from_parts(1, 1 << 24, vec![0; 1 << 24], vec![1.0]).unwrap();
    let result = kernels.matmul_i8(&x, &matrix_of_long, &mut [0.0]);
    assert!(matches!(result, Err(Error::TooManyTerms { found: 16_777_216, .. })));
    let mut matrix = matrix;
    let rule = Spread { granularity: Granularity::Row, asymmetric: false };
    let result = kernels.requantize([0.0; 6][..].into(), &rule, &mut matrix);
    assert!(matches!(result, Err(Error::Mismatch { .. })));
}
