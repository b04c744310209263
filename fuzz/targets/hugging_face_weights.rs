//! Safetensors of transformers, header and body.

#![no_main]

use fuzz::with_file;
use interop::hugging_face::{Weights, load};
use libfuzzer_sys::fuzz_target;

const CONFIG: &[u8] = include_bytes!("../seeds/hugging_face_config/llama.json");

fuzz_target!(|data: &[u8]| {
    with_file(&[("config.json", CONFIG)], "model.safetensors", data, |directory| {
        let _ = load::<f32>(directory, Weights::Frozen);
    });
});
