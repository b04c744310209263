//! Packed ternary safetensors, that what was read is written as the same tensors, and as those of a model in any form.

#![no_main]

use fuzz::with_file;
use interop::Tensors;
use interop::models::Base;
use libfuzzer_sys::fuzz_target;

const CONFIG: &[u8] = include_bytes!("../seeds/packed_config/tiny.json");

fuzz_target!(|data: &[u8]| {
    if let Ok(tensors) = Tensors::from_bytes(data) {
        let mut written = Vec::new();
        tensors.write(&mut written).expect("a vector takes everything");
        assert_eq!(Tensors::from_bytes(&written).expect("what was written is read"), tensors);
    }
    with_file(&[("config.json", CONFIG)], "model.safetensors", data, |directory| {
        for base in Base::ALL {
            let _ = interop::open_as(directory, base);
        }
    });
});
