//! Shapes at the edges: zeros, ones, widths that divide nothing, and dimensions that no machine has.

use half::{bf16, f16};
use ternary_core::kernels::{DenseOperand, Isa, Kernels, QuantizedRows, Store};
use ternary_core::quantize::{Absmean, Lsq};
use ternary_core::statistics::{Fidelity, code_flips};
use ternary_core::{
    Error, Granularity, Layout, PackedTrits, Packing, Quantizer, Rule, Scales, TernaryMatrix,
    Weights,
};

/// Multiples of a 32nd, so that all three storage types hold them exactly.
fn latent(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 + i / 5) % 129) as f32 / 32.0 - 2.0).collect()
}

/// The weights that `rule` makes, group by group straight from its levels.
fn naive(rule: &dyn Quantizer, rows: usize, cols: usize, latent: &[f32]) -> Vec<f32> {
    let count = rule.granularity().count(rows, cols).unwrap();
    let size = latent.len().checked_div(count).unwrap_or(0).max(1);
    let groups = latent.chunks(size).enumerate().map(|(group, weights)| {
        let levels = rule.fit(group, Weights::F32(weights)).unwrap();
        weights.iter().map(|&w| levels.value(w)).collect::<Vec<_>>()
    });
    groups.collect::<Vec<_>>().concat()
}

