//! Properties of all the foreign layouts, with any trits, any shape and any bytes.

use half::f16;
use proptest::prelude::*;
use ternary_core::foreign::hugging_face::{self, WeightScale};
use ternary_core::foreign::{GgmlFormat, i2_s, q2_0, tq1_0, tq2_0};
use ternary_core::{Error, Granularity, Packing, Scales, TernaryMatrix};

fn any_format() -> impl Strategy<Value = GgmlFormat> {
    prop::sample::select(&GgmlFormat::ALL[..])
}

fn any_packing() -> impl Strategy<Value = Packing> {
    prop::sample::select(&Packing::ALL[..])
}

fn trits(count: usize) -> impl Strategy<Value = Vec<i8>> {
    prop::collection::vec(-1..=1_i8, count)
}

/// Every finite f16 without a sign, widened: 0 and the subnormal ones too.
fn f16_scales(count: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(0..=f16::MAX.to_bits(), count)
        .prop_map(|bits| bits.into_iter().map(|bits| f16::from_bits(bits).to_f32()).collect())
}

/// A matrix whose scales are one for each block of a format.
fn blocks() -> impl Strategy<Value = (GgmlFormat, TernaryMatrix)> {
    (any_format(), any_packing(), 0..4_usize, 0..4_usize).prop_flat_map(
        |(format, packing, rows, blocks)| {
            let cols = blocks * format.block();
            (trits(rows * cols), f16_scales(rows * blocks)).prop_map(move |(trits, scales)| {
                let group = Granularity::group(format.block()).unwrap();
                let scales = Scales::symmetric(group, scales).unwrap();
                let matrix = TernaryMatrix::from_trits(rows, cols, &trits, scales, packing);
                (format, matrix.unwrap())
            })
        },
    )
}

/// A matrix with one scale for the tensor.
fn one_scale(
    rows: impl Strategy<Value = usize>,
    cols: impl Strategy<Value = usize>,
) -> impl Strategy<Value = TernaryMatrix> {
    (rows, cols, any_packing(), 0.0..1e30_f32).prop_flat_map(|(rows, cols, packing, scale)| {
        trits(rows * cols).prop_map(move |trits| {
            let scales = Scales::tensor(scale).unwrap();
            TernaryMatrix::from_trits(rows, cols, &trits, scales, packing).unwrap()
        })
    })
}

fn bits(matrix: &TernaryMatrix) -> Vec<u32> {
    matrix.to_f32().iter().map(|weight| weight.to_bits()).collect()
}

