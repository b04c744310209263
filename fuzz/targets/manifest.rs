//! `manifest.json` of a directory of our own.

#![no_main]

use fuzz::with_file;
use libfuzzer_sys::fuzz_target;

const FILES: [(&str, &[u8]); 2] = [
    ("config.json", include_bytes!("../seeds/packed_config/tiny.json")),
    ("model.safetensors", include_bytes!("../seeds/packed_weights/tiny.safetensors")),
];

fuzz_target!(|data: &[u8]| {
    with_file(&FILES, "manifest.json", data, |directory| {
        let _ = interop::open(directory);
    });
});
