//! `tokenizer.json`, with a text for what it describes.

#![no_main]

use fuzz::with_file;
use interop::tokenizer::Tokenizer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    with_file(&[], "tokenizer.json", data, |directory| {
        if let Ok(Some(tokenizer)) = Tokenizer::open(directory, 300)
            && let Ok(tokens) = tokenizer.encode("Grüße, it's\n 12 ".as_bytes())
        {
            let _ = tokenizer.decode(&tokens);
        }
    });
});
