//! A line of a file of samples, and that what is read of it fits its window.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trainer::data::check_sample;

const LENGTH: usize = 48;

fuzz_target!(|data: &[u8]| {
    if let Ok(tokens) = check_sample(data, LENGTH) {
        assert!((1..=LENGTH).contains(&tokens), "{tokens}");
    }
});
