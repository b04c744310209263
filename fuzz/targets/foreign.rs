//! The bytes of other runtimes: what is read is written again as it was.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ternary_core::Packing;
use ternary_core::foreign::hugging_face::WeightScale;
use ternary_core::foreign::{GgmlFormat, hugging_face, i2_s};

fuzz_target!(|data: &[u8]| {
    let Some((&[kind, rows, cols], bytes)) = data.split_first_chunk::<3>() else { return };
    let (rows, cols) = (usize::from(rows), usize::from(cols) * 32);
    match kind % 5 {
        3 => {
            let _ = i2_s::decode_matrix(rows, cols, bytes, Packing::TwoBit);
        }
        4 => {
            let Some((stored, codes)) = bytes.split_first_chunk::<4>() else { return };
            let stored = f32::from_le_bytes(*stored);
            for convention in [WeightScale::Divide, WeightScale::Multiply] {
                let _ = hugging_face::decode_matrix(
                    rows,
                    cols,
                    codes,
                    stored,
                    convention,
                    Packing::FiveTrits,
                );
            }
        }
        ggml => {
            let format = GgmlFormat::ALL[usize::from(ggml)];
            if let Ok(matrix) = format.decode_matrix(rows, cols, bytes, Packing::TwoBit) {
                let written = format.encode_matrix(&matrix).expect("scales that were f16");
                assert_eq!(written, bytes);
            }
        }
    }
});
