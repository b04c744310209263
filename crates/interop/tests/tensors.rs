//! Files of tensors: the round trip, and the format's own implementation as a second reader.

use half::bf16;
use interop::{Problem, Tensor, Tensors};
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use ternary_core::{Granularity, Packing, Scales, TernaryMatrix};

/// Any ternary matrix: shapes that divide nothing, both packings, all granularities, both kinds of
/// scales, empty ones too.
fn any_matrix() -> impl Strategy<Value = TernaryMatrix> {
    let shape = (0..20_usize, 0..5_usize, 1..9_usize, 0..3_usize);
    shape.prop_flat_map(|(rows, groups, group, kind)| {
        let cols = groups * group;
        let granularity =
            [Granularity::Tensor, Granularity::Row, Granularity::group(group).unwrap()][kind];
        let count = granularity.count(rows, cols).unwrap();
        // Any finite number with a clear sign bit, the subnormal ones included.
        let scales = || prop::collection::vec((0..0x7f80_0000_u32).prop_map(f32::from_bits), count);
        let trits = prop::collection::vec(-1..=1_i8, rows * cols);
        (trits, scales(), scales(), any::<bool>(), any::<bool>()).prop_map(
            move |(trits, negative, positive, symmetric, two_bit)| {
                let scales = if symmetric {
                    Scales::symmetric(granularity, negative)
                } else {
                    Scales::asymmetric(granularity, negative, positive)
                };
                let packing = if two_bit { Packing::TwoBit } else { Packing::FiveTrits };
                TernaryMatrix::from_trits(rows, cols, &trits, scales.unwrap(), packing).unwrap()
            },
        )
    })
}

