//! Tests of samples as a run reads them.

use super::*;
use crate::temporary::TemporaryFolder;

const LENGTH: usize = 12;

fn asked(folder: &TemporaryFolder) -> SamplesRequest {
    SamplesRequest {
        model: folder.path().to_owned(),
        skips_bad_lines: false,
        long: Long::Cut,
        packs: true,
        learns_prompts: false,
    }
}

fn request() -> CorpusRequest {
    CorpusRequest {
        data: None,
        valid: None,
        tokenizer: None,
        cache: None,
        held_out: 0.25,
        length: LENGTH,
        windows: 100,
        seed: 3,
        samples: None,
    }
}

/// Thirty answers of different lengths; all bytes of one are the same letter, its prompt a capital.
fn lines() -> String {
    let line = |number: u8| {
        let (prompt, answer) = ((b'A' + number) as char, (b'a' + number) as char);
        let answer = String::from(answer).repeat(1 + usize::from(number) % 6);
        format!("{{\"prompt\": \"{prompt}\", \"completion\": \"{answer}\"}}\n")
    };
    (0..26).map(line).collect()
}

fn open(folder: &TemporaryFolder, lines: &str, samples: &SamplesRequest) -> Result<Samples> {
    Samples::open(&folder.file("data.jsonl", lines), &request(), samples, &mut |_| ())
}

/// Every sequence of an example as what it reads and what it learns, without what fills it up.
fn sequences(example: &Example) -> Vec<(Vec<u32>, Vec<u32>)> {
    let Sequences { count, length } = example.sequences;
    assert_eq!((example.tokens.len(), example.targets.len()), (count * length, count * length));
    let sequence = |index: usize| {
        let rows = index * length..(index + 1) * length;
        let (tokens, targets) = (&example.tokens[rows.clone()], &example.targets[rows]);
        let end = targets.iter().rposition(|&target| target != IGNORED).unwrap() + 1;
        assert!(tokens[end..].iter().all(|&token| token == FILLING));
        (tokens[..end].to_vec(), targets[..end].to_vec())
    };
    (0..count).map(sequence).collect()
}

#[test]
fn an_epoch_sees_every_sample_that_is_not_held_out_once_and_each_in_a_sequence_of_its_own() {
    let folder = TemporaryFolder::new();
    for packs in [true, false] {
        let samples = open(&folder, &lines(), &SamplesRequest { packs, ..asked(&folder) }).unwrap();
        let mut seen = Vec::new();
        let mut example = Example::default();
        for window in 0..samples.packs.per_epoch() as u64 {
            samples.example(window, &mut example);
            assert!(example.tokens.len() <= LENGTH);
            assert!(packs || example.sequences.count == 1);
            for (tokens, targets) in sequences(&example) {
                let letter = tokens[0] + 32;
                assert!(tokens[1..].iter().chain(&targets).all(|&token| token == letter));
                seen.push(letter);
            }
        }
        let held_out: Vec<Example> =
            (0..samples.held_out_count()).map(|index| samples.held_out(index)).collect();
        assert!(!held_out.is_empty() && held_out.len() < 13, "{}", held_out.len());
        let tokens = |letters: &[u32]| -> u64 {
            letters.iter().map(|letter| u64::from(1 + (letter - 97) % 6)).sum()
        };
        let out: Vec<u32> = held_out.iter().map(|example| example.tokens[0] + 32).collect();
        assert_eq!(samples.training_tokens(), tokens(&seen));
        assert_eq!(samples.held_out_tokens(), tokens(&out));
        seen.extend(out);
        seen.sort_unstable();
        assert_eq!(seen, (97..97 + 26).collect::<Vec<u32>>());
    }
}

