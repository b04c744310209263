//! Files of adapters that somebody made to do harm: each is an error or what was asked for, and memory stays within
//! a bound made from the sizes of the files.

mod watching;

use interop::Problem;
use interop::adapters::{Files, Options, mlx, peft};
use interop::lora_backward::{Adapter, Adapters, Scaling};

type Read = fn(&Files) -> Result<Adapters<f64>, Problem>;

/// Both formats, with files of each.
fn formats() -> [(Read, Files); 2] {
    let mut adapters = Adapters::default();
    for module in ["model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj"] {
        let scaling = Scaling { alpha: 4.0, rank_stabilised: false };
        let mut adapter = Adapter::<f64>::kaiming(module, [3, 5], 2, scaling, 1).unwrap();
        // Numbers that half of the bits suffice for.
        adapter.a.iter_mut().for_each(|number| *number = (*number * 64.0).round());
        adapters.insert(module, adapter).unwrap();
    }
    let options = Options::default();
    [
        (peft::from_bytes, peft::to_bytes(&adapters, &options).unwrap()),
        (mlx::from_bytes, mlx::to_bytes(&adapters, &options).unwrap()),
    ]
}

/// Reads files, asserting that memory is what their sizes explain, and a few compiled expressions.
fn within_bounds(read: Read, files: &Files) -> Result<Adapters<f64>, Problem> {
    let (result, memory) = watching::watched(|| read(files));
    let watching::Memory { largest, passing } = memory;
    let limit = (8 << 20) + 64 * (files.config.len() + files.weights.len());
    assert!(largest <= limit, "{largest} bytes");
    assert!(passing <= 2 * limit as isize, "{passing} bytes");
    result
}

#[test]
fn files_cut_off_anywhere_are_errors() {
    for (read, files) in formats() {
        for length in 0..files.weights.len() {
            let weights = files.weights[..length].to_vec();
            assert!(within_bounds(read, &Files { weights, ..files.clone() }).is_err(), "{length}");
        }
        // A line ends the configuration.
        for length in 0..files.config.len() - 1 {
            let config = files.config[..length].to_vec();
            assert!(within_bounds(read, &Files { config, ..files.clone() }).is_err(), "{length}");
        }
    }
}

#[test]
fn a_header_with_any_other_byte_in_it_is_an_error_or_the_same_adapters() {
    for (read, files) in formats() {
        let expected = read(&files).unwrap();
        let mut changed = files.clone();
        let header = 8 + u64::from_le_bytes(files.weights[..8].try_into().unwrap()) as usize;
        for position in 0..header {
            for byte in *b"\"{}[]:,0159 \\aAbBxF_.\n\x00\xff" {
                changed.weights[position] = byte;
                if let Ok(adapters) = within_bounds(read, &changed) {
                    let names = |adapters: &Adapters<f64>| {
                        adapters.iter().map(|(module, _)| module.to_owned()).collect::<Vec<_>>()
                    };
                    assert_eq!(names(&adapters).len(), names(&expected).len());
                    assert_eq!(adapters.dropout, expected.dropout);
                }
            }
            changed.weights[position] = files.weights[position];
        }
    }
}

#[test]
fn a_configuration_with_any_other_byte_in_it_is_an_error_or_has_the_same_matrices() {
    for (read, files) in formats() {
        let expected = read(&files).unwrap();
        let mut changed = files.clone();
        for position in 0..files.config.len() {
            for byte in *b"\"{}[]:,01e-\\a.*(?|^$+\x00\xff" {
                changed.config[position] = byte;
                if let Ok(adapters) = within_bounds(read, &changed) {
                    assert_eq!(adapters.len(), expected.len());
                    for ((module, adapter), (other, same)) in adapters.iter().zip(expected.iter()) {
                        assert_eq!((module, &adapter.a, &adapter.b), (other, &same.a, &same.b));
                    }
                }
            }
            changed.config[position] = files.config[position];
        }
    }
}

#[test]
fn configurations_that_ask_for_much_are_refused_in_little_memory() {
    let [(read, files), _] = formats();
    let text = String::from_utf8(files.config.clone()).unwrap();
    let with = |key: &str, value: &str| {
        let at = text.find(key).unwrap();
        let end = at + text[at..].find(['\n']).unwrap();
        let config = format!("{}{key}: {value},{}", &text[..at], &text[end..]);
        within_bounds(read, &Files { config: config.into_bytes(), weights: files.weights.clone() })
    };
    let targets = |value: &str| {
        let at = text.find("\"target_modules\"").unwrap();
        let end = at + text[at..].find(']').unwrap() + 1;
        let config = format!("{}\"target_modules\": {value}{}", &text[..at], &text[end..]);
        within_bounds(read, &Files { config: config.into_bytes(), weights: files.weights.clone() })
    };
    assert!(targets(r#""(.*)*(.*)*(.*)*_proj""#).is_ok());
    for (result, message) in [
        (with("\"r\"", "18446744073709551615"), "rank: expected 18446744073709551615"),
        (with("\"r\"", "4611686018427387904"), "rank: expected 4611686018427387904"),
        (with("\"lora_alpha\"", "1e999"), "configuration: number out of range"),
        (targets(r#""(\\w{500}){500}""#), "expected one of at most"),
        (targets(&format!("\"{}\"", "(".repeat(16_000))), "expected one that can be read"),
        (targets(&format!("\"{}\"", "(".repeat(100_000))), "expected at most 16384 bytes"),
        (targets(&"[".repeat(100_000)), "configuration: recursion limit exceeded"),
        (
            with("\"rank_pattern\"", &format!("{{{}\"z\":1}}", "\"\\\\w{900}\":1,")),
            "expected one of at most",
        ),
    ] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(message), "{message}: {error}");
    }
}

#[test]
fn thousands_of_names_and_layers_take_no_time_to_speak_of() {
    let [(read, files), _] = formats();
    let text = String::from_utf8(files.config).unwrap();
    let names: Vec<String> = (0..50_000).map(|index| format!("\"up_proj.{index}\"")).collect();
    let at = text.find("\"target_modules\": [").unwrap() + "\"target_modules\": [".len();
    let config = format!(
        "{}{},{}",
        &text[..at],
        names.join(","),
        &text[at..].replacen(']', "], \"layers_to_transform\": [0, 1]", 1)
    );
    let files = Files { config: config.into_bytes(), weights: files.weights };
    assert_eq!(within_bounds(read, &files).unwrap().len(), 2);
}
