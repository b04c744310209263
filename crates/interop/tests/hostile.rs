//! Files that somebody made to do harm: each is an error or what was asked for, and memory stays within
//! a bound made from the file's size.

mod watching;

use half::bf16;
use interop::{Problem, Tensors};
use ternary_core::{Granularity, Packing, Scales, TernaryMatrix};

/// Reads a file, asserting that no single request for memory is beyond what its size explains: a trit
/// and a scale of four bytes may take a line of 64, and a vector may have doubled.
fn read(file: &[u8]) -> Result<Tensors, Problem> {
    let (result, largest) = watching::largest_request(|| Tensors::from_bytes(file));
    assert!(largest <= 4096 + 64 * file.len(), "{largest} bytes for a file of {}", file.len());
    result
}

fn matrices() -> [TernaryMatrix; 2] {
    let group = Granularity::group(3).unwrap();
    let trits = [1, 0, -1, 0, 1, 1, -1, -1, 0, 0, 1, 0];
    let scales = Scales::asymmetric(group, vec![0.5, 1.5, 0.25, 2.0], vec![1.0; 4]).unwrap();
    let apart = TernaryMatrix::from_trits(2, 6, &trits, scales, Packing::FiveTrits).unwrap();
    let scales = Scales::symmetric(Granularity::Row, vec![0.5, 1.5, 0.25]).unwrap();
    let rows = TernaryMatrix::from_trits(3, 4, &trits, scales, Packing::TwoBit).unwrap();
    [apart, rows]
}

fn tensors() -> Tensors {
    let [apart, rows] = matrices();
    let mut tensors = Tensors::new();
    tensors.insert_ternary("up", apart).unwrap();
    tensors.insert_ternary("down", rows).unwrap();
    tensors.insert_real("norm", &[2, 3], vec![1.0, -2.0, 3.0, 0.5, 0.25, 0.125]).unwrap();
    tensors
}

fn file() -> Vec<u8> {
    let mut file = Vec::new();
    tensors().write(&mut file).unwrap();
    file
}

/// Takes everything out by name and shape, as a model does.
fn take_all(mut read: Tensors) -> Result<Tensors, Problem> {
    let mut taken = Tensors::new();
    taken.insert_ternary("up", read.take_ternary("up", [2, 6])?)?;
    taken.insert_ternary("down", read.take_ternary("down", [3, 4])?)?;
    taken.insert_real("norm", &[2, 3], read.take_real("norm", &[2, 3])?)?;
    read.finish()?;
    Ok(taken)
}

fn header_end(file: &[u8]) -> usize {
    8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize
}

#[test]
fn a_file_cut_off_anywhere_or_with_more_behind_it_is_an_error() {
    let mut file = file();
    assert_eq!(read(&file).unwrap(), tensors());
    for length in 0..file.len() {
        assert!(read(&file[..length]).is_err(), "{length} bytes");
    }
    file.push(0);
    let error = read(&file).unwrap_err().to_string();
    assert!(error.starts_with("bytes of all tensors: expected "), "{error}");
}

#[test]
fn a_header_with_any_other_byte_in_it_is_an_error_or_the_same_tensors() {
    let mut file = file();
    let mut same = 0;
    for position in 0..header_end(&file) {
        let right = file[position];
        for byte in (0..=255).filter(|&byte| byte != right) {
            file[position] = byte;
            if let Ok(taken) = read(&file).and_then(take_all) {
                assert_eq!(taken, tensors(), "{byte:#04x} at {position}");
                same += 1;
            }
        }
        file[position] = right;
    }
    // Another kind of space at the end.
    assert!(same > 0);
}

#[test]
fn data_with_any_other_byte_in_it_is_an_error_or_tensors_of_the_same_shapes() {
    let mut file = file();
    for position in header_end(&file)..file.len() {
        let right = file[position];
        for byte in 0..=255 {
            file[position] = byte;
            if let Ok(taken) = read(&file).and_then(take_all) {
                // Every byte means something: another byte is another number or trit.
                assert_eq!(taken == tensors(), byte == right, "{byte:#04x} at {position}");
                let mut written = Vec::new();
                taken.write(&mut written).unwrap();
                assert_eq!(written, file);
            }
        }
        file[position] = right;
    }
}

/// A file of this header and so many zero bytes.
fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn message(header: &str, data: &[u8]) -> String {
    read(&raw(header, data)).unwrap_err().to_string()
}

