//! A line of a file of samples, conversations among them, and that what is read of it fits its window.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trainer::data::check_sample;

const LENGTH: usize = 48;

fuzz_target!(|data: &[u8]| {
    if let Ok(samples) = check_sample(data, LENGTH) {
        assert!(!samples.is_empty());
        assert!(samples.iter().all(|tokens| (1..=LENGTH).contains(tokens)), "{samples:?}");
    }
});
