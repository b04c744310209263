//! `tokenizer.json`, with a text for what it describes.
//!
//! The crate that reads it panics on some files; that is caught and an error. So the hook that ends the fuzzer at every
//! panic is taken away here; one that is not caught still ends it.

#![no_main]

use std::sync::Once;

use fuzz::with_file;
use interop::tokenizer::Tokenizer;
use libfuzzer_sys::fuzz_target;

static HOOK: Once = Once::new();

fuzz_target!(|data: &[u8]| {
    HOOK.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    with_file(&[], "tokenizer.json", data, |directory| {
        if let Ok(Some(tokenizer)) = Tokenizer::open(directory, 300)
            && let Ok(tokens) = tokenizer.encode("Grüße, it's\n 12 ".as_bytes())
        {
            let _ = tokenizer.decode(&tokens);
        }
    });
});