#[test]
fn every_rule_quantises_every_edge_shape_as_its_levels_say() {
    let rules = Rule::DEFAULTS.into_iter().chain([Rule::Fixed { threshold: 0.5 }]);
    for rule in rules {
        for rows in [0, 1, 2, 15, 16, 17, 33] {
            for cols in [0, 1, 3, 15, 16, 20, 21, 65, 129] {
                let latent = latent(rows * cols);
                let bf: Vec<_> = latent.iter().map(|&w| bf16::from_f32(w)).collect();
                let half: Vec<_> = latent.iter().map(|&w| f16::from_f32(w)).collect();
                let storages = [Weights::F32(&latent), Weights::Bf16(&bf), Weights::F16(&half)];
                let group = Granularity::group(cols.div_ceil(3).max(1)).unwrap();
                for granularity in [Granularity::Tensor, Granularity::Row, group] {
                    let rule = match rule.initialised(granularity, rows, cols, storages[0]) {
                        Ok(rule) if granularity.count(rows, cols).is_ok() => rule,
                        // A group that does not divide the row.
                        Ok(rule) => {
                            let matrix = TernaryMatrix::quantize(
                                rows,
                                cols,
                                storages[0],
                                &*rule,
                                Packing::TwoBit,
                            );
                            assert!(matches!(matrix, Err(Error::Block { .. })));
                            continue;
                        }
                        Err(error) => {
                            assert!(matches!(error, Error::Block { .. }), "{error}");
                            continue;
                        }
                    };
                    let expected = naive(&*rule, rows, cols, &latent);
                    for packing in Packing::ALL {
                        for weights in storages {
                            let matrix =
                                TernaryMatrix::quantize(rows, cols, weights, &*rule, packing);
                            let what = format!("{rule:?} {rows} x {cols} {granularity:?}");
                            assert_eq!(matrix.unwrap().to_f32(), expected, "{what}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn weights_that_are_ternary_already_come_back_exactly_from_every_storage_type() {
    let alpha = [0.375_f32, 3.0, 1e-6, 0.1];
    let trits: Vec<i8> = (0..4 * 50).map(|i| (i * 7 % 5 % 3) as i8 - 1).collect();
    let scales = Scales::symmetric(Granularity::Row, alpha.to_vec()).unwrap();
    let matrix = TernaryMatrix::from_trits(4, 50, &trits, scales, Packing::TwoBit).unwrap();
    for rule in [Rule::Optimal, Rule::Twn { factor: 0.75 }, Rule::Fixed { threshold: 0.0 }] {
        let rule = rule.quantizer(Granularity::Row).unwrap();
        let again = TernaryMatrix::quantize(4, 50, &matrix.to_f32()[..], &*rule, Packing::TwoBit);
        assert_eq!(again.as_ref(), Ok(&matrix), "{rule:?}");
        let (bf, half) = (matrix.to_bf16(), matrix.to_f16());
        for weights in [Weights::from(&bf[..]), Weights::from(&half[..])] {
            let again = TernaryMatrix::quantize(4, 50, weights, &*rule, Packing::TwoBit).unwrap();
            assert_eq!(again.to_f32(), weights.to_f32(), "{rule:?}");
            assert_eq!(again.to_trits(), trits, "{rule:?}");
        }
    }
}

#[test]
fn a_matrix_without_trits_is_handled_at_once_whatever_its_other_dimension() {
    let kernels = Kernels::detect().unwrap();
    let most = 1 << 50;
    for (rows, cols) in [(0, most), (most, 0)] {
        let tensor = Scales::tensor(1.0).unwrap();
        let matrix = TernaryMatrix::from_trits(rows, cols, &[], tensor, Packing::TwoBit).unwrap();
        for granularity in [Granularity::Tensor, Granularity::group(16).unwrap()] {
            let rule = Absmean::new(granularity);
            let empty = Weights::F32(&[]);
            let matrix = TernaryMatrix::quantize(rows, cols, empty, &rule, Packing::FiveTrits);
            assert_eq!(matrix.unwrap().to_f32(), []);
        }
        assert_eq!(matrix.to_f32(), []);
        assert_eq!(matrix.to_bf16(), []);
        assert_eq!(matrix.to_trits(), []);
        assert_eq!(matrix.size_bytes(), 4);
        let repacked = matrix.repack(Packing::FiveTrits).unwrap();
        assert_eq!((repacked.rows(), repacked.cols()), (rows, cols));
        let transposed = matrix.transpose().unwrap();
        assert_eq!((transposed.rows(), transposed.cols()), (cols, rows));
        assert_eq!(code_flips(matrix.codes(), repacked.codes()), Ok(0));
        assert_eq!(Fidelity::between(Weights::F32(&[]), &matrix).unwrap().mse, 0.0);
        kernels.matmul_f32(&[], 0, &matrix, &mut [], Store::Set).unwrap();
        kernels.matmul_f32_transposed(&[], 0, &matrix, &mut [], Store::Set).unwrap();
    }
    // Any number of rows fits a matrix that has neither rows nor columns.
    let nothing = Layout::new(0, 0, 0, Packing::TwoBit).unwrap();
    let nothing = PackedTrits::zeros(nothing);
    let matrix = TernaryMatrix::new(nothing, Scales::tensor(1.0).unwrap()).unwrap();
    for rows in [most, usize::MAX] {
        kernels.matmul_f32(&[], rows, &matrix, &mut [], Store::Set).unwrap();
        kernels.matmul_f32_transposed(&[], rows, &matrix, &mut [], Store::Set).unwrap();
        let empty = DenseOperand::new(&[], rows, 0).unwrap();
        let nothing = DenseOperand::new(&[], 0, 0).unwrap();
        for store in [Store::Set, Store::Add] {
            kernels.matmul_dense(empty, nothing, &mut [], store).unwrap();
            kernels.matmul_dense(nothing, empty, &mut [], store).unwrap();
        }
        kernels.sums_i8(&[], rows, matrix.codes(), &mut []).unwrap();
        kernels.sums_i16(&[], rows, matrix.codes(), &mut []).unwrap();
        kernels.sums_i16_transposed(&[], rows, matrix.codes(), &mut []).unwrap();
    }
}

#[test]
fn dimensions_that_cannot_be_addressed_are_typed_errors_even_beside_a_zero() {
    let kernels = Kernels::detect().unwrap();
    let overflow = |result: Result<(), Error>| matches!(result, Err(Error::ShapeOverflow { .. }));
    for (rows, cols) in [(usize::MAX, 0), (0, usize::MAX), (usize::MAX, usize::MAX)] {
        for packing in Packing::ALL {
            for segment in [1, cols] {
                if segment > 0 || cols == 0 {
                    let layout = Layout::new(rows, cols, segment, packing);
                    assert!(overflow(layout.map(|_| ())), "{rows} x {cols} by {segment}");
                }
            }
            let rule = Absmean::new(Granularity::Row);
            let matrix = TernaryMatrix::quantize(rows, cols, Weights::F32(&[]), &rule, packing);
            assert!(overflow(matrix.map(|_| ())), "{rows} x {cols}");
        }
    }
    assert!(overflow(Granularity::Row.count(usize::MAX, 0).map(|_| ())));
    let learned = Lsq::initialised(Granularity::Row, usize::MAX, 0, Weights::F32(&[]));
    assert!(overflow(learned.map(|_| ())));
    let mut rows = QuantizedRows::new();
    assert!(overflow(kernels.quantize_rows(&[], usize::MAX, &mut rows)));
}

#[test]
fn a_learned_parameter_that_is_not_finite_is_refused_whatever_the_weights() {
    let weights = Weights::F32(&[1.0, -2.0, 0.5, 3.0]);
    for granularity in [Granularity::Tensor, Granularity::Row, Granularity::group(1).unwrap()] {
        let mut rule = Lsq::initialised(granularity, 2, 2, weights).unwrap();
        *rule.alpha_mut().last_mut().unwrap() = f32::NAN;
        let matrix = TernaryMatrix::quantize(2, 2, weights, &rule, Packing::TwoBit);
        let named = matches!(matrix, Err(Error::NonFinite { what: "alpha of LSQ", .. }));
        assert!(named, "{granularity:?}: {matrix:?}");
    }
}

#[test]
fn a_threshold_of_minus_zero_is_a_threshold_of_zero() {
    let latent: Vec<f32> = (0..32 * 17).map(|i| [0.0, -0.0, 1e-30, -1e-30][i % 4]).collect();
    let expected: Vec<i8> = (0..32 * 17).map(|i| [0, 0, 1, -1][i % 4]).collect();
    let rule = Rule::Fixed { threshold: -0.0 }.quantizer(Granularity::Row).unwrap();
    for isa in Isa::available() {
        let scales = Scales::symmetric(Granularity::Row, vec![0.0; 17]).unwrap();
        let codes = vec![0; 17 * 32];
        let mut matrix =
            TernaryMatrix::from_trits(17, 32, &codes, scales, Packing::TwoBit).unwrap();
        let weights = Weights::F32(&latent);
        Kernels::new(isa).unwrap().requantize(weights, &*rule, &mut matrix).unwrap();
        assert_eq!(matrix.to_trits(), expected, "{isa}");
        // The padding too.
        let layout = *matrix.codes().layout();
        assert!(PackedTrits::from_bytes(layout, matrix.codes().as_bytes()).is_ok(), "{isa}");
    }
}

#[test]
fn of_several_bad_parameters_the_first_is_named() {
    let weights = vec![1.0; 40];
    let weights = Weights::F32(&weights);
    let mut rule = Lsq::initialised(Granularity::Row, 40, 1, weights).unwrap();
    // In different blocks of rows.
    for group in [37, 5, 21] {
        rule.alpha_mut()[group] = -1.0;
    }
    let matrix = TernaryMatrix::quantize(40, 1, weights, &rule, Packing::TwoBit);
    assert!(matches!(matrix, Err(Error::OutOfRange { index: 5, .. })), "{matrix:?}");
}

#[test]
fn a_matrix_keeps_its_weights_through_every_change_of_form() {
    let group = Granularity::group(7).unwrap();
    for (rows, cols) in [(1, 7), (5, 21), (17, 35), (0, 7), (3, 0)] {
        let trits: Vec<i8> = (0..rows * cols).map(|i| (i * 5 % 7 % 3) as i8 - 1).collect();
        for granularity in [Granularity::Tensor, Granularity::Row, group] {
            let count = granularity.count(rows, cols).unwrap();
            let values: Vec<f32> = (0..count).map(|i| i as f32 + 0.5).collect();
            let scales = Scales::symmetric(granularity, values).unwrap();
            let matrix =
                TernaryMatrix::from_trits(rows, cols, &trits, scales.clone(), Packing::TwoBit)
                    .unwrap();
            let weights = matrix.to_f32();
            for packing in Packing::ALL {
                let repacked = matrix.repack(packing).unwrap();
                assert_eq!(repacked.to_f32(), weights);
                let one = Scales::tensor(1.0).unwrap();
                let there = repacked.with_scales(one).unwrap();
                assert_eq!(there.to_trits(), trits);
                assert_eq!(there.with_scales(scales.clone()).unwrap().to_f32(), weights);
            }
            let transposed = matrix.transpose();
            assert_eq!(transposed.is_ok(), granularity == Granularity::Tensor);
            if let Ok(transposed) = transposed {
                for (i, weight) in weights.iter().enumerate() {
                    assert_eq!(transposed.get(i % cols, i / cols), *weight);
                }
            }
            let wrong = Scales::symmetric(Granularity::Row, vec![1.0; rows + 1]).unwrap();
            assert!(matches!(matrix.with_scales(wrong), Err(Error::Length { .. })));
        }
    }
}