#[test]
fn a_bad_line_is_an_error_that_names_it_or_is_left_out_and_told() {
    let folder = TemporaryFolder::new();
    let bad = format!("{}\n  \n{{\"prompt\": \"x\", \"completion\": \"\"}}\nnonsense\n", lines());
    let error = open(&folder, &bad, &asked(&folder)).unwrap_err().to_string();
    assert!(error.contains("data.jsonl, line 29: completion: expected something"), "{error}");
    assert!(error.contains("--skip-bad-lines"), "{error}");
    let skipping = SamplesRequest { skips_bad_lines: true, ..asked(&folder) };
    let mut told = Vec::new();
    let path = folder.file("data.jsonl", &bad);
    let samples =
        Samples::open(&path, &request(), &skipping, &mut |line| told.push(line.to_string()));
    assert_eq!(samples.unwrap().all.len(), 26);
    assert!(told[0].starts_with("left out: ") && told[1].contains("line 30"), "{told:?}");
    assert_eq!(told[2], "2 of 28 lines are left out");
}

#[test]
fn a_mark_at_the_beginning_and_carriage_returns_mean_nothing() {
    let folder = TemporaryFolder::new();
    let plain = open(&folder, &lines(), &asked(&folder)).unwrap();
    let edited = format!("\u{FEFF}{}", lines().replace('\n', "\r\n"));
    let edited = open(&folder, &edited, &asked(&folder)).unwrap();
    let all = |samples: &Samples| -> Vec<(Vec<u32>, Vec<u32>)> {
        let get = |sample| samples.all.get(sample);
        (0..samples.all.len()).map(get).map(|(a, b)| (a.to_vec(), b.to_vec())).collect()
    };
    assert_eq!(all(&edited), all(&plain));
    // Anywhere else the mark is no white space.
    let error = open(&folder, &lines().replace('\n', "\n\u{FEFF}"), &asked(&folder)).unwrap_err();
    assert!(error.to_string().contains("line 2: expected a JSON object"), "{error}");
}

#[test]
fn an_answer_to_more_than_a_window_is_left_out_and_the_others_of_its_conversation_are_not() {
    let folder = TemporaryFolder::new();
    // What is last is marked: each answer is a sample of its own.
    folder.file(
        "chat_template.jinja",
        "{% for m in messages %}{{ m.content }}{% if loop.last and m.role == 'assistant' %}!{% endif %}{% endfor %}",
    );
    let talk = |first: &str, second: &str| {
        let said =
            |role: &str, text: &str| format!("{{\"role\": \"{role}\", \"content\": \"{text}\"}}");
        let turns = [
            said("user", first),
            said("assistant", "x"),
            said("user", second),
            said("assistant", "y"),
            said("user", "z"),
            said("assistant", "z"),
        ];
        format!("{}{{\"messages\": [{}]}}\n", lines(), turns.join(", "))
    };
    let read = |lines: &str, samples: &SamplesRequest| {
        let (path, mut told) = (folder.file("data.jsonl", lines), Vec::new());
        let tell = &mut |line: fmt::Arguments<'_>| told.push(line.to_string());
        let samples = Samples::open(&path, &request(), samples, tell);
        (samples.map(|samples| samples.all.len()), told)
    };
    let (count, told) = read(&talk("a", &"b".repeat(20)), &asked(&folder));
    assert_eq!(count.unwrap(), 26 + 1);
    let said = "2 answers of conversations are left out: what stands before each fills a window of 12 tokens";
    assert_eq!(told, [said]);
    let (count, told) = read(&talk("a", "b"), &asked(&folder));
    assert_eq!((count.unwrap(), told.len()), (26 + 3, 0));
    // Where nothing is left, the line is a bad one, and so it is where nothing may be cut.
    let (error, _) = read(&talk(&"a".repeat(20), "b"), &asked(&folder));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("line 27: ") && error.contains("a prompt that fills them"), "{error}");
    let refusing = SamplesRequest { long: Long::Refuse, ..asked(&folder) };
    let (error, _) = read(&talk("a", &"b".repeat(20)), &refusing);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("line 27: expected at most 13 tokens"), "{error}");
}

