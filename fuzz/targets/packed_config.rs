//! `config.json` of a directory of our own.

#![no_main]

use fuzz::with_file;
use libfuzzer_sys::fuzz_target;

const WEIGHTS: &[u8] = include_bytes!("../seeds/packed_weights/tiny.safetensors");

fuzz_target!(|data: &[u8]| {
    with_file(&[("model.safetensors", WEIGHTS)], "config.json", data, |directory| {
        let _ = interop::Kind::of(directory);
        let _ = interop::load(directory);
    });
});
