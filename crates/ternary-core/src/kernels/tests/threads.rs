//! Products large enough for several threads, which must not change a bit.

use super::requantisation::{Spread, naive};
use super::*;
use crate::Error;
use crate::weights::Weights;

#[test]
fn long_and_tall_shapes_agree_with_the_oracle_on_any_number_of_threads() {
    let mut numbers = Numbers::new(7);
    for packing in Packing::ALL {
        // More columns than a run of lines, more rows than a part; many tokens, and one.
        let shapes =
            [(1, 70, 1, 41_003), (2, 33, 1, 21_000), (26, 150, 1, 2_500), (14, 2_100, 3, 48)];
        for (tokens, rows, segments, segment) in shapes {
            let shape = Shape { tokens, rows, segments, segment, packing };
            for asymmetric in [false, true] {
                let matrix = shape.matrix(Kind { tensor: false, asymmetric }, &mut numbers);
                let codes = bytes(tokens * shape.cols(), &mut numbers);
                let scales =
                    floats(tokens, &mut numbers).iter().map(|s| s.abs()).collect::<Vec<_>>();
                let expected = oracle::scaled(&codes, &scales, &matrix);
                let quantized =
                    QuantizedRows::from_parts(tokens, shape.cols(), codes, scales).unwrap();
                let x = floats(tokens * shape.cols(), &mut numbers);
                let dy = floats(tokens * rows, &mut numbers);
                let over_columns = oracle::product(&x, tokens, &matrix);
                let over_rows = oracle::product_transposed(&dy, tokens, &matrix);
                for isa in Isa::available() {
                    let kernels = Kernels::new(isa).unwrap();
                    let mut first = None;
                    for threads in [1, 2, 3, 8] {
                        let (y, dx) = in_pool(threads, || {
                            let mut y = vec![f32::NAN; tokens * rows];
                            kernels.matmul_i8(&quantized, &matrix, &mut y).unwrap();
                            assert_eq!(bits(&y), bits(&expected), "{isa} {threads} threads");
                            kernels.matmul_f32(&x, tokens, &matrix, &mut y, Store::Set).unwrap();
                            assert_within(&y, &over_columns, shape.cols());
                            let mut dx = vec![f32::NAN; tokens * shape.cols()];
                            kernels
                                .matmul_f32_transposed(&dy, tokens, &matrix, &mut dx, Store::Set)
                                .unwrap();
                            assert_within(&dx, &over_rows, rows);
                            (bits(&y), bits(&dx))
                        });
                        let (same_y, same_dx) = first.get_or_insert((y.clone(), dx.clone()));
                        assert!(y == *same_y && dx == *same_dx, "{isa} {threads} threads");
                    }
                }
            }
        }
    }
}

pub(super) fn in_pool<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

#[test]
fn tokens_that_share_a_panel_of_weights_are_all_computed_on_any_number_of_threads() {
    let mut numbers = Numbers::new(8);
    // Enough tokens that one panel is handed out for several ranges of them.
    let shape =
        Shape { tokens: 131, rows: 20, segments: 1, segment: 300, packing: Packing::FiveTrits };
    let (tokens, rows, cols) = (shape.tokens, shape.rows, shape.cols());
    let matrix = shape.matrix(Kind { tensor: false, asymmetric: true }, &mut numbers);
    let codes = bytes(tokens * cols, &mut numbers);
    let pairs: Vec<i16> = codes.iter().map(|&code| 250 * i16::from(code)).collect();
    let x = floats(tokens * cols, &mut numbers);
    let sums_of_bytes = oracle::sums(&codes, tokens, matrix.codes());
    let sums_of_pairs = oracle::sums(&pairs, tokens, matrix.codes());
    let sums_over_rows = oracle::sums_transposed(&pairs[..tokens * rows], tokens, matrix.codes());
    let products = oracle::product(&x, tokens, &matrix);
    let scales = vec![0.5; tokens];
    let scaled = oracle::scaled(&codes, &scales, &matrix);
    let quantized = QuantizedRows::from_parts(tokens, cols, codes.clone(), scales).unwrap();
    for isa in Isa::available() {
        let kernels = Kernels::new(isa).unwrap();
        for threads in [1, 2, 3, 8] {
            in_pool(threads, || {
                let mut y = vec![f32::NAN; tokens * rows];
                kernels.matmul_i8(&quantized, &matrix, &mut y).unwrap();
                assert_eq!(bits(&y), bits(&scaled), "{isa} {threads} threads");
                kernels.matmul_f32(&x, tokens, &matrix, &mut y, Store::Set).unwrap();
                assert_within(&y, &products, cols);
                let mut sums = vec![i32::MIN; tokens * rows];
                kernels.sums_i8(&codes, tokens, matrix.codes(), &mut sums).unwrap();
                assert_eq!(wide(&sums), sums_of_bytes, "{isa} {threads} threads");
                kernels.sums_i16(&pairs, tokens, matrix.codes(), &mut sums).unwrap();
                assert_eq!(wide(&sums), sums_of_pairs, "{isa} {threads} threads");
                let (over_rows, mut sums) = (&pairs[..tokens * rows], vec![0; tokens * cols]);
                kernels.sums_i16_transposed(over_rows, tokens, matrix.codes(), &mut sums).unwrap();
                assert_eq!(wide(&sums), sums_over_rows, "{isa} {threads} threads");
            });
        }
    }
}

