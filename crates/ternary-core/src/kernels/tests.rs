//! Every kernel on every instruction set of this processor against its naive oracle.

use std::num::{NonZeroU64, NonZeroUsize};

use proptest::prelude::*;

use super::{DenseOperand, Isa, Kernels, QuantizedRows, Store, oracle};
use crate::TernaryMatrix;
use crate::noise::Noise;
use crate::packing::{Layout, PackedTrits, Packing};
use crate::scales::{Granularity, Scales};

mod bf16;
mod dense;
mod refusals;
mod requantisation;
mod threads;

/// A stream of test numbers.
struct Numbers {
    noise: Noise,
    next: u64,
}

impl Numbers {
    fn new(seed: u64) -> Self {
        Self { noise: Noise::new(seed, 0, 0), next: 0 }
    }

    /// An integer below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.next += 1;
        self.noise.below(self.next, NonZeroU64::new(n).unwrap())
    }

    /// A float in −1 ‥ 1 times a magnitude that varies.
    fn float(&mut self) -> f32 {
        let magnitude = [1.0, 0.25, 4.0, 1e-3][self.below(4) as usize];
        (self.below(1 << 24) as f32 / (1 << 23) as f32 - 1.0) * magnitude
    }
}

/// Which instruction sets ran on this thread.
pub(crate) mod ran {
    use super::Isa;
    use std::cell::Cell;

    thread_local! {
        static LAST: Cell<Option<Isa>> = const { Cell::new(None) };
    }

    pub(crate) fn record(isa: Isa) {
        LAST.set(Some(isa));
    }

    /// The instruction set of the last kernel, forgetting it.
    pub(crate) fn last() -> Option<Isa> {
        LAST.take()
    }
}

/// Calls `check` with each instruction set's kernels, and asserts that they ran.
fn on_every_isa(check: impl Fn(Kernels)) {
    for isa in Isa::available() {
        ran::last();
        check(Kernels::new(isa).unwrap());
        // `None` where the shape left nothing to compute.
        assert!(ran::last().unwrap_or(isa) == isa, "the kernels of {isa} were asked for");
    }
}

/// A product's shape: tokens, rows, segments and their columns, packing.
#[derive(Debug, Clone, Copy)]
struct Shape {
    tokens: usize,
    rows: usize,
    segments: usize,
    segment: usize,
    packing: Packing,
}

impl Shape {
    fn cols(&self) -> usize {
        self.segments * self.segment
    }

    fn any() -> impl Strategy<Value = Self> {
        let widths = prop_oneof![(Just(1_usize), 0..258_usize), (0..5_usize, 1..70_usize)];
        (0..30_usize, 0..90_usize, widths, prop::bool::ANY).prop_map(
            |(tokens, rows, (segments, segment), two_bit)| Self {
                tokens,
                rows,
                segments,
                segment,
                packing: if two_bit { Packing::TwoBit } else { Packing::FiveTrits },
            },
        )
    }

    fn trits(&self, numbers: &mut Numbers) -> PackedTrits {
        let layout = Layout::new(self.rows, self.cols(), self.segment, self.packing).unwrap();
        let trits: Vec<i8> =
            (0..self.rows * self.cols()).map(|_| (numbers.below(3) as i8) - 1).collect();
        PackedTrits::from_trits(layout, &trits).unwrap()
    }

    fn matrix(&self, kind: Kind, numbers: &mut Numbers) -> TernaryMatrix {
        let granularity = match (self.segments, NonZeroUsize::new(self.segment), kind) {
            (1, _, Kind { tensor: true, .. }) => Granularity::Tensor,
            (1, _, _) => Granularity::Row,
            (_, Some(group), _) => Granularity::Group(group),
            (_, None, _) => Granularity::Row,
        };
        let count = granularity.count(self.rows, self.cols()).unwrap();
        let mut values = || (0..count).map(|_| numbers.float().abs()).collect::<Vec<_>>();
        let scales = if kind.asymmetric {
            Scales::asymmetric(granularity, values(), values()).unwrap()
        } else {
            Scales::symmetric(granularity, values()).unwrap()
        };
        TernaryMatrix::new(self.trits(numbers), scales).unwrap()
    }
}

/// What scales a matrix has, where its segments leave a choice.
#[derive(Debug, Clone, Copy)]
struct Kind {
    tensor: bool,
    asymmetric: bool,
}

fn any_kind() -> impl Strategy<Value = Kind> {
    (prop::bool::ANY, prop::bool::ANY).prop_map(|(tensor, asymmetric)| Kind { tensor, asymmetric })
}

fn bytes(count: usize, numbers: &mut Numbers) -> Vec<i8> {
    (0..count).map(|_| numbers.below(256) as u8 as i8).collect()
}

fn floats(count: usize, numbers: &mut Numbers) -> Vec<f32> {
    (0..count).map(|_| numbers.float()).collect()
}

