//! The safetensors of MLX-LM's adapters, and that what was read can be written.

#![no_main]

use interop::adapters::{Files, Options, mlx};
use libfuzzer_sys::fuzz_target;

const CONFIG: &[u8] = include_bytes!("../seeds/mlx_config/all.json");

fuzz_target!(|data: &[u8]| {
    let files = Files { config: CONFIG.to_vec(), weights: data.to_vec() };
    if let Ok(adapters) = mlx::from_bytes::<f64>(&files) {
        let _ = mlx::to_bytes(&adapters, &Options::default());
    }
});