#[test]
fn requantising_is_the_same_and_names_the_first_bad_weight_on_any_number_of_threads() {
    let mut numbers = Numbers::new(9);
    let (rows, cols) = (230, 1_200);
    // Floats that bf16 holds exactly, so that both storage types have the same trits.
    let bf16: Vec<_> =
        floats(rows * cols, &mut numbers).into_iter().map(half::bf16::from_f32).collect();
    let latent = Weights::Bf16(&bf16).to_f32();
    let mut bad = latent.clone();
    // In different blocks, so that threads meet them in any order.
    for index in [273_000, 20_011, 150_000] {
        bad[index] = f32::NAN;
    }
    let group = Granularity::group(100).unwrap();
    for granularity in [Granularity::Tensor, Granularity::Row, group] {
        for packing in Packing::ALL {
            let rule = Spread { granularity, asymmetric: granularity == Granularity::Row };
            let zeros = vec![0.0; granularity.count(rows, cols).unwrap()];
            let scales = if rule.asymmetric {
                Scales::asymmetric(granularity, zeros.clone(), zeros).unwrap()
            } else {
                Scales::symmetric(granularity, zeros).unwrap()
            };
            let trits = vec![0; rows * cols];
            let empty = TernaryMatrix::from_trits(rows, cols, &trits, scales, packing).unwrap();
            let expected = naive(Weights::F32(&latent), &rule, &empty);
            for isa in Isa::available() {
                let kernels = Kernels::new(isa).unwrap();
                for threads in [1, 2, 3, 8] {
                    in_pool(threads, || {
                        let mut found = empty.clone();
                        for weights in [Weights::F32(&latent), Weights::Bf16(&bf16)] {
                            found.clone_from(&empty);
                            kernels.requantize(weights, &rule, &mut found).unwrap();
                            assert!(found == expected, "{isa} {granularity:?} {threads} threads");
                        }
                        let error = kernels.requantize(Weights::F32(&bad), &rule, &mut found);
                        assert!(matches!(error, Err(Error::NonFinite { index: 20_011, .. })));
                    });
                }
            }
        }
    }
}

#[test]
fn activations_are_the_same_and_the_first_bad_one_is_named_on_any_number_of_threads() {
    let mut numbers = Numbers::new(10);
    let (rows, cols) = (1_050, 1_000);
    let x = floats(rows * cols, &mut numbers);
    let mut bad = x.clone();
    for index in [1_000_000, 4_321, 500_000] {
        bad[index] = f32::INFINITY;
    }
    let mut expected = QuantizedRows::new();
    Kernels::new(Isa::Portable).unwrap().quantize_rows(&x, rows, &mut expected).unwrap();
    for isa in Isa::available() {
        let kernels = Kernels::new(isa).unwrap();
        for threads in [1, 2, 3, 8] {
            in_pool(threads, || {
                let mut found = QuantizedRows::new();
                kernels.quantize_rows(&x, rows, &mut found).unwrap();
                assert!(found == expected, "{isa} {threads} threads");
                let error = kernels.quantize_rows(&bad, rows, &mut found);
                assert!(matches!(error, Err(Error::NonFinite { index: 4_321, .. })), "{error:?}");
            });
        }
    }
}

#[test]
fn calls_from_many_threads_and_from_inside_each_other_keep_apart() {
    let mut numbers = Numbers::new(11);
    let shape = Shape { tokens: 9, rows: 250, segments: 1, segment: 600, packing: Packing::TwoBit };
    let matrix = shape.matrix(Kind { tensor: true, asymmetric: false }, &mut numbers);
    let x = bytes(shape.tokens * shape.cols(), &mut numbers);
    let expected = oracle::sums(&x, shape.tokens, matrix.codes());
    let (a, b) = (floats(70 * 1_100, &mut numbers), floats(90 * 1_100, &mut numbers));
    let a = DenseOperand::new(&a, 70, 1_100).unwrap();
    let b = DenseOperand::new(&b, 1_100, 90).unwrap().transposed();
    let products = oracle::dense(a, b, &[0.0; 70 * 90]);
    on_every_isa(|kernels| {
        let multiply = || {
            let mut sums = vec![0; shape.tokens * shape.rows];
            kernels.sums_i8(&x, shape.tokens, matrix.codes(), &mut sums).unwrap();
            assert_eq!(wide(&sums), expected);
            let mut c = vec![f32::NAN; 70 * 90];
            kernels.matmul_dense(a, b, &mut c, Store::Set).unwrap();
            assert_within(&c, &products, 1_100);
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(multiply);
            }
        });
        // Jobs of one pool steal each other's work while they wait.
        in_pool(3, || rayon::scope(|scope| (0..12).for_each(|_| scope.spawn(|_| multiply()))));
        multiply();
    });
}
