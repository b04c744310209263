//! Tests of what a run reads.

use super::*;
use crate::data::tokens::tests::WORDS;
use crate::temporary::TemporaryFolder;

fn request(data: Option<PathBuf>) -> CorpusRequest {
    CorpusRequest {
        data,
        valid: None,
        tokenizer: None,
        cache: None,
        held_out: 0.1,
        length: 16,
        windows: 8,
        seed: 3,
        samples: None,
    }
}

fn open(request: &CorpusRequest) -> Corpus {
    Corpus::open(request, &mut |_| ()).unwrap()
}

fn error(request: &CorpusRequest) -> String {
    Corpus::open(request, &mut |_| ()).unwrap_err().to_string()
}

fn example(corpus: &Corpus, index: u64) -> Vec<u32> {
    let mut example = Example::of_text(&[7; 3]);
    corpus.example(index, &mut example).unwrap();
    whole(example)
}

/// The text of an example, all of which but the first token is predicted.
fn whole(example: Example) -> Vec<u32> {
    let Example { tokens, targets, .. } = &example;
    assert_eq!(tokens[1..], targets[..targets.len() - 1]);
    [&tokens[..1], targets].concat()
}

fn held_out(corpus: &Corpus) -> Vec<Vec<u32>> {
    corpus.held_out().map(|example| whole(example.unwrap())).collect()
}

#[test]
fn the_end_of_a_text_is_held_out_and_never_trained_on() {
    let folder = TemporaryFolder::new();
    // Two bytes say where they stand.
    let bytes: Vec<u8> = (0..500_u16).flat_map(u16::to_be_bytes).collect();
    let corpus = open(&request(Some(folder.file("text", &bytes))));
    assert_eq!((corpus.training_tokens(), corpus.held_out_tokens()), (Some(900), 100));
    let mut seen = [false; 1000];
    for index in 0..2000 {
        let window: Vec<u8> = to_bytes(&example(&corpus, index));
        assert_eq!(window.len(), 17);
        let places = (0..900 - 16).filter(|&place| bytes[place..place + 17] == window);
        places.for_each(|place| seen[place..place + 17].fill(true));
    }
    assert!(seen[..900].iter().all(|&seen| seen), "every byte of the rest is trained on");
    let windows = held_out(&corpus);
    assert_eq!(windows.len(), corpus.held_out_windows());
    let held_out: Vec<u32> = bytes[900..].iter().map(|&byte| u32::from(byte)).collect();
    let predicted: Vec<u32> = windows.iter().flat_map(|window| window[1..].to_vec()).collect();
    assert_eq!(predicted, held_out[1..]);
}

#[test]
fn a_text_of_its_own_can_be_held_out() {
    let folder = TemporaryFolder::new();
    let data = folder.file("text", "a".repeat(40));
    let valid = Some(folder.file("valid", "xyz"));
    let corpus = open(&CorpusRequest { valid, ..request(Some(data)) });
    assert_eq!((corpus.training_tokens(), corpus.held_out_tokens()), (Some(40), 3));
    assert_eq!(held_out(&corpus), [[120, 121, 122]]);
}

#[test]
fn a_folder_is_one_text_in_the_order_of_its_files() {
    let folder = TemporaryFolder::new();
    for (name, text) in [("b", "b".repeat(30)), ("c", "c".repeat(17)), ("a", "a".repeat(30))] {
        folder.file(name, text);
    }
    let corpus = open(&request(Some(folder.path().to_owned())));
    assert_eq!(to_bytes(&held_out(&corpus)[0]), [b'c'; 17]);
    let joined = folder.path().join("joined");
    std::fs::create_dir(&joined).unwrap();
    let all = folder.file("joined/all", ["a".repeat(30), "b".repeat(30), "c".repeat(17)].concat());
    let joined = open(&request(Some(all)));
    (0..100).for_each(|index| assert_eq!(example(&joined, index), example(&corpus, index)));
}

#[test]
fn tokens_of_a_tokenizer_are_the_unit_of_everything() {
    let folder = TemporaryFolder::new();
    let corpus = open(&CorpusRequest {
        tokenizer: Some(folder.file("tokenizer.json", WORDS)),
        cache: Some(folder.path().join("cache")),
        ..request(Some(folder.file("text", "one two three ".repeat(100))))
    });
    assert_eq!((corpus.measure().unit, corpus.vocabulary()), (Unit::Token, 6));
    assert_eq!(corpus.training_tokens().unwrap() + corpus.held_out_tokens(), 301);
    assert_eq!(corpus.measure().bytes_per_token, Some(1400.0 / 301.0));
    let window = example(&corpus, 0);
    assert_eq!(window.len(), 17);
    assert!(window.windows(2).all(|pair| pair[1] == pair[0] % 3 + 1), "{window:?}");
    assert_eq!((corpus.floor(), corpus.baseline().unwrap()), (None, None));
    assert!(corpus.tokenizer().unwrap().ends_with("tokenizer.json"));
}

#[test]
fn stories_are_endless_and_have_a_floor_below_what_three_bytes_tell() {
    let corpus = open(&CorpusRequest { length: 256, ..request(None) });
    assert_eq!((corpus.measure().unit, corpus.vocabulary()), (Unit::Byte, 256));
    assert_eq!((corpus.training_tokens(), corpus.held_out_tokens()), (None, 8 * 256));
    for index in [0, 1, u64::MAX] {
        let window = example(&corpus, index);
        assert_eq!((window.len(), window[0], window[256]), (257, 79, 79));
    }
    let windows = held_out(&corpus);
    assert!(windows.len() == 8 && windows.iter().all(|window| window.len() == 257));
    let (floor, baseline) = (corpus.floor().unwrap(), corpus.baseline().unwrap().unwrap());
    assert!(floor < 0.6 && baseline > 1.5 * floor && baseline < 2.0, "{floor}, {baseline}");
}

