//! `tokenizer.json` as transformers writes it.

#![cfg(feature = "tokenizer")]

use std::fs;

use interop::tokenizer::Tokenizer;
use proptest::prelude::*;
use serde_json::{Value, json};

/// The character that byte-level vocabularies have for a byte: itself where it can be seen, or else one of
/// those from U+0100 on.
fn characters() -> Vec<char> {
    let is_seen = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 0x100;
    let mut character = |byte: u8| {
        if is_seen(&byte) {
            return char::from(byte);
        }
        next += 1;
        char::from_u32(next - 1).unwrap()
    };
    (0..=255).map(&mut character).collect()
}

/// Bytes, three merges and a token that ends texts; words are split as in Qwen.
fn description() -> Value {
    let bytes = characters().into_iter().enumerate();
    let mut vocabulary: serde_json::Map<_, _> =
        bytes.map(|(id, character)| (character.to_string(), json!(id))).collect();
    for (id, token) in ["he", "ll", "hell"].into_iter().enumerate() {
        vocabulary.insert(token.to_owned(), json!(256 + id));
    }
    let words = r"(?i:'s|'t|'re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|\s+(?!\S)|\s+";
    let bytes = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false
    });
    json!({
        "version": "1.0",
        "added_tokens": [{
            "id": 259, "content": "<|end|>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true
        }],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": words}, "behavior": "Isolated", "invert": false},
            bytes
        ]},
        "decoder": bytes,
        "model": {
            "type": "BPE", "vocab": vocabulary, "merges": [["h", "e"], ["l", "l"], ["he", "ll"]]
        }
    })
}

fn write(description: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("tokenizer.json"), description).unwrap();
    directory
}

#[test]
fn texts_become_tokens_and_come_back() {
    let directory = write(&description().to_string());
    let tokenizer = Tokenizer::open(directory.path(), 260).unwrap().unwrap();
    assert_eq!(tokenizer.encode(b"hello<|end|>").unwrap(), [258, u32::from(b'o'), 259]);
    // Merges do not cross words.
    assert_eq!(tokenizer.encode(b"h el").unwrap(), b"h el".map(u32::from));
    assert_eq!(tokenizer.decode(&[258, 111, 259, 33]).unwrap(), b"hello!");
    for text in ["", "hello, world's 12  ends\r\n\t ", "grüße 你好 🦀"] {
        let tokens = tokenizer.encode(text.as_bytes()).unwrap();
        assert_eq!(tokenizer.decode(&tokens).unwrap(), text.as_bytes(), "{text}");
    }
    // Half of a letter.
    assert_eq!(tokenizer.decode(&[0xc3]).unwrap(), "\u{fffd}".as_bytes());
}

#[test]
fn texts_are_neither_cut_nor_filled_up_whatever_the_file_says() {
    let mut description = description();
    description["truncation"] = json!({
        "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0
    });
    description["padding"] = json!({
        "strategy": {"Fixed": 1_000_000_000_000_u64}, "direction": "Left", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "!"
    });
    let directory = write(&description.to_string());
    let tokenizer = Tokenizer::open(directory.path(), 260).unwrap().unwrap();
    assert_eq!(tokenizer.encode(b"xyz12").unwrap(), b"xyz12".map(u32::from));
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_is_no_tokenizer_of_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokenizer.json");
    std::os::unix::fs::symlink("blobs/none", &path).unwrap();
    assert_eq!(Tokenizer::find(directory.path()).unwrap(), Some(path));
    let error = Tokenizer::open(directory.path(), 260).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json: cannot read the file: "), "{error}");
}

#[test]
fn without_a_file_only_as_many_tokens_as_there_are_bytes_are_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let open = |vocabulary| Tokenizer::open(directory.path(), vocabulary).unwrap();
    assert_eq!(open(256).unwrap().encode(b"\xff\n").unwrap(), [255, 10]);
    assert_eq!(Tokenizer::find(directory.path()).unwrap(), None);
    for vocabulary in [1, 255, 257, 32_000] {
        assert!(open(vocabulary).is_none(), "{vocabulary}");
    }
    let written = write(&description().to_string());
    let found = Tokenizer::find(written.path()).unwrap();
    assert_eq!(found, Some(written.path().join("tokenizer.json")));
}

#[test]
fn texts_and_tokens_that_do_not_fit_are_refused() {
    let directory = write(&description().to_string());
    let tokenizer = Tokenizer::open(directory.path(), 257).unwrap().unwrap();
    let message = |text: &[u8]| tokenizer.encode(text).unwrap_err().to_string();
    let expected = "tokenizer.json: token: expected one of the model's 257, found 258";
    assert!(message(b"hello").ends_with(expected));
    let expected = "tokenizer.json: text: expected UTF-8, found byte 0xff at position 2";
    assert!(message(b"ab\xff").ends_with(expected));
    for text in ["", "{", "[]", "{\"version\": \"1.0\"}"] {
        let error = Tokenizer::open(write(text).path(), 256).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json: tokenizer: "), "{error}");
    }
}

#[test]
fn where_the_crate_of_tokenizers_panics_there_is_an_error() {
    let mut description = description();
    description["post_processor"] = json!({
        "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "a", "type_id": 0}}],
        "pair": [], "special_tokens": {"b": {"id": "a", "ids": [0], "tokens": ["a"]}}
    });
    let directory = write(&description.to_string());
    let tokenizer = Tokenizer::open(directory.path(), 260).unwrap().unwrap();
    let error = tokenizer.encode(b"hello").unwrap_err().to_string();
    assert!(error.contains("tokenizer.json: text to tokens: "), "{error}");
}

proptest! {
    // A failure is told, and kept in no file.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_file_is_a_tokenizer_or_an_error(
        edits in prop::collection::vec(
            (any::<usize>(), prop::sample::select(b"0123456789-.e\"[]{},: nTB\\".to_vec())), 1..4),
        text: String,
    ) {
        let mut bytes = description().to_string().into_bytes();
        // Most of the file is the vocabulary: half of the changes are in what else there is.
        let start = bytes.windows(7).position(|part| part == b"\"vocab\"").unwrap();
        for (place, byte) in edits {
            let end = if place % 2 == 0 { start } else { bytes.len() };
            bytes[place / 2 % end] = byte;
        }
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("tokenizer.json"), bytes).unwrap();
        if let Ok(tokenizer) = Tokenizer::open(directory.path(), 260) {
            let tokenizer = tokenizer.unwrap();
            if let Ok(tokens) = tokenizer.encode(text.as_bytes()) {
                let _ = tokenizer.decode(&tokens);
            }
        }
    }
}
