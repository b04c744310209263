//! Tests of the tokens that are made of texts and kept.

use super::*;
use crate::temporary::TemporaryFolder;

/// A tokenizer of a few words, and a token for the end of a text.
pub(crate) const WORDS: &str = r#"{"version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [{"id": 5, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true}],
    "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"},
    "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "</s>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}},
        {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"</s>": {"id": "</s>", "ids": [5], "tokens": ["</s>"]}}},
    "decoder": null,
    "model": {"type": "WordLevel", "vocab": {"?": 0, "one": 1, "two": 2, "three": 3, "é": 4, "</s>": 5},
        "unk_token": "?"}}"#;

struct Setting {
    folder: TemporaryFolder,
    tokenizer: TokenizerFile,
}

impl Setting {
    fn new() -> Self {
        let folder = TemporaryFolder::new();
        let tokenizer = TokenizerFile::open(&folder.file("tokenizer.json", WORDS)).unwrap();
        Self { folder, tokenizer }
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// The tokens of files, and what was told.
    fn tokens(&self, files: &[PathBuf]) -> (Vec<u32>, String) {
        let mut told = String::new();
        let mut tell = |line: fmt::Arguments<'_>| told.push_str(&line.to_string());
        let text = tokens_of(files, &self.tokenizer, &self.cache(), &mut tell).unwrap();
        let mut tokens = Vec::new();
        text.tokens.read(0..text.tokens.len(), &mut tokens).unwrap();
        (tokens, told)
    }

    fn error(&self, files: &[PathBuf]) -> String {
        tokens_of(files, &self.tokenizer, &self.cache(), &mut |_| ()).unwrap_err().to_string()
    }

    fn kept(&self) -> Vec<PathBuf> {
        fs::read_dir(self.cache()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

#[test]
fn files_follow_each_other_with_the_token_that_ends_a_text() {
    let setting = Setting::new();
    let files = [
        setting.folder.file("a", "one two\nthree"),
        setting.folder.file("b", ""),
        setting.folder.file("c", "é four"),
    ];
    assert_eq!(setting.tokens(&files).0, [1, 2, 3, 5, 5, 4, 0, 5]);
}

#[test]
fn tokens_are_made_once_and_again_where_anything_changed() {
    let setting = Setting::new();
    let file = setting.folder.file("a", "one two three");
    let files = [file.clone()];
    let is_made = |told: &str| told.contains("makes tokens");
    assert!(is_made(&setting.tokens(&files).1));
    let (tokens, told) = setting.tokens(&files);
    assert!(!is_made(&told) && told.contains("4 tokens"), "{told}");
    assert_eq!(tokens, [1, 2, 3, 5]);
    // Of the same length.
    fs::write(&file, "two one three").unwrap();
    let (tokens, told) = setting.tokens(&files);
    assert_eq!((tokens, is_made(&told)), (vec![2, 1, 3, 5], true));
    let more = [file.clone(), setting.folder.file("b", "one")];
    assert!(is_made(&setting.tokens(&more).1));
    assert!(!is_made(&setting.tokens(&files).1), "what was made for other files stays");
    let other = setting.folder.file("other.json", WORDS.replace("\"one\"", "\"eins\""));
    let tokenizer = TokenizerFile::open(&other).unwrap();
    let setting = Setting { tokenizer, ..setting };
    assert_eq!(setting.tokens(&files).0, [2, 0, 3, 5]);
}

#[test]
fn kept_tokens_that_are_torn_or_foreign_are_made_again() {
    let setting = Setting::new();
    let files = [setting.folder.file("a", "one two three ".repeat(1000))];
    let (expected, _) = setting.tokens(&files);
    let kept = setting.kept();
    assert_eq!(kept.len(), 1, "nothing unfinished is left");
    let whole = fs::read(&kept[0]).unwrap();
    assert_eq!(whole.len(), HEADER + 2 * expected.len());
    let mut zeros = whole.clone();
    zeros[whole.len() / 2..].fill(0);
    let mut other_key = whole.clone();
    other_key[20] ^= 1;
    let torn = [&whole[..0], &whole[..50], &whole[..HEADER], &whole[..whole.len() - 1]];
    let foreign = [&zeros[..], &other_key, b"something else"];
    for wrong in torn.into_iter().chain(foreign) {
        fs::write(&kept[0], wrong).unwrap();
        assert_eq!(setting.tokens(&files).0, expected, "{}", wrong.len());
        assert_eq!(fs::read(&kept[0]).unwrap(), whole);
    }
    assert!(!setting.tokens(&files).1.contains("makes"));
}

#[test]
fn a_long_text_is_cut_between_lines_and_its_tokens_are_those_of_the_whole() {
    let setting = Setting::new();
    let text = "one two three é\n".repeat(60_000);
    assert!(text.len() > 3 * PART);
    let (tokens, _) = setting.tokens(&[setting.folder.file("a", &text)]);
    let mut expected = setting.tokenizer.tokenizer.encode_part(text.as_bytes()).unwrap();
    expected.push(5);
    assert_eq!(tokens, expected);
}

#[test]
fn parts_end_after_lines_and_never_within_a_character() {
    let line = |length: usize| [vec![b'a'; length], b"\n".to_vec()].concat();
    assert_eq!(end_of_part(b""), 0);
    assert_eq!(end_of_part(&line(100)), 101);
    assert_eq!(end_of_part(&[line(PART + 7), line(9)].concat()), PART + 8);
    for before in 0..4 {
        let text = ["a".repeat(before), "🙂".repeat(LONGEST_PART)].concat();
        let end = end_of_part(text.as_bytes());
        assert!((LONGEST_PART - 3..=LONGEST_PART).contains(&end), "{before}");
        assert!(text.is_char_boundary(end), "{before}");
    }
    // What is no text is cut anywhere.
    assert_eq!(end_of_part(&vec![0x80; 2 * LONGEST_PART]), LONGEST_PART);
}

#[test]
fn bytes_that_are_no_text_are_refused_with_the_file_and_the_place() {
    let setting = Setting::new();
    let mut text = "one two\n".repeat(PART / 4).into_bytes();
    let place = text.len() - 3;
    text[place] = 0xFF;
    let error =
        setting.error(&[setting.folder.file("good", "one"), setting.folder.file("bad.bin", text)]);
    assert!(error.contains("bad.bin") && error.contains("UTF-8"), "{error}");
    assert!(error.contains(&format!("byte 0xff at position {place}")), "{error}");
    assert!(setting.kept().is_empty(), "nothing unfinished is left");
}

#[cfg(unix)]
#[test]
fn what_tells_its_bytes_once_has_tokens_that_are_not_kept() {
    let setting = Setting::new();
    let files = [setting.folder.file("a", "one"), "/dev/null".into()];
    assert_eq!(setting.tokens(&files).0, [1, 5, 5]);
    assert!(!setting.cache().exists());
}

#[test]
fn a_text_that_is_read_in_pieces_is_cut_as_if_it_were_read_at_once() {
    let lines = |seed: usize| (0..40).map(move |line| 1 + (seed + line) * 7919 % (PART / 3));
    let mut text: Vec<u8> =
        lines(1).flat_map(|length| [vec![b'a'; length], b"\n".to_vec()].concat()).collect();
    text.extend(vec![b'b'; 3 * LONGEST_PART]);
    let ends = |parts: Vec<(usize, &[u8])>| -> Vec<usize> {
        parts.into_iter().map(|(start, part)| start + part.len()).collect()
    };
    let whole = ends(take_parts(&text, true));
    assert_eq!(whole.last(), Some(&text.len()));
    for piece in [LONGEST_PART + 1, LONGEST_PART + PART + 12_345] {
        let (mut found, mut place) = (Vec::new(), 0);
        while place < text.len() {
            let until = text.len().min(place + piece);
            let parts = ends(take_parts(&text[place..until], until == text.len()));
            found.extend(parts.iter().map(|end| place + end));
            place = *found.last().unwrap();
        }
        assert_eq!(found, whole, "{piece}");
    }
}

#[test]
fn a_tokenizer_of_too_many_tokens_is_refused() {
    let folder = TemporaryFolder::new();
    let many = WORDS.replace("\"three\": 3", &format!("\"three\": {}", LARGEST_VOCABULARY));
    let error = TokenizerFile::open(&folder.file("t.json", many)).unwrap_err().to_string();
    assert!(error.contains("t.json") && error.contains("1048577"), "{error}");
    let error = TokenizerFile::open(&folder.path().join("none.json")).unwrap_err().to_string();
    assert!(error.contains("none.json"), "{error}");
}

#[test]
fn a_tokenizer_is_a_file_that_is_not_too_long() {
    let folder = TemporaryFolder::new();
    let file = folder.file("tokenizer.json", "12345");
    assert_eq!(read_up_to(&file, 5).unwrap(), b"12345");
    let said = read_up_to(&file, 4).unwrap_err().to_string();
    assert!(said.contains("at most 4 bytes"), "{said}");
    let said = TokenizerFile::open(folder.path()).unwrap_err().to_string();
    assert!(said.contains("expected a file"), "{said}");
    #[cfg(unix)]
    assert!(TokenizerFile::open("/dev/zero".as_ref()).is_err(), "it has no end");
}
