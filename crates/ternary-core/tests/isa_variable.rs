//! The environment variable that forces an instruction set. It is read once for a process, so each
//! case runs this very test again in a process of its own.

use std::ffi::OsStr;
use std::process::Command;

use ternary_core::kernels::{ISA_VARIABLE, Isa, Kernels, QuantizedRows};
use ternary_core::quantize::Absmean;
use ternary_core::{Error, Granularity, Packing, Result, TernaryMatrix};

/// Tells the process of a case what it has to find: the name of an instruction set, or [`REFUSAL`]
/// and the name that is refused.
const EXPECTED: &str = "TERNARY_TEST_EXPECTED";
const REFUSAL: &str = "refusal of ";

/// Quantises a matrix and multiplies with it, and says which instruction set the kernels have.
fn quantise_and_multiply() -> Result<Isa> {
    let rule = Absmean::new(Granularity::Tensor);
    let weights = [1.0_f32, -1.0, 0.0, 2.0];
    let matrix = TernaryMatrix::quantize(2, 2, &weights[..], &rule, Packing::FiveTrits)?;
    let kernels = Kernels::detect()?;
    let mut x = QuantizedRows::new();
    kernels.quantize_rows(&[127.0, 1.0], 1, &mut x)?;
    let mut y = [0.0; 2];
    kernels.matmul_i8(&x, &matrix, &mut y)?;
    assert_eq!(y, [126.0, 1.0]);
    Ok(kernels.isa())
}

fn assert_finds(expected: &str) {
    match expected.strip_prefix(REFUSAL) {
        None => assert_eq!(quantise_and_multiply().map(Isa::name), Ok(expected)),
        Some(name) => match quantise_and_multiply() {
            Err(Error::IsaUnavailable { requested, available }) => {
                assert_eq!(requested, name);
                assert!(available.ends_with("portable"), "{available}");
            }
            other => panic!("{other:?} where {name:?} was asked for"),
        },
    }
}

/// Runs the test below in a process of its own, with the variable set to `value` or not set.
fn run_with(value: Option<&OsStr>, expected: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_variable_chooses_the_instruction_set_or_is_refused"]);
    command.env(EXPECTED, expected).env_remove(ISA_VARIABLE);
    if let Some(value) = value {
        command.env(ISA_VARIABLE, value);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{value:?}: {text}");
}

#[test]
fn the_variable_chooses_the_instruction_set_or_is_refused() {
    if let Ok(expected) = std::env::var(EXPECTED) {
        return assert_finds(&expected);
    }
    let refusal = |name: &str| format!("{REFUSAL}{name}");
    for isa in Isa::ALL {
        let name = isa.name();
        let expected = if isa.is_available() { name.to_owned() } else { refusal(name) };
        run_with(Some(OsStr::new(name)), &expected);
    }
    for name in ["sse9", "", "AVX2", " portable"] {
        run_with(Some(OsStr::new(name)), &refusal(name));
    }
    run_with(None, Isa::available()[0].name());
}

#[cfg(unix)]
#[test]
fn a_name_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    run_with(Some(OsStr::from_bytes(b"avx\xff")), &format!("{REFUSAL}avx\u{fffd}"));
}
