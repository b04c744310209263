//! The dense product against its oracles: the bound in `f64`, and the very bits of its chain.

use super::threads::in_pool;
use super::*;

/// One product: shapes, whether each operand is read transposed, and what becomes of its outputs.
#[derive(Debug, Clone, Copy)]
struct Dense {
    rows: usize,
    outputs: usize,
    terms: usize,
    transposed: [bool; 2],
    store: Store,
}

impl Dense {
    fn any() -> impl Strategy<Value = Self> {
        let sizes = (0..=130_usize, 0..=130_usize, 0..=130_usize);
        let store = prop_oneof![Just(Store::Set), Just(Store::Add)];
        (sizes, prop::array::uniform2(prop::bool::ANY), store).prop_map(
            |((rows, outputs, terms), transposed, store)| Self {
                rows,
                outputs,
                terms,
                transposed,
                store,
            },
        )
    }

    /// Numbers for both operands and for the outputs.
    fn numbers(&self, offset: usize, seed: u64) -> [Vec<f32>; 3] {
        let mut numbers = Numbers::new(seed);
        let a = floats(offset + self.rows * self.terms, &mut numbers);
        let b = floats(offset + self.outputs * self.terms, &mut numbers);
        [a, b, floats(self.rows * self.outputs, &mut numbers)]
    }

    /// What the sums start from.
    fn start(&self, c: &[f32]) -> Vec<f32> {
        c.iter().map(|&c| if self.store == Store::Set { 0.0 } else { c }).collect()
    }
}

/// `values` as `[rows, cols]`, or as the transpose of the matrix that lies there.
fn operand(values: &[f32], rows: usize, cols: usize, transposed: bool) -> DenseOperand<'_> {
    if transposed {
        DenseOperand::new(values, cols, rows).unwrap().transposed()
    } else {
        DenseOperand::new(values, rows, cols).unwrap()
    }
}

