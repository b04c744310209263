//! Packed ternary safetensors, and that what was read is written as the same tensors.

#![no_main]

use interop::Tensors;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(tensors) = Tensors::from_bytes(data) {
        let mut written = Vec::new();
        tensors.write(&mut written).expect("a vector takes everything");
        assert_eq!(Tensors::from_bytes(&written).expect("what was written is read"), tensors);
    }
});