fn any_reals() -> impl Strategy<Value = (Vec<usize>, Vec<f32>)> {
    prop::collection::vec(0..4_usize, 0..4).prop_flat_map(|shape| {
        let number = any::<u32>().prop_map(f32::from_bits);
        let finite = number.prop_filter("finite", |value| value.is_finite());
        let values = prop::collection::vec(finite, shape.iter().product::<usize>());
        (Just(shape), values)
    })
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn file(tensors: &Tensors) -> Vec<u8> {
    let mut file = Vec::new();
    tensors.write(&mut file).unwrap();
    file
}

proptest! {
    #[test]
    fn what_was_written_is_read_bit_for_bit(
        matrices in prop::collection::vec(any_matrix(), 0..4),
        reals in prop::collection::vec(any_reals(), 0..4),
    ) {
        let mut tensors = Tensors::new();
        for (index, matrix) in matrices.iter().enumerate() {
            tensors.insert_ternary(&format!("layers.{index}.up.weight"), matrix.clone()).unwrap();
        }
        for (index, (shape, values)) in reals.iter().enumerate() {
            tensors.insert_real(&format!("{index} \"норма\"\n"), shape, values.clone()).unwrap();
        }
        let written = file(&tensors);
        let read = Tensors::from_bytes(&written).unwrap();
        prop_assert_eq!(&read, &tensors);
        // Equal numbers may differ in the sign of a zero, so the bits are compared too.
        for (name, tensor) in read.iter() {
            match (tensor, tensors.get(name).unwrap()) {
                (Tensor::Real { values, .. }, Tensor::Real { values: expected, .. }) => {
                    prop_assert_eq!(bits(values), bits(expected));
                }
                (Tensor::Ternary(found), Tensor::Ternary(expected)) => {
                    let (found, expected) = (found.scales(), expected.scales());
                    prop_assert_eq!(bits(found.negative()), bits(expected.negative()));
                    prop_assert_eq!(bits(found.positive()), bits(expected.positive()));
                }
                _ => prop_assert!(false, "{name} changed its kind"),
            }
        }
        prop_assert_eq!(file(&read), written);
    }

    #[test]
    fn the_formats_own_implementation_reads_the_same_trits_and_scales(matrix in any_matrix()) {
        let mut tensors = Tensors::new();
        tensors.insert_ternary("w", matrix.clone()).unwrap();
        let written = file(&tensors);
        let read = SafeTensors::deserialize(&written).unwrap();
        let codes = read.tensor("w").unwrap();
        let (rows, cols, packing) = (matrix.rows(), matrix.cols(), matrix.packing());
        let row_bytes = cols.div_ceil(packing.trits_per_byte());
        prop_assert_eq!(codes.shape(), [rows, row_bytes]);
        for row in 0..rows {
            for col in 0..cols {
                let (byte, digit) = (col / packing.trits_per_byte(), col % packing.trits_per_byte());
                let byte = u32::from(codes.data()[row * row_bytes + byte]);
                let code = match packing {
                    Packing::TwoBit => byte >> (2 * digit) & 3,
                    // Digit n of a fraction of 256 in base 3.
                    Packing::FiveTrits => byte * 3_u32.pow(digit as u32) % 256 * 3 / 256,
                };
                prop_assert_eq!(code as i32 - 1, i32::from(matrix.codes().get(row, col)));
            }
        }
        let scales = |name| read.tensor(name).unwrap().data().to_vec();
        let expected = |values: &[f32]| -> Vec<u8> {
            values.iter().flat_map(|value| value.to_le_bytes()).collect()
        };
        if matrix.scales().is_symmetric() {
            prop_assert_eq!(scales("w_scale"), expected(matrix.scales().positive()));
        } else {
            prop_assert_eq!(scales("w_scale_negative"), expected(matrix.scales().negative()));
            prop_assert_eq!(scales("w_scale_positive"), expected(matrix.scales().positive()));
        }
    }
}

#[test]
fn real_tensors_are_written_byte_for_byte_like_the_formats_own_implementation_does() {
    let values: Vec<f32> = (0..6).map(|i| i as f32 - 2.5).collect();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut tensors = Tensors::new();
    let shapes: [(&str, &[usize]); 3] = [("b", &[2, 3]), ("a", &[6]), ("ab", &[1, 6, 1])];
    for (name, shape) in shapes {
        tensors.insert_real(name, shape, values.clone()).unwrap();
    }
    let view = |shape: &[usize]| TensorView::new(Dtype::F32, shape.to_vec(), &bytes).unwrap();
    let metadata = Some([("format".to_owned(), "ternary-1".to_owned())].into());
    let theirs = serialize(shapes.map(|(name, shape)| (name, view(shape))), metadata).unwrap();
    assert_eq!(file(&tensors), theirs);
}

#[test]
fn the_example_of_the_documentation_has_its_bytes() {
    let trits = [1, 0, -1, 0, 1, 1, -1, -1, 0, 1, 0, 1];
    let scales = Scales::tensor(0.5).unwrap();
    let matrix = TernaryMatrix::from_trits(2, 6, &trits, scales, Packing::TwoBit).unwrap();
    let mut tensors = Tensors::new();
    tensors.insert_ternary("up", matrix).unwrap();
    tensors.insert_real("norm", &[2], vec![1.0, 2.0]).unwrap();
    let header = concat!(
        r#"{"__metadata__":{"format":"ternary-1","up":"2x6 two-bit tensor symmetric"},"#,
        r#""norm":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"#,
        r#""up_scale":{"dtype":"F32","shape":[],"data_offsets":[8,12]},"#,
        r#""up":{"dtype":"U8","shape":[2,2],"data_offsets":[12,16]}}"#,
    );
    let data = [0, 0, 0x80, 0x3f, 0, 0, 0, 0x40, 0, 0, 0, 0x3f, 0x46, 0x5a, 0x90, 0x59];
    let expected = [&[0xf8, 0, 0, 0, 0, 0, 0, 0], header.as_bytes(), &data].concat();
    assert_eq!(file(&tensors), expected);
}

fn theirs(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Vec<u8> {
    let view = TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
    let metadata = Some([("format".to_owned(), "ternary-1".to_owned())].into());
    serialize([("norm", view)], metadata).unwrap()
}

#[test]
fn numbers_in_bf16_are_read_exactly_and_other_types_are_refused() {
    let values = [1.5_f32, -0.0, 3.0e38];
    let bytes = values.map(|value| bf16::from_f32(value).to_le_bytes()).concat();
    let mut read = Tensors::from_bytes(&theirs(Dtype::BF16, &[3], &bytes)).unwrap();
    let expected = values.map(|value| bf16::from_f32(value).to_f32());
    assert_eq!(bits(&read.take_real("norm", &[3]).unwrap()), bits(&expected));

    for (dtype, bytes, name) in [(Dtype::F64, 24, "F64"), (Dtype::U8, 3, "U8")] {
        let error = Tensors::from_bytes(&theirs(dtype, &[3], &vec![0; bytes])).unwrap_err();
        let text = format!(
            "tensor \"norm\": type: expected F32 or BF16, found {name} without a description in the \
             metadata"
        );
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn what_is_asked_for_must_be_there_and_fit() {
    let mut tensors = Tensors::new();
    let scales = Scales::tensor(1.0).unwrap();
    let matrix = TernaryMatrix::from_trits(1, 2, &[0, 1], scales, Packing::TwoBit).unwrap();
    tensors.insert_ternary("up", matrix).unwrap();
    tensors.insert_real("norm", &[2], vec![1.0, 2.0]).unwrap();
    let cases = [
        (
            tensors.clone().take_ternary("up", [2, 1]).unwrap_err(),
            "tensor \"up\": shape: expected ternary [2, 1], found ternary [1, 2]",
        ),
        (
            tensors.clone().take_ternary("norm", [2, 1]).unwrap_err(),
            "tensor \"norm\": shape: expected ternary [2, 1], found [2]",
        ),
        (
            tensors.clone().take_real("norm", &[1, 2]).unwrap_err(),
            "tensor \"norm\": shape: expected [1, 2], found [2]",
        ),
        (tensors.take_real("bias", &[2]).unwrap_err(), "tensor \"bias\" is missing"),
        (tensors.finish().unwrap_err(), "tensor \"norm\" belongs to nothing"),
    ];
    for (error, text) in cases {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_name_is_given_once_to_tensors_and_their_scales() {
    let scales = || Scales::tensor(1.0).unwrap();
    let matrix = || TernaryMatrix::from_trits(1, 1, &[0], scales(), Packing::TwoBit).unwrap();
    let mut tensors = Tensors::new();
    tensors.insert_ternary("w", matrix()).unwrap();
    tensors.insert_real("v_scale", &[1], vec![1.0]).unwrap();
    let taken =
        |result: Result<(), Problem>| matches!(result.unwrap_err(), Problem::Duplicate { .. });
    assert!(taken(tensors.insert_real("w", &[1], vec![1.0])));
    assert!(taken(tensors.insert_real("w_scale", &[1], vec![1.0])));
    assert!(taken(tensors.insert_ternary("v", matrix())));
    assert!(taken(tensors.insert_ternary("format", matrix())));
    assert!(taken(tensors.insert_real("__metadata__", &[1], vec![1.0])));
    tensors.insert_real("w_scale_negative", &[1], vec![1.0]).unwrap();
    assert_eq!(Tensors::from_bytes(&file(&tensors)).unwrap(), tensors);
}

#[test]
fn numbers_that_are_not_finite_or_too_few_are_not_written() {
    let mut tensors = Tensors::new();
    let error = tensors.insert_real("w", &[2], vec![0.0, f32::NAN]).unwrap_err();
    let text = "tensor \"w\": numbers: expected finite numbers, found NaN at index 1";
    assert_eq!(error.to_string(), text);
    let error = tensors.insert_real("w", &[2, 2], vec![0.0; 3]).unwrap_err();
    assert_eq!(error.to_string(), "tensor \"w\": numbers: expected those of [2, 2], found 3");
    assert!(tensors.insert_real("w", &[usize::MAX, 2, 0], vec![]).is_err());
}
