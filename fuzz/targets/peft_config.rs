//! `adapter_config.json` as PEFT writes it, and that what was read can be written.

#![no_main]

use interop::adapters::{Files, Options, peft};
use libfuzzer_sys::fuzz_target;

const WEIGHTS: &[u8] = include_bytes!("../seeds/peft_weights/tiny.safetensors");

fuzz_target!(|data: &[u8]| {
    let files = Files { config: data.to_vec(), weights: WEIGHTS.to_vec() };
    if let Ok(adapters) = peft::from_bytes::<f32>(&files) {
        let _ = peft::to_bytes(&adapters, &Options::default());
    }
});
