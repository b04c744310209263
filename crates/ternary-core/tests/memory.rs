//! What is allocated, counted by the allocator itself, thread by thread.

use std::alloc::{GlobalAlloc, Layout as Allocation, System};
use std::cell::Cell;

use ternary_core::foreign::GgmlFormat;
use ternary_core::kernels::{DenseOperand, Isa, Kernels, QuantizedRows, Store};
use ternary_core::quantize::{Absmean, Ttq};
use ternary_core::ttq::TtqLayer;
use ternary_core::{Error, Granularity, Layout, PackedTrits, Packing, Quantizer, Rule, Scales};
use ternary_core::{TernaryMatrix, Weights};

struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the counters are plain numbers
// without destructors, so touching them allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, allocation: Allocation) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        LIVE.set(LIVE.get() + allocation.size() as isize);
        LARGEST.set(LARGEST.get().max(allocation.size()));
        // SAFETY: passed on from the caller.
        unsafe { System.alloc(allocation) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, allocation: Allocation) {
        LIVE.set(LIVE.get() - allocation.size() as isize);
        // SAFETY: passed on from the caller.
        unsafe { System.dealloc(pointer, allocation) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `make` gives, and the bytes that are allocated for it once everything else is gone.
fn weigh<T>(make: impl Fn() -> T) -> (T, usize) {
    // Once for the working memory that a thread keeps.
    drop(make());
    let before = LIVE.get();
    let made = make();
    (made, (LIVE.get() - before) as usize)
}

fn assert_weighs(what: &str, make: impl Fn() -> TernaryMatrix) {
    let (matrix, bytes) = weigh(make);
    assert_eq!(matrix.size_bytes(), bytes, "{what}");
    assert_eq!(matrix.size_bytes(), matrix.codes().size_bytes() + matrix.scales().size_bytes());
}

fn granularities() -> [Granularity; 3] {
    [Granularity::Tensor, Granularity::Row, Granularity::group(13).unwrap()]
}

/// Scales with spare capacity, which must not stay.
fn scales(granularity: Granularity, rows: usize, cols: usize, asymmetric: bool) -> Scales {
    let values = || {
        let mut values = Vec::with_capacity(1000);
        values.resize(granularity.count(rows, cols).unwrap(), 0.5);
        values
    };
    if asymmetric {
        Scales::asymmetric(granularity, values(), values()).unwrap()
    } else {
        Scales::symmetric(granularity, values()).unwrap()
    }
}

#[test]
fn the_size_of_a_matrix_is_what_is_allocated_for_it() {
    for (rows, cols) in [(0, 0), (1, 13), (0, 26), (3, 0), (17, 39), (33, 260)] {
        for granularity in granularities() {
            for packing in Packing::ALL {
                let trits = vec![1; rows * cols];
                for asymmetric in [false, true] {
                    let make = || {
                        let scales = scales(granularity, rows, cols, asymmetric);
                        TernaryMatrix::from_trits(rows, cols, &trits, scales, packing).unwrap()
                    };
                    assert_weighs("from trits", make);
                    let matrix = make();
                    let row_scales = || scales(Granularity::Row, rows, cols, asymmetric);
                    assert_weighs("clone", || matrix.clone());
                    assert_weighs("repacked", || matrix.repack(Packing::FiveTrits).unwrap());
                    assert_weighs("rescaled", || make().with_scales(row_scales()).unwrap());
                    if granularity == Granularity::Tensor {
                        assert_weighs("transposed", || matrix.transpose().unwrap());
                    }
                }
                let latent: Vec<f32> = (0..rows * cols).map(|i| (i % 7) as f32 - 3.0).collect();
                for rule in Rule::DEFAULTS {
                    let weights = Weights::F32(&latent);
                    let rule = rule.initialised(granularity, rows, cols, weights).unwrap();
                    assert_weighs(rule.name(), || {
                        TernaryMatrix::quantize(rows, cols, weights, &*rule, packing).unwrap()
                    });
                }
                let layer = TtqLayer::initialised(rows, cols, latent, granularity, 0.05).unwrap();
                let (_, bytes) = weigh(|| layer.quantize_scaled(packing).unwrap());
                assert_eq!(layer.statistics(packing).unwrap().size_bytes, bytes);
            }
        }
    }
    let format = GgmlFormat::Q2_0;
    let blocks = format.encode(3, 128, &[1; 3 * 128], &[1.0; 6]).unwrap();
    assert_weighs("ggml", || format.decode_matrix(3, 128, &blocks, Packing::TwoBit).unwrap());
}

#[test]
fn the_size_of_quantised_rows_is_what_is_allocated_for_them() {
    let kernels = Kernels::detect().unwrap();
    let (rows, bytes) = weigh(|| {
        let mut rows = QuantizedRows::new();
        kernels.quantize_rows(&[1.0; 700], 7, &mut rows).unwrap();
        // Fewer rows than the buffers were made for.
        kernels.quantize_rows(&[1.0; 90], 3, &mut rows).unwrap();
        rows
    });
    assert_eq!(rows.size_bytes(), bytes);
    assert!(bytes >= 700 + 7 * 4);
}

#[test]
fn a_kernel_that_has_run_once_allocates_nothing() {
    const ROWS: usize = 40;
    const COLS: usize = 78;
    let latent: Vec<f32> = (0..ROWS * COLS).map(|i| (i % 11) as f32 - 5.0).collect();
    for isa in Isa::available() {
        let kernels = Kernels::new(isa).unwrap();
        for (packing, tokens) in Packing::ALL.into_iter().flat_map(|p| [(p, 1), (p, 9)]) {
            for granularity in granularities() {
                let all = Weights::F32(&latent);
                let ttq = Ttq::initialised(granularity, ROWS, COLS, all, 0.05).unwrap();
                let rules: [&dyn Quantizer; 2] = [&Absmean::new(granularity), &ttq];
                for rule in rules {
                    let mut matrix =
                        TernaryMatrix::quantize(ROWS, COLS, all, rule, packing).unwrap();
                    let (x, x16) = (vec![0.5; tokens * COLS], vec![5; tokens * COLS]);
                    let (dy, dy16) = (vec![0.5; tokens * ROWS], vec![5; tokens * ROWS]);
                    let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), latent.clone());
                    let (mut sums, mut dx_sums) = (vec![0; y.len()], vec![0; x.len()]);
                    let mut rows = QuantizedRows::new();
                    let mut run = || {
                        kernels.requantize(all, rule, &mut matrix).unwrap();
                        let (matrix, codes) = (&matrix, matrix.codes());
                        kernels.quantize_rows(&x, tokens, &mut rows).unwrap();
                        kernels.matmul_i8(&rows, matrix, &mut y).unwrap();
                        kernels.sums_i8(rows.codes(), tokens, codes, &mut sums).unwrap();
                        kernels.matmul_f32(&x, tokens, matrix, &mut y, Store::Set).unwrap();
                        kernels
                            .matmul_f32_transposed(&dy, tokens, matrix, &mut dx, Store::Set)
                            .unwrap();
                        let a = DenseOperand::new(&x, tokens, COLS).unwrap();
                        let b = DenseOperand::new(&latent, ROWS, COLS).unwrap();
                        kernels.matmul_dense(a, b, &mut y, Store::Set).unwrap();
                        let gradients = DenseOperand::new(&dy, tokens, ROWS).unwrap();
                        kernels
                            .matmul_dense(gradients, b.transposed(), &mut dx, Store::Add)
                            .unwrap();
                        kernels
                            .matmul_dense(
                                gradients.transposed(),
                                a.transposed(),
                                &mut dw,
                                Store::Add,
                            )
                            .unwrap();
                        kernels.sums_i16(&x16, tokens, codes, &mut sums).unwrap();
                        kernels.sums_i16_transposed(&dy16, tokens, codes, &mut dx_sums).unwrap();
                    };
                    run();
                    let before = CALLS.get();
                    run();
                    assert_eq!(CALLS.get() - before, 0, "{isa} {packing:?} {tokens} {rule:?}");
                }
            }
        }
    }
}

