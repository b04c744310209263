//! Safetensors of transformers, header and body.

#![no_main]

use fuzz::with_file;
use interop::hugging_face::load_frozen;
use interop::models::Base;
use libfuzzer_sys::fuzz_target;

const CONFIG: &[u8] = include_bytes!("../seeds/hugging_face_config/llama.json");

fuzz_target!(|data: &[u8]| {
    with_file(&[("config.json", CONFIG)], "model.safetensors", data, |directory| {
        for base in Base::ALL {
            let _ = load_frozen::<f32>(directory, base);
        }
    });
});
