//! Products with `bf16` against those with the same numbers in `f32`, bit for bit.

use half::bf16;

use super::threads::in_pool;
use super::*;

/// Numbers of a stream in `bf16`, and the same ones in `f32`.
fn halves(count: usize, numbers: &mut Numbers) -> (Vec<bf16>, Vec<f32>) {
    let halves: Vec<bf16> = (0..count).map(|_| bf16::from_f32(numbers.float())).collect();
    let wide = halves.iter().map(|half| half.to_f32()).collect();
    (halves, wide)
}

/// `values` as `[rows, cols]`, or as the transpose of the matrix that lies there.
fn operand<T: Copy>(
    values: &[T],
    rows: usize,
    cols: usize,
    is_transposed: bool,
) -> DenseOperand<'_, T> {
    if is_transposed {
        DenseOperand::new(values, cols, rows).unwrap().transposed()
    } else {
        DenseOperand::new(values, rows, cols).unwrap()
    }
}

/// Both products of a shape on one instruction set.
fn assert_same(
    kernels: Kernels,
    [rows, outputs, terms]: [usize; 3],
    is_transposed: bool,
    store: Store,
    seed: u64,
) {
    let mut numbers = Numbers::new(seed);
    let a = floats(rows * terms, &mut numbers);
    let a = operand(&a, rows, terms, false);
    let (halves, wide) = halves(outputs * terms, &mut numbers);
    let start = floats(rows * outputs, &mut numbers);
    let (mut found, mut expected) = (start.clone(), start);
    if store == Store::Set {
        // What is not to be read is not a number.
        found.fill(f32::NAN);
    }
    let (half, wide) = (
        operand(&halves, outputs, terms, is_transposed),
        operand(&wide, outputs, terms, is_transposed),
    );
    kernels.matmul_bf16(a, half, &mut found, store).unwrap();
    kernels.matmul_dense(a, wide, &mut expected, store).unwrap();
    let shape = (rows, outputs, terms, is_transposed, store);
    assert!(bits(&found) == bits(&expected), "{shape:?} on {}", kernels.isa());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn products_with_halves_have_the_bits_of_those_with_the_same_numbers(
        rows in 0..=40_usize, outputs in 0..=130_usize, terms in 0..=300_usize,
        is_transposed in prop::bool::ANY, is_added in prop::bool::ANY, seed: u64,
    ) {
        let store = if is_added { Store::Add } else { Store::Set };
        on_every_isa(|kernels| {
            assert_same(kernels, [rows, outputs, terms], is_transposed, store, seed);
            assert_same(kernels, [1, outputs, terms], is_transposed, store, seed);
        });
    }
}

#[test]
fn long_sums_of_halves_have_the_same_bits_on_any_number_of_threads() {
    for shape in [[1, 300, 3_000], [70, 20, 2_500], [131, 70, 1_025], [9, 64, 2_048]] {
        for is_transposed in [false, true] {
            for isa in Isa::available() {
                let kernels = Kernels::new(isa).unwrap();
                for threads in [1, 3] {
                    in_pool(threads, || assert_same(kernels, shape, is_transposed, Store::Set, 7));
                }
            }
        }
    }
}

#[test]
fn halves_of_another_shape_are_refused() {
    let kernels = Kernels::detect().unwrap();
    let b = [bf16::ONE; 6];
    let of = |rows, cols| DenseOperand::new(&b, rows, cols).unwrap();
    let a = DenseOperand::new(&[1.0; 6], 2, 3).unwrap();
    let found = kernels.matmul_bf16(a, of(3, 2), &mut [0.0; 6], Store::Set).unwrap_err();
    assert!(found.to_string().contains("columns of the second operand"), "{found}");
    let found = kernels.matmul_bf16(a, of(2, 3), &mut [0.0; 3], Store::Set).unwrap_err();
    assert!(found.to_string().contains("outputs"), "{found}");
    let (none, mut c) = (DenseOperand::<bf16>::new(&[], 2, 0).unwrap(), [1.0; 4]);
    let a = DenseOperand::new(&[], 2, 0).unwrap();
    kernels.matmul_bf16(a, none, &mut c, Store::Add).unwrap();
    assert_eq!(c, [1.0; 4]);
    kernels.matmul_bf16(a, none, &mut c, Store::Set).unwrap();
    assert_eq!(c, [0.0; 4]);
}