/// The error of `call`, which must not allocate for the shape that it was told.
fn refused<T>(call: impl FnOnce() -> Result<T, Error>) -> Error {
    LARGEST.set(0);
    let error = call().err().expect("a call that is refused");
    assert!(LARGEST.get() < 1024, "{} bytes were allocated for {error}", LARGEST.get());
    error
}

#[test]
fn wrong_lengths_are_refused_before_anything_is_allocated() {
    let (rows, cols) = (1 << 16, 1 << 20);
    let packing = Packing::TwoBit;
    let layout = Layout::new(rows, cols, cols, packing).unwrap();
    let rule = Absmean::new(Granularity::Row);
    let weights = Weights::F32(&[1.0]);
    let tensor = Scales::tensor(1.0).unwrap();
    let errors = [
        refused(|| PackedTrits::from_trits(layout, &[1])),
        refused(|| PackedTrits::from_bytes(layout, &[1])),
        refused(|| TernaryMatrix::from_trits(rows, cols, &[1], tensor.clone(), packing)),
        refused(|| TernaryMatrix::quantize(rows, cols, weights, &rule, packing)),
        refused(|| Ttq::initialised(Granularity::Row, rows, cols, weights, 0.05)),
        refused(|| QuantizedRows::from_parts(rows, cols, vec![1], vec![])),
        refused(|| GgmlFormat::Tq1_0.decode(rows, cols, &[1])),
        refused(|| GgmlFormat::Tq1_0.encode(rows, cols, &[1], &[])),
        refused(|| ternary_core::foreign::i2_s::decode(rows, cols, &[1])),
        refused(|| ternary_core::foreign::i2_s::encode(rows, cols, &[1], 1.0)),
        refused(|| ternary_core::foreign::hugging_face::decode(rows, cols, &[1])),
        refused(|| ternary_core::foreign::hugging_face::encode(rows, cols, &[1])),
    ];
    for error in errors {
        assert!(matches!(error, Error::Length { found: 0 | 1, .. }), "{error}");
    }
}
