//! `model.safetensors.index.json`.

#![no_main]

use fuzz::with_file;
use interop::hugging_face::{Weights, load};
use libfuzzer_sys::fuzz_target;

const FILES: [(&str, &[u8]); 2] = [
    ("config.json", include_bytes!("../seeds/hugging_face_config/llama.json")),
    ("a.safetensors", include_bytes!("../seeds/hugging_face_weights/llama.safetensors")),
];

fuzz_target!(|data: &[u8]| {
    with_file(&FILES, "model.safetensors.index.json", data, |directory| {
        let _ = load::<f32>(directory, Weights::Frozen);
    });
});