/// As 64-bit integers, for comparison with the oracles.
fn wide(sums: &[i32]) -> Vec<i64> {
    sums.iter().map(|&sum| i64::from(sum)).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn int8_sums_are_exact(shape in Shape::any(), offset in 0..4_usize, seed: u64) {
        let mut numbers = Numbers::new(seed);
        let trits = shape.trits(&mut numbers);
        let x = bytes(offset + shape.tokens * shape.cols(), &mut numbers);
        let x = &x[offset..];
        let expected = oracle::sums(x, shape.tokens, &trits);
        on_every_isa(|kernels| {
            let mut sums = vec![i32::MIN; shape.tokens * shape.rows];
            kernels.sums_i8(x, shape.tokens, &trits, &mut sums).unwrap();
            assert_eq!(wide(&sums), expected);
        });
    }

    #[test]
    fn scaled_int8_products_have_the_bits_of_their_formula(
        shape in Shape::any(), kind in any_kind(), seed: u64,
    ) {
        let mut numbers = Numbers::new(seed);
        let matrix = shape.matrix(kind, &mut numbers);
        let codes = bytes(shape.tokens * shape.cols(), &mut numbers);
        let scales: Vec<f32> = floats(shape.tokens, &mut numbers).iter().map(|s| s.abs()).collect();
        let expected = oracle::scaled(&codes, &scales, &matrix);
        let x = QuantizedRows::from_parts(shape.tokens, shape.cols(), codes, scales).unwrap();
        on_every_isa(|kernels| {
            let mut y = vec![f32::NAN; shape.tokens * shape.rows];
            kernels.matmul_i8(&x, &matrix, &mut y).unwrap();
            assert_eq!(bits(&y), bits(&expected));
        });
    }

    #[test]
    fn int16_sums_are_exact_in_both_directions(
        shape in Shape::any(), offset in 0..3_usize, seed: u64,
    ) {
        let mut numbers = Numbers::new(seed);
        let trits = shape.trits(&mut numbers);
        let longest = shape.cols().max(shape.rows);
        let x: Vec<i16> = (0..offset + shape.tokens * longest)
            .map(|_| (numbers.below(65_535) as i32 - 32_767) as i16)
            .collect();
        let over_columns = &x[offset..][..shape.tokens * shape.cols()];
        let over_rows = &x[offset..][..shape.tokens * shape.rows];
        on_every_isa(|kernels| {
            let mut sums = vec![i32::MIN; shape.tokens * shape.rows];
            kernels.sums_i16(over_columns, shape.tokens, &trits, &mut sums).unwrap();
            assert_eq!(wide(&sums), oracle::sums(over_columns, shape.tokens, &trits));
            let mut sums = vec![i32::MIN; shape.tokens * shape.cols()];
            kernels.sums_i16_transposed(over_rows, shape.tokens, &trits, &mut sums).unwrap();
            assert_eq!(wide(&sums), oracle::sums_transposed(over_rows, shape.tokens, &trits));
        });
    }

    #[test]
    fn float_products_are_within_the_bound_of_their_length(
        shape in Shape::any(), kind in any_kind(), offset in 0..3_usize, seed: u64,
    ) {
        let mut numbers = Numbers::new(seed);
        let matrix = shape.matrix(kind, &mut numbers);
        let x = floats(offset + shape.tokens * shape.cols(), &mut numbers);
        let dy = floats(offset + shape.tokens * shape.rows, &mut numbers);
        on_every_isa(|kernels| {
            let mut y = vec![f32::NAN; shape.tokens * shape.rows];
            kernels.matmul_f32(&x[offset..], shape.tokens, &matrix, &mut y, Store::Set).unwrap();
            let expected = oracle::product(&x[offset..], shape.tokens, &matrix);
            assert_within(&y, &expected, shape.cols());
            let mut dx = vec![f32::NAN; shape.tokens * shape.cols()];
            kernels.matmul_f32_transposed(&dy[offset..], shape.tokens, &matrix, &mut dx, Store::Set).unwrap();
            let expected = oracle::product_transposed(&dy[offset..], shape.tokens, &matrix);
            assert_within(&dx, &expected, shape.rows);
        });
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_in_company(
        shape in Shape::any(), kind in any_kind(), seed: u64,
    ) {
        let mut numbers = Numbers::new(seed);
        let matrix = shape.matrix(kind, &mut numbers);
        let (cols, rows) = (shape.cols(), shape.rows);
        let x = floats(shape.tokens * cols, &mut numbers);
        let dy = floats(shape.tokens * rows, &mut numbers);
        on_every_isa(|kernels| {
            let mut y = vec![f32::NAN; shape.tokens * rows];
            kernels.matmul_f32(&x, shape.tokens, &matrix, &mut y, Store::Set).unwrap();
            let mut dx = vec![f32::NAN; shape.tokens * cols];
            kernels.matmul_f32_transposed(&dy, shape.tokens, &matrix, &mut dx, Store::Set).unwrap();
            for token in 0..shape.tokens {
                let mut alone = vec![f32::NAN; rows];
                kernels.matmul_f32(&x[token * cols..][..cols], 1, &matrix, &mut alone, Store::Set).unwrap();
                assert_eq!(bits(&alone), bits(&y[token * rows..][..rows]));
                let mut alone = vec![f32::NAN; cols];
                let dy = &dy[token * rows..][..rows];
                kernels.matmul_f32_transposed(dy, 1, &matrix, &mut alone, Store::Set).unwrap();
                assert_eq!(bits(&alone), bits(&dx[token * cols..][..cols]));
            }
        });
    }

    #[test]
    fn activation_codes_are_those_of_the_naive_formula(
        rows in 0..5_usize, cols in 1..258_usize, offset in 0..3_usize, seed: u64,
    ) {
        let mut numbers = Numbers::new(seed);
        let x = floats(offset + rows * cols, &mut numbers);
        let x = &x[offset..];
        let mut expected = QuantizedRows::new();
        for (row, x) in x.chunks_exact(cols).enumerate() {
            let absmax = x.iter().fold(1e-5_f32, |max, x| max.max(x.abs()));
            let (codes, scales) = expected.reshape(row + 1, cols);
            scales[row] = absmax / 127.0;
            for (code, x) in codes[row * cols..].iter_mut().zip(x) {
                *code = (x * (127.0 / absmax)).round_ties_even().clamp(-128.0, 127.0) as i8;
            }
        }
        on_every_isa(|kernels| {
            let mut found = QuantizedRows::new();
            kernels.quantize_rows(x, rows, &mut found).unwrap();
            assert_eq!(found.codes(), expected.codes());
            assert_eq!(bits(found.scales()), bits(expected.scales()));
        });
    }
}

/// Summed one after the other, n products err by at most n·ε/(1 − n·ε) · Σ|terms| (Higham, Accuracy
/// and Stability of Numerical Algorithms, §3.1), ε half a unit in the last place.
fn assert_within(found: &[f32], expected: &[(f64, f64)], terms: usize) {
    let epsilon = f64::from(f32::EPSILON) / 2.0 * (terms + 1) as f64;
    assert_eq!(found.len(), expected.len());
    for (&found, &(sum, size)) in found.iter().zip(expected) {
        let bound = epsilon / (1.0 - epsilon) * size;
        assert!((f64::from(found) - sum).abs() <= bound, "{found} for {sum} ± {bound}");
    }
}

#[test]
fn the_longest_sums_of_extremes_are_exact() {
    const LENGTH: usize = 65_536;
    for packing in Packing::ALL {
        for tokens in [1, 5] {
            let layout = Layout::new(17, LENGTH, LENGTH, packing).unwrap();
            for (trit, x) in [(1, 127_i8), (1, -128), (-1, -128), (-1, 127)] {
                let trits = PackedTrits::from_trits(layout, &vec![trit; 17 * LENGTH]).unwrap();
                let activations = vec![x; tokens * LENGTH];
                let pair: i16 = if x > 0 { i16::MAX } else { -i16::MAX };
                let pairs = vec![pair; tokens * LENGTH];
                let over_rows = trits.transpose(17).unwrap();
                on_every_isa(|kernels| {
                    let mut sums = vec![0; tokens * 17];
                    kernels.sums_i8(&activations, tokens, &trits, &mut sums).unwrap();
                    let expected = LENGTH as i32 * i32::from(trit) * i32::from(x);
                    assert!(sums.iter().all(|&sum| sum == expected), "{packing:?} {trit} {x}");
                    if packing == Packing::TwoBit && tokens == 5 {
                        let expected = LENGTH as i32 * i32::from(trit) * i32::from(pairs[0]);
                        kernels.sums_i16(&pairs, tokens, &trits, &mut sums).unwrap();
                        assert!(sums.iter().all(|&sum| sum == expected));
                        sums.fill(0);
                        kernels.sums_i16_transposed(&pairs, tokens, &over_rows, &mut sums).unwrap();
                        assert!(sums.iter().all(|&sum| sum == expected));
                    }
                });
            }
        }
    }
}

#[test]
fn the_longest_int8_sum_there_is_fills_32_bits_and_is_exact() {
    const LENGTH: usize = (1 << 24) - 1;
    let layout = Layout::new(1, LENGTH, LENGTH, Packing::FiveTrits).unwrap();
    let trits = PackedTrits::from_trits(layout, &vec![1; LENGTH]).unwrap();
    let x = vec![-128; LENGTH];
    on_every_isa(|kernels| {
        let mut sums = [0];
        kernels.sums_i8(&x, 1, &trits, &mut sums).unwrap();
        assert_eq!(sums, [i32::MIN + 128]);
    });
}