#[test]
fn a_sample_that_no_window_holds_is_cut_and_told_or_refused() {
    let folder = TemporaryFolder::new();
    let long = |prompt: usize| {
        let prompt = "p".repeat(prompt);
        format!("{}{{\"prompt\": \"{prompt}\", \"completion\": \"{}\"}}\n", lines(), "c".repeat(20))
    };
    let mut told = Vec::new();
    let path = folder.file("data.jsonl", long(3));
    let samples =
        Samples::open(&path, &request(), &asked(&folder), &mut |line| told.push(line.to_string()));
    let all = samples.unwrap().all;
    assert_eq!(all.get(26).0.len(), LENGTH);
    assert_eq!(
        told,
        ["1 of 27 samples are longer than a window of 12 tokens: their ends are cut off"]
    );
    let error = open(&folder, &long(13), &asked(&folder)).unwrap_err().to_string();
    assert!(error.contains("line 27") && error.contains("a prompt that fills them"), "{error}");
    let refusing = SamplesRequest { long: Long::Refuse, ..asked(&folder) };
    let error = open(&folder, &long(3), &refusing).unwrap_err().to_string();
    assert!(error.contains("line 27: expected at most 13 tokens"), "{error}");
    let short = format!("{}{{\"text\": \"a\"}}", lines());
    let error = open(&folder, &short, &asked(&folder)).unwrap_err().to_string();
    assert!(error.contains("expected two tokens at least"), "{error}");
}

#[test]
fn too_few_samples_are_an_error_and_samples_of_their_own_can_be_held_out() {
    let folder = TemporaryFolder::new();
    let one = "{\"text\": \"abc\"}\n";
    for (lines, found) in
        [("\n", "found none"), (one, "1 that are all the same"), (&one.repeat(3), "3 that")]
    {
        let error = open(&folder, lines, &asked(&folder)).unwrap_err().to_string();
        assert!(error.contains("two different samples") && error.contains(found), "{error}");
    }
    let valid = Some(folder.file("valid.jsonl", "{\"text\": \"xyz\"}"));
    let request = CorpusRequest { valid, ..request() };
    let data = folder.file("data.jsonl", one);
    let samples = Samples::open(&data, &request, &asked(&folder), &mut |_| ()).unwrap();
    assert_eq!(samples.held_out(0), Example::of_text(&[120, 121, 122]));
    assert_eq!((samples.packs.per_epoch(), samples.training_tokens()), (1, 2));
}

#[test]
fn samples_are_known_by_how_their_files_end_and_are_not_mixed_with_text() {
    let folder = TemporaryFolder::new();
    let text = folder.file("a.txt", "abc");
    assert!(!are_samples(&text).unwrap());
    let samples = folder.file("b.jsonl", "");
    assert!(are_samples(&samples).unwrap());
    let error = are_samples(folder.path()).unwrap_err().to_string();
    assert!(error.contains("not both, found 1 of 2 files"), "{error}");
    assert!(are_samples(&folder.file("C.JSONL", "")).unwrap());
}

#[test]
fn a_text_to_be_learnt_is_no_json_and_nothing_is_asked_of_its_samples() {
    let folder = TemporaryFolder::new();
    for name in ["a.json", "b.ndjson", "c.NDJSON"] {
        let error = check_text(&folder.file(name, ""), &asked(&folder)).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("whose names end in .jsonl"), "{error}");
    }
    let text = folder.file("d.txt", "");
    check_text(&text, &asked(&folder)).unwrap();
    // Among other files one may be a text.
    check_text(folder.path(), &asked(&folder)).unwrap();
    for samples in [
        SamplesRequest { skips_bad_lines: true, ..asked(&folder) },
        SamplesRequest { long: Long::Refuse, ..asked(&folder) },
        SamplesRequest { packs: false, ..asked(&folder) },
        SamplesRequest { learns_prompts: true, ..asked(&folder) },
    ] {
        let error = check_text(&text, &samples).unwrap_err().to_string();
        assert!(error.contains("--with-prompts") && error.contains("found a text"), "{error}");
    }
}

#[test]
fn evaluated_samples_are_spread_from_the_first_to_the_last() {
    assert_eq!(spread((0..5).collect(), 5), [0, 1, 2, 3, 4]);
    assert_eq!(spread((0..101).collect(), 3), [0, 50, 100]);
    assert_eq!(spread((4..9).collect(), 1), [4]);
}