proptest! {
    #[test]
    fn blocks_come_back_as_they_were((format, matrix) in blocks()) {
        let (rows, cols) = (matrix.rows(), matrix.cols());
        let bytes = format.encode_matrix(&matrix).unwrap();
        prop_assert_eq!(bytes.len(), format.size_bytes(rows, cols).unwrap());
        let read = format.decode_matrix(rows, cols, &bytes, matrix.packing()).unwrap();
        prop_assert_eq!(bits(&read), bits(&matrix));
        prop_assert_eq!(&read, &matrix);

        let (trits, scales) = format.decode(rows, cols, &bytes).unwrap();
        prop_assert_eq!(&trits, &matrix.to_trits());
        prop_assert_eq!(&scales[..], matrix.scales().positive());
        prop_assert_eq!(format.encode(rows, cols, &trits, &scales).unwrap(), bytes);
    }

    /// What is accepted has one form only, so a changed byte is a change of what is read, or is
    /// refused where it stands.
    #[test]
    fn a_changed_byte_is_read_as_such_or_refused_in_its_place(
        (format, matrix) in blocks(),
        place in any::<prop::sample::Index>(),
        byte: u8,
    ) {
        let (rows, cols) = (matrix.rows(), matrix.cols());
        let mut bytes = format.encode_matrix(&matrix).unwrap();
        prop_assume!(!bytes.is_empty());
        let place = place.index(bytes.len());
        bytes[place] = byte;
        match format.decode_matrix(rows, cols, &bytes, Packing::TwoBit) {
            Ok(read) => prop_assert_eq!(format.encode_matrix(&read).unwrap(), bytes),
            Err(Error::InvalidCode { position, code, .. }) => {
                prop_assert_eq!((position, code), (place, byte));
            }
            Err(Error::NonFinite { index, .. } | Error::OutOfRange { index, .. }) => {
                prop_assert_eq!(index, place / format.block_bytes());
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn any_bytes_under_any_shape_are_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 1..300),
        rows in prop_oneof![0..9_usize, Just(usize::MAX), any::<usize>()],
        cols in prop_oneof![
            4 => (0..9_usize).prop_map(|blocks| 64 * blocks),
            1 => Just(usize::MAX - 255),
            1 => any::<usize>(),
        ],
        stored: f32,
    ) {
        // As many bytes as the shape needs where that is a small number, else the wrong number.
        let fit = |size: Result<usize, Error>| match size {
            Ok(size) if size < 10_000 => bytes.iter().copied().cycle().take(size).collect(),
            _ => bytes.clone(),
        };
        for format in GgmlFormat::ALL {
            let bytes = fit(format.size_bytes(rows, cols));
            if let Ok(read) = format.decode_matrix(rows, cols, &bytes, Packing::TwoBit) {
                prop_assert_eq!(&format.encode_matrix(&read).unwrap(), &bytes);
            }
        }
        let wide = fit(i2_s::size_bytes(rows, cols));
        if let Ok(read) = i2_s::decode_matrix(rows, cols, &wide, Packing::FiveTrits) {
            let codes = wide.len() - i2_s::TAIL_BYTES + 4;
            prop_assert_eq!(&i2_s::encode_matrix(&read).unwrap()[..codes], &wide[..codes]);
        }
        let tall = fit(hugging_face::size_bytes(rows, cols));
        for convention in [WeightScale::Multiply, WeightScale::Divide] {
            let read = hugging_face::decode_matrix(
                rows, cols, &tall, stored, convention, Packing::TwoBit,
            );
            if let Ok(read) = read {
                let trits = read.to_trits();
                prop_assert_eq!(&hugging_face::encode(rows, cols, &trits).unwrap(), &tall);
            }
        }
    }

    #[test]
    fn valid_two_bit_codes_are_read_by_every_two_bit_layout(
        codes in prop::collection::vec(0..3_u8, 4 * 64),
    ) {
        let mut bytes: Vec<u8> = codes
            .chunks_exact(4)
            .map(|c| c[0] | (c[1] << 2) | (c[2] << 4) | (c[3] << 6))
            .collect();
        let trits = hugging_face::decode(8, 32, &bytes).unwrap();
        prop_assert_eq!(&hugging_face::encode(8, 32, &trits).unwrap(), &bytes);
        bytes.extend([0; 32]);
        let (trits, scale) = i2_s::decode(2, 128, &bytes).unwrap();
        prop_assert_eq!(&i2_s::encode(2, 128, &trits, scale).unwrap(), &bytes);
    }

    #[test]
    fn i2_s_comes_back_as_it_was(
        matrix in one_scale(0..5_usize, (0..4_usize).prop_map(|blocks| 128 * blocks)),
    ) {
        let (rows, cols) = (matrix.rows(), matrix.cols());
        let bytes = i2_s::encode_matrix(&matrix).unwrap();
        prop_assert_eq!(bytes.len(), i2_s::size_bytes(rows, cols).unwrap());
        let read = i2_s::decode_matrix(rows, cols, &bytes, matrix.packing()).unwrap();
        prop_assert_eq!(read, matrix);
    }

    #[test]
    fn hugging_face_comes_back_as_it_was(
        matrix in one_scale((0..6_usize).prop_map(|four| 4 * four), 0..20_usize),
    ) {
        let (rows, cols) = (matrix.rows(), matrix.cols());
        let (bytes, stored) = hugging_face::encode_matrix(&matrix, WeightScale::Multiply).unwrap();
        prop_assert_eq!(bytes.len(), hugging_face::size_bytes(rows, cols).unwrap());
        let read = hugging_face::decode_matrix(
            rows, cols, &bytes, stored, WeightScale::Multiply, matrix.packing(),
        );
        prop_assert_eq!(read.unwrap(), matrix);
    }
}

#[test]
fn the_formats_have_the_sizes_and_numbers_of_ggml() {
    let found = GgmlFormat::ALL.map(|f| (f.name(), f.type_id(), f.block(), f.block_bytes()));
    let expected = [("TQ1_0", 34, 256, 54), ("TQ2_0", 35, 256, 66), ("Q2_0", 42, 64, 18)];
    assert_eq!(found, expected);
    let pages = [
        (tq1_0::BLOCK, tq1_0::BLOCK_BYTES),
        (tq2_0::BLOCK, tq2_0::BLOCK_BYTES),
        (q2_0::BLOCK, q2_0::BLOCK_BYTES),
    ];
    assert_eq!(pages, expected.map(|(_, _, block, bytes)| (block, bytes)));
}

#[test]
fn the_scale_stands_at_the_end_of_a_tq_block_and_at_the_start_of_a_q2_0_block() {
    let scale = f16::from_f32(0.3).to_le_bytes();
    for format in GgmlFormat::ALL {
        let cols = format.block();
        let bytes = format.encode(1, cols, &vec![-1; cols], &[0.3]).unwrap();
        let at = if format == GgmlFormat::Q2_0 { 0 } else { bytes.len() - 2 };
        assert_eq!(bytes[at..at + 2], scale, "{format:?}");
        assert_eq!(bytes.iter().filter(|&&byte| byte != 0).count(), 2, "{format:?}");
    }
}

#[test]
fn a_scale_of_zero_is_read_whatever_the_codes() {
    for format in GgmlFormat::ALL {
        let cols = format.block();
        let trits: Vec<i8> = (0..cols).map(|i| [1, 0, -1][i % 3]).collect();
        let bytes = format.encode(1, cols, &trits, &[0.0]).unwrap();
        let read = format.decode_matrix(1, cols, &bytes, Packing::TwoBit).unwrap();
        assert_eq!(read.to_trits(), trits);
        // Zeros as ggml computes them, with the sign of the trit.
        let expected = trits.iter().map(|&trit| (0.0 * f32::from(trit)).to_bits());
        assert_eq!(bits(&read), expected.collect::<Vec<_>>());
    }
}

#[test]
fn a_block_of_zeros_keeps_its_scale() {
    for format in GgmlFormat::ALL {
        let cols = 2 * format.block();
        let scales = Scales::symmetric(Granularity::Row, vec![0.5, 4.0]).unwrap();
        let zeros = TernaryMatrix::from_trits(2, cols, &vec![0; 2 * cols], scales, Packing::TwoBit);
        let bytes = format.encode_matrix(&zeros.unwrap()).unwrap();
        let (_, scales) = format.decode(2, cols, &bytes).unwrap();
        assert_eq!(scales, [0.5, 0.5, 4.0, 4.0]);
    }
}

#[test]
fn shapes_and_lengths_that_do_not_fit_are_refused() {
    for format in GgmlFormat::ALL {
        let (block, name) = (format.block(), format.name());
        let error = Error::Block { what: name, block, found: block + 32 };
        assert_eq!(format.decode(1, block + 32, &[]), Err(error.clone()));
        assert_eq!(format.encode(1, block + 32, &vec![0; block + 32], &[1.0]), Err(error));
        let bytes = vec![0; format.block_bytes() + 1];
        let error = Error::Length { what: name, expected: bytes.len() - 1, found: bytes.len() };
        assert_eq!(format.decode(1, block, &bytes), Err(error));
        let lengths = [
            format.encode(1, block, &vec![0; block - 1], &[1.0]),
            format.encode(1, block, &vec![0; block], &[]),
        ];
        assert!(lengths.iter().all(|l| matches!(l, Err(Error::Length { .. }))), "{lengths:?}");
        let overflow = format.size_bytes(usize::MAX, block);
        assert_eq!(overflow, Err(Error::ShapeOverflow { rows: usize::MAX, cols: block }));
        let mut trits = vec![0; block];
        trits[5] = 2;
        let bad = format.encode(1, block, &trits, &[1.0]);
        assert!(matches!(bad, Err(Error::OutOfRange { index: 5, .. })), "{bad:?}");
    }
}

#[test]
fn the_index_of_a_scale_that_f16_cannot_hold_is_that_among_the_matrix_scales() {
    let group = Granularity::group(512).unwrap();
    let scales = Scales::symmetric(group, vec![1.0, 1e5]).unwrap();
    let matrix = TernaryMatrix::from_trits(2, 512, &[1; 1024], scales, Packing::TwoBit).unwrap();
    for format in GgmlFormat::ALL {
        let error = format.encode_matrix(&matrix).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { index: 1, .. }), "{error}");
    }
}
