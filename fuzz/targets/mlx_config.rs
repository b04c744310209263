//! `adapter_config.json` as MLX-LM writes it, and that what was read can be written.

#![no_main]

use interop::adapters::{Files, Options, mlx};
use libfuzzer_sys::fuzz_target;

const WEIGHTS: &[u8] = include_bytes!("../seeds/mlx_weights/tiny.safetensors");

fuzz_target!(|data: &[u8]| {
    let files = Files { config: data.to_vec(), weights: WEIGHTS.to_vec() };
    if let Ok(adapters) = mlx::from_bytes::<f32>(&files) {
        let _ = mlx::to_bytes(&adapters, &Options::default());
    }
});
