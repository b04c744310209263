//! Our ggml blocks against those of the `gguf` Python package: `data/make_gguf_vectors.py` made the
//! files.

use std::path::Path;

use ternary_core::foreign::GgmlFormat;
use ternary_core::{Granularity, Packing, Scales, TernaryMatrix};

const ROWS: usize = 4;
const COLUMNS: usize = 768;
const FORMATS: [(GgmlFormat, &str); 2] =
    [(GgmlFormat::Tq1_0, "gguf_tq1_0"), (GgmlFormat::Tq2_0, "gguf_tq2_0")];

fn bytes(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The bits of the floats in a file.
fn float_bits(name: &str) -> Vec<u32> {
    let words = bytes(name);
    words.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
}

fn bits(weights: &[f32]) -> Vec<u32> {
    weights.iter().map(|weight| weight.to_bits()).collect()
}

/// The matrix whose weights the package quantised: each block its trits and its magnitude.
fn input() -> TernaryMatrix {
    let weights: Vec<f32> = float_bits("gguf_input.f32").into_iter().map(f32::from_bits).collect();
    assert_eq!(weights.len(), ROWS * COLUMNS);
    let trits: Vec<i8> = weights.iter().map(|&w| i8::from(w > 0.0) - i8::from(w < 0.0)).collect();
    let scales = weights
        .chunks_exact(256)
        .map(|block| block.iter().fold(0.0, |max: f32, weight| max.max(weight.abs())))
        .collect();
    let scales = Scales::symmetric(Granularity::group(256).unwrap(), scales).unwrap();
    TernaryMatrix::from_trits(ROWS, COLUMNS, &trits, scales, Packing::FiveTrits).unwrap()
}

#[test]
fn what_gguf_wrote_is_read_as_the_floats_that_gguf_reads() {
    for (format, name) in FORMATS {
        let blocks = bytes(&format!("{name}.bin"));
        for packing in Packing::ALL {
            let matrix = format.decode_matrix(ROWS, COLUMNS, &blocks, packing).unwrap();
            assert_eq!(bits(&matrix.to_f32()), float_bits(&format!("{name}.f32")), "{name}");
            assert_eq!(format.encode_matrix(&matrix).unwrap(), blocks, "{name}");
        }
    }
}

#[test]
fn the_same_ternary_weights_give_the_bytes_that_gguf_writes() {
    for (format, name) in FORMATS {
        let blocks = bytes(&format!("{name}.bin"));
        assert_eq!(format.encode_matrix(&input()).unwrap(), blocks, "{name}");
    }
}