#[test]
fn the_baseline_of_a_text_learns_what_three_bytes_tell() {
    let folder = TemporaryFolder::new();
    let corpus = open(&request(Some(folder.file("text", "abcabd".repeat(2000)))));
    // After "cab" comes d, after "dab" comes c, and nothing else ever.
    assert!(corpus.baseline().unwrap().unwrap() < 0.2);
    // Longer than what is counted: the parts reach the end, where the text is another.
    let long = ["a".repeat(2_000_000), "abcabd".repeat(200_000)].concat();
    let valid = Some(folder.file("valid", "abcabd".repeat(20)));
    let corpus = open(&CorpusRequest { valid, ..request(Some(folder.file("long", long))) });
    assert!(corpus.baseline().unwrap().unwrap() < 0.2);
    let noise = ternary_core::noise::Noise::new(1, 2, 3);
    let random: Vec<u8> = (0..20_000).map(|index| noise.bits(index) as u8).collect();
    let baseline = open(&request(Some(folder.file("random", random)))).baseline().unwrap().unwrap();
    assert!(baseline > 256_f64.ln(), "nothing tells what comes next: {baseline}");
}

#[test]
fn the_identity_changes_with_the_text_and_how_it_is_cut() {
    let folder = TemporaryFolder::new();
    let text = folder.file("text", "a".repeat(200));
    let first = request(Some(text.clone()));
    let identity = |request: &CorpusRequest| open(request).identity().to_owned();
    let before = identity(&first);
    assert_eq!(before, identity(&first));
    let copy = folder.file("copy", "a".repeat(200));
    assert_eq!(before, identity(&CorpusRequest { data: Some(copy), ..first.clone() }));
    for other in [
        CorpusRequest { held_out: 0.2, ..first.clone() },
        CorpusRequest { seed: 4, ..first.clone() },
        CorpusRequest { length: 15, ..first.clone() },
        CorpusRequest { valid: Some(text.clone()), ..first.clone() },
        CorpusRequest { length: 256, data: None, ..first.clone() },
    ] {
        assert_ne!(before, identity(&other), "{other:?}");
    }
    std::fs::write(&text, "a".repeat(199) + "b").unwrap();
    assert_ne!(before, identity(&first));
}

#[test]
fn texts_that_cannot_be_used_are_refused_with_what_was_expected() {
    let folder = TemporaryFolder::new();
    let good = folder.file("good", "a".repeat(100));
    let empty = folder.file("empty", "");
    let error_of = |name: &str| error(&request(Some(folder.path().join(name))));
    assert!(error_of("empty").contains("empty: expected a text"), "{}", error_of("empty"));
    assert!(error_of("none").contains("none"));
    assert!(error_of("*.md").contains("*.md: expected at least one file"));
    folder.file("short", "a".repeat(33));
    assert!(error_of("short").contains("expected at least 34"), "{}", error_of("short"));
    let long = CorpusRequest { length: 100, ..request(Some(good.clone())) };
    assert!(error(&long).contains("windows of 100"));
    let valid =
        |valid: PathBuf| CorpusRequest { valid: Some(valid), ..request(Some(good.clone())) };
    assert!(error(&valid(empty)).contains("empty: expected a text"));
    assert!(error(&valid(folder.file("one", "a"))).contains("at least 2 tokens"));
    let short = CorpusRequest { length: 100, ..valid(good.clone()) };
    assert!(error(&short).contains("expected at least 101"), "{}", error(&short));
    assert!(error(&request(None)).contains("batch.length=256"));
}

#[test]
fn a_text_without_a_window_in_each_part_is_refused_with_the_length_it_needs() {
    for share in [0.001, 0.1, 0.5, 0.75, 0.99] {
        for length in [2, 16, 255] {
            let Err(Error::TextTooShort { expected, found: 0, .. }) =
                training_tokens(0, share, length)
            else {
                panic!("an empty text of share {share}");
            };
            assert!(training_tokens(expected - 1, share, length).is_err(), "{share}");
            let training = training_tokens(expected + 1, share, length).unwrap();
            assert!(training > length && expected + 1 - training > length);
        }
    }
    assert_eq!(training_tokens(1001, 0.1, 16).unwrap(), 900);
}

#[test]
fn any_thread_sees_the_same_examples() {
    let corpus = open(&CorpusRequest { length: 256, ..request(None) });
    let alone: Vec<Vec<u32>> = (0..50).map(|index| example(&corpus, index)).collect();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for index in (0..50).rev() {
                    assert_eq!(example(&corpus, index), alone[index as usize]);
                }
            });
        }
    });
}

#[test]
fn a_text_that_is_cut_short_while_it_is_trained_on_is_an_error_with_both_lengths() {
    let folder = TemporaryFolder::new();
    let text = folder.file("book.txt", "a".repeat(100_000));
    let corpus = open(&request(Some(text.clone())));
    example(&corpus, 0);
    std::fs::File::options().write(true).open(&text).unwrap().set_len(50_000).unwrap();
    let said = [
        corpus.example(1, &mut Example::default()).unwrap_err(),
        corpus.held_out().next().unwrap().unwrap_err(),
        corpus.baseline().unwrap_err(),
    ];
    for said in said.map(|error| error.to_string()) {
        assert!(said.contains("book.txt") && said.contains("100000 bytes"), "{said}");
        assert!(said.contains("found 50000"), "{said}");
    }
}