/// One term of a chain as `isa` adds it: fused where there are fused instructions.
fn add(isa: Isa) -> fn(f32, f32, f32) -> f32 {
    match isa {
        Isa::Portable => |sum, a, b| sum + a * b,
        _ => |sum, a, b| a.mul_add(b, sum),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn dense_products_have_the_bits_of_one_chain_over_ascending_terms(
        dense in Dense::any(), offset in 0..3_usize, seed: u64,
    ) {
        let Dense { rows, outputs, terms, transposed, store } = dense;
        let [a, b, c] = dense.numbers(offset, seed);
        let a = operand(&a[offset..], rows, terms, transposed[0]);
        let b = operand(&b[offset..], outputs, terms, transposed[1]);
        let start = dense.start(&c);
        let exact = oracle::dense(a, b, &start);
        on_every_isa(|kernels| {
            // What is not to be read is not a number.
            let mut found = if store == Store::Set { vec![f32::NAN; c.len()] } else { c.clone() };
            kernels.matmul_dense(a, b, &mut found, store).unwrap();
            assert_within(&found, &exact, terms);
            let expected = oracle::dense_chain(a, b, &start, add(kernels.isa()));
            assert_eq!(bits(&found), bits(&expected));
        });
    }

    #[test]
    fn a_single_row_has_the_bits_of_one_chain_too(
        outputs in 0..=130_usize, terms in 0..=300_usize, offset in 0..3_usize,
        is_added in prop::bool::ANY, seed: u64,
    ) {
        let store = if is_added { Store::Add } else { Store::Set };
        let dense = Dense { rows: 1, outputs, terms, transposed: [false; 2], store };
        let [a, b, c] = dense.numbers(offset, seed);
        let a = operand(&a[offset..], 1, terms, false);
        let b = operand(&b[offset..], outputs, terms, false);
        let start = dense.start(&c);
        on_every_isa(|kernels| {
            let mut found = if is_added { c.clone() } else { vec![f32::NAN; c.len()] };
            kernels.matmul_dense(a, b, &mut found, store).unwrap();
            let expected = oracle::dense_chain(a, b, &start, add(kernels.isa()));
            assert_eq!(bits(&found), bits(&expected));
        });
    }

    #[test]
    fn products_with_trits_are_added_to_outputs_as_further_terms(
        shape in Shape::any(), kind in any_kind(), seed: u64,
    ) {
        let mut numbers = Numbers::new(seed);
        let matrix = shape.matrix(kind, &mut numbers);
        let (tokens, rows, cols) = (shape.tokens, shape.rows, shape.cols());
        let x = floats(tokens * cols, &mut numbers);
        let dy = floats(tokens * rows, &mut numbers);
        let weights = matrix.to_f32();
        let weights = DenseOperand::new(&weights, rows, cols).unwrap();
        let over_columns = DenseOperand::new(&x, tokens, cols).unwrap();
        let over_rows = DenseOperand::new(&dy, tokens, rows).unwrap();
        on_every_isa(|kernels| {
            let chain = |a, b, c: &[f32]| bits(&oracle::dense_chain(a, b, c, add(kernels.isa())));
            let mut y = dy.clone();
            kernels.matmul_f32(&x, tokens, &matrix, &mut y, Store::Add).unwrap();
            assert_eq!(bits(&y), chain(over_columns, weights, &dy));
            let mut dx = x.clone();
            kernels.matmul_f32_transposed(&dy, tokens, &matrix, &mut dx, Store::Add).unwrap();
            assert_eq!(bits(&dx), chain(over_rows, weights.transposed(), &x));
        });
    }
}

#[test]
fn long_sums_have_the_same_bits_for_one_row_and_for_many_on_any_number_of_threads() {
    // More terms than a part, tall and wide shapes, rows that are powers of two apart.
    let shapes =
        [(1, 300, 3_000), (300, 20, 2_500), (131, 70, 1_025), (64, 128, 2_048), (9, 1, 5_000)];
    for (seed, (rows, outputs, terms)) in (1..).zip(shapes) {
        for transposed in [[false, false], [false, true], [true, false], [true, true]] {
            for store in [Store::Set, Store::Add] {
                let dense = Dense { rows, outputs, terms, transposed, store };
                let [a, b, c] = dense.numbers(0, seed);
                let a = operand(&a, rows, terms, transposed[0]);
                let b = operand(&b, outputs, terms, transposed[1]);
                let start = dense.start(&c);
                let exact = oracle::dense(a, b, &start);
                for isa in Isa::available() {
                    let kernels = Kernels::new(isa).unwrap();
                    let expected = bits(&oracle::dense_chain(a, b, &start, add(isa)));
                    for threads in [1, 2, 3, 8] {
                        let mut found = c.clone();
                        in_pool(threads, || kernels.matmul_dense(a, b, &mut found, store)).unwrap();
                        assert!(bits(&found) == expected, "{dense:?}, {isa}, {threads} threads");
                        assert_within(&found, &exact, terms);
                    }
                    let row = rows / 2;
                    let alone: Vec<f32> = (0..terms).map(|k| a.at(row, k)).collect();
                    let alone = DenseOperand::new(&alone, 1, terms).unwrap();
                    let (from, to) = (row * outputs, (row + 1) * outputs);
                    let mut found = c[from..to].to_vec();
                    kernels.matmul_dense(alone, b, &mut found, store).unwrap();
                    assert!(bits(&found) == expected[from..to], "{dense:?}, {isa}, row {row}");
                }
            }
        }
    }
}

#[test]
fn numbers_that_are_not_finite_reach_their_own_row_and_column_only() {
    let (rows, outputs, terms) = (30, 40, 50);
    let dense = Dense { rows, outputs, terms, transposed: [false, true], store: Store::Set };
    let [mut a, b, mut c] = dense.numbers(0, 3);
    a[17 * terms + 49] = f32::NAN;
    let (a, b) = (operand(&a, rows, terms, false), operand(&b, outputs, terms, true));
    for isa in Isa::available() {
        Kernels::new(isa).unwrap().matmul_dense(a, b, &mut c, Store::Set).unwrap();
        assert!(c.iter().enumerate().all(|(i, c)| c.is_nan() == (i / outputs == 17)), "{isa}");
    }
}
