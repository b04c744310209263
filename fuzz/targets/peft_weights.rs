//! The safetensors of PEFT's adapters, and that what was read can be written.

#![no_main]

use interop::adapters::{Files, Options, peft};
use libfuzzer_sys::fuzz_target;

const CONFIG: &[u8] = include_bytes!("../seeds/peft_config/all.json");

fuzz_target!(|data: &[u8]| {
    let files = Files { config: CONFIG.to_vec(), weights: data.to_vec() };
    if let Ok(adapters) = peft::from_bytes::<f64>(&files) {
        let _ = peft::to_bytes(&adapters, &Options::default());
    }
});