#[test]
fn headers_that_lie_about_the_bytes_are_refused() {
    let format = r#""__metadata__":{"format":"ternary-1"}"#;
    let of = |tensors: &str| format!("{{{format},{tensors}}}");
    let f32s = |name: &str, shape: &str, offsets: &str| {
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}"#)
    };
    let (a, b) = (f32s("a", "[1]", "[0,4]"), f32s("b", "[1]", "[4,8]"));
    assert!(read(&raw(&of(&format!("{b},{a}")), &[0; 8])).is_ok(), "any order of the names");
    for (tensors, bytes, expected) in [
        (format!("{a},{a}"), 4, "tensor \"a\" is there twice"),
        (
            format!("{a},{}", f32s("b", "[1]", "[8,12]")),
            12,
            "tensor \"b\": start: expected 4, found 8",
        ),
        (
            format!("{a},{}", f32s("b", "[2]", "[0,8]")),
            8,
            "tensor \"b\": start: expected 4, found 0",
        ),
        (f32s("a", "[1]", "[4,8]"), 8, "tensor \"a\": start: expected 0, found 4"),
        (f32s("a", "[1]", "[4,0]"), 4, "tensor \"a\": start: expected 0, found 4"),
        (
            f32s("a", "[2]", "[0,4]"),
            4,
            "tensor \"a\": bytes of its shape: expected 8, found 0 to 4",
        ),
        (f32s("a", "[2]", "[0,8]"), 4, "tensor \"a\": end: expected at most 4, found 8"),
        (
            f32s("a", "[4611686018427387903]", "[0,18446744073709551612]"),
            4,
            "tensor \"a\": end: expected at most 4, found 18446744073709551612",
        ),
        (
            f32s("a", "[4294967296,4294967296]", "[0,0]"),
            0,
            "tensor \"a\": bytes of its shape: expected what fits 64 bits, found 0 to 0",
        ),
        (a.clone(), 5, "bytes of all tensors: expected 4, found 5"),
        (
            a.replace("F32", "I32"),
            4,
            "tensor \"a\": type: expected F32 or BF16, found I32 without a description",
        ),
        (
            a.replace("F32", "F16").replace("[1]", "[2]"),
            4,
            "tensor \"a\": type: expected F32 or BF16, found F16 without a description",
        ),
        (a.replace("F32", "F4"), 4, "tensor \"a\": type: expected one of whole bytes, found F4"),
        (a.replace("[1]", "[-1]"), 4, "header: invalid value: integer `-1`, expected u64"),
        (a.replace("[1]", "[1.0]"), 4, "header: invalid type: floating point `1.0`, expected u64"),
        (a.replace("[0,4]", "[0,4,8]"), 4, "header: trailing characters"),
        (a.replace("shape", "strides"), 4, "header: unknown field `strides`"),
        (a.replace(r#""shape":[1],"#, ""), 4, "header: missing field `shape`"),
        (a.replace(r#""shape":[1]"#, r#""shape":[1],"shape":[1]"#), 4, "header: duplicate field"),
        (format.to_owned(), 0, "header: duplicate field `__metadata__`"),
    ] {
        let found = message(&of(&tensors), &vec![0; bytes]);
        assert!(found.starts_with(expected), "{expected}\n{found}");
    }
    for (header, expected) in [
        ("", "first byte of the header: expected '{', found nothing"),
        (" {}", "first byte of the header: expected '{', found 0x20"),
        ("{}", "format in the metadata: expected ternary-1, found nothing"),
        (
            "{\"__metadata__\":{\"format\":\"pt\"}}",
            "format in the metadata: expected ternary-1, found",
        ),
        (
            "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}",
            "entry of the metadata \"a\" is there twice",
        ),
        ("{\"__metadata__\":{\"a\":1}}", "header: invalid type: integer `1`, expected a string"),
        ("{\"__metadata__\":{}}x", "header: trailing characters"),
        ("{\"a\":", "header: EOF while parsing"),
    ] {
        let found = message(header, &[]);
        assert!(found.starts_with(expected), "{expected}\n{found}");
    }
    let nested = format!("{{\"a\":{}", "[".repeat(100_000));
    assert!(message(&nested, &[]).starts_with("header: "));
    let long = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    let error = read(&long).unwrap_err().to_string();
    assert_eq!(error, "length of the header: expected at most 2, found 18446744073709551615");
}

/// A file of one matrix `w` and its scale.
fn described(description: &str, codes: &[usize], scale: &[usize], data: &[u8]) -> Vec<u8> {
    let bytes: usize = scale.iter().product::<usize>() * 4;
    let header = format!(
        r#"{{"__metadata__":{{"format":"ternary-1","w":"{description}"}},
        "w_scale":{{"dtype":"F32","shape":{scale:?},"data_offsets":[0,{bytes}]}},
        "w":{{"dtype":"U8","shape":{codes:?},"data_offsets":[{bytes},{}]}}}}"#,
        data.len()
    );
    raw(&header, data)
}

#[test]
fn matrices_that_mean_nothing_are_refused() {
    let one = 1.0_f32.to_le_bytes();
    let data = |codes: &[u8]| [&one[..], codes].concat();
    let zero = 0b01_01_01_01;
    let good = described("1x4 two-bit tensor symmetric", &[1, 1], &[], &data(&[zero]));
    assert!(read(&good).is_ok());
    for (description, codes, scale, data, expected) in [
        (
            "1x4 two-bit tensor symmetric",
            &[1, 1][..],
            &[][..],
            data(&[0b11_01_01_01]),
            "tensor \"w\": row-major trits: byte 0xd5 at position 0 is no code",
        ),
        (
            "1x3 two-bit tensor symmetric",
            &[1, 1],
            &[],
            data(&[0b10_01_01_01]),
            "tensor \"w\": row-major trits: byte 0x95 at position 0 is no code",
        ),
        (
            "1x4 two-bit tensor symmetric",
            &[1, 1],
            &[],
            [&f32::NAN.to_le_bytes()[..], &[zero]].concat(),
            "tensor \"w_scale\": numbers: expected finite numbers, found NaN at index 0",
        ),
        (
            "1x4 two-bit tensor symmetric",
            &[1, 1],
            &[],
            [&(-1.0_f32).to_le_bytes()[..], &[zero]].concat(),
            "tensor \"w\": scales: expected numbers of at least 0, found -1 at index 0",
        ),
        (
            "1x4 two-bit row symmetric",
            &[1, 1],
            &[],
            data(&[zero]),
            "tensor \"w_scale\": type and shape: expected F32 [1], found F32 []",
        ),
        (
            "1x4 two-bit group-3 symmetric",
            &[1, 1],
            &[1, 1],
            data(&[zero]),
            "tensor \"w\": group scales: a block of 3 does not divide a row of 4",
        ),
        (
            "2x4 two-bit tensor symmetric",
            &[1, 1],
            &[],
            data(&[zero]),
            "tensor \"w\": type and shape: expected U8 [2, 1], found U8 [1, 1]",
        ),
        (
            "9223372036854775807x4 two-bit tensor symmetric",
            &[1, 1],
            &[],
            data(&[zero]),
            "tensor \"w\": a matrix of 9223372036854775807 x 4 does not fit",
        ),
        (
            "1x4 two-bit tensor asymmetric",
            &[1, 1],
            &[],
            data(&[zero]),
            "tensor \"w_scale_negative\" is missing",
        ),
        (
            "1x4 two-bit tensor",
            &[1, 1],
            &[],
            data(&[zero]),
            "tensor \"w\": description: expected ROWSxCOLUMNS PACKING GRANULARITY SIGNS, found \"1x4",
        ),
    ] {
        let error = read(&described(description, codes, scale, &data)).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{expected}\n{error}");
    }
    // Without trits there is nothing to hold, whatever the shape says.
    for (rows, cols) in [(1_usize << 45, 0), (0, 1_usize << 45)] {
        let description = format!("{rows}x{cols} two-bit tensor symmetric");
        let file = described(&description, &[rows, cols / 4], &[], &one);
        assert_eq!(read(&file).unwrap().take_ternary("w", [rows, cols]).unwrap().size_bytes(), 4);
    }
}

#[test]
fn numbers_that_are_not_finite_are_refused_with_their_index() {
    let header = |dtype: &str, bytes: usize| {
        format!(
            r#"{{"__metadata__":{{"format":"ternary-1"}},
            "a":{{"dtype":"{dtype}","shape":[2],"data_offsets":[0,{bytes}]}}}}"#
        )
    };
    let data = [0.0, f32::INFINITY].map(f32::to_le_bytes).concat();
    let expected = "tensor \"a\": numbers: expected finite numbers, found inf at index 1";
    assert_eq!(message(&header("F32", 8), &data), expected);
    let data = [bf16::ZERO, bf16::INFINITY].map(bf16::to_le_bytes).concat();
    assert_eq!(message(&header("BF16", 4), &data), expected);
}
