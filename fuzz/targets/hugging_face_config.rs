//! `config.json` as transformers writes it.

#![no_main]

use fuzz::with_file;
use interop::hugging_face::{Weights, load};
use libfuzzer_sys::fuzz_target;

const WEIGHTS: &[u8] = include_bytes!("../seeds/hugging_face_weights/llama.safetensors");

fuzz_target!(|data: &[u8]| {
    with_file(&[("model.safetensors", WEIGHTS)], "config.json", data, |directory| {
        let _ = load::<f32>(directory, Weights::Frozen);
    });
});
