//! The rows of the table: each a name and the arguments of `ternary train`.

use ste::Mode;

/// A way to train.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Its name in the table, and at the beginning of the names of its folders.
    pub(super) name: String,
    /// What is told to `ternary train`, beside steps, seed and folder.
    pub(super) arguments: Vec<String>,
}

/// The row that the times of all others are compared with.
pub(super) const REFERENCE: &str = "absmean";

/// The rows before those of the other modes.
const FIRST: [(&str, &str); 5] = [
    ("float", "--ste none"),
    (REFERENCE, "--ste vanilla"),
    ("twn", "--ste twn"),
    ("ttq", "--ste ttq"),
    ("ttq-threshold", "--ste ttq --set ternary.threshold_learned=true"),
];

/// The rows after them.
const LAST: [(&str, &str); 9] = [
    ("fogzo-tail", "--fogzo-from 0.7"),
    ("dqt", "--dqt"),
    ("ohem-tokens", "--ohem 0.7 --set mining.by=tokens"),
    ("ohem-examples", "--ohem 0.75 --set mining.by=examples"),
    ("moe-float", "--preset moe --ste none"),
    ("moe-per-matrix", "--preset moe --set ternary.scale_sync=per-matrix"),
    ("moe-per-expert", "--preset moe --set ternary.scale_sync=per-expert"),
    ("moe-per-block", "--preset moe --set ternary.scale_sync=per-block"),
    (
        "moe-per-block-ple",
        "--preset moe --set ternary.scale_sync=per-block --set model.per_layer_embedding=32",
    ),
];

/// Every row, in the order of the table. Each mode of [`Mode::ALL`] has one.
pub(super) fn all() -> Vec<Row> {
    let rows = |rows: &[(&str, &str)]| -> Vec<Row> {
        rows.iter().map(|(name, arguments)| row(name, arguments)).collect()
    };
    let mut all = rows(&FIRST);
    let has_row = |mode: &Mode| FIRST.iter().any(|(_, of)| *of == format!("--ste {mode}"));
    let others = Mode::ALL.iter().filter(|mode| !has_row(mode));
    all.extend(others.map(|mode| row(mode.name(), &format!("--ste {mode}"))));
    all.extend(rows(&LAST));
    all
}

/// The rows of these names, or all where there are none.
pub(super) fn chosen(names: &[String]) -> Vec<Row> {
    let is_chosen = |row: &Row| names.is_empty() || names.contains(&row.name);
    all().into_iter().filter(is_chosen).collect()
}

/// Reads the name of a row.
pub(super) fn name(text: &str) -> Result<String, String> {
    let rows = all();
    match rows.iter().find(|row| row.name == text) {
        Some(row) => Ok(row.name.clone()),
        None => {
            let names: Vec<_> = rows.into_iter().map(|row| row.name).collect();
            Err(format!("expected one of {}", names.join(", ")))
        }
    }
}

fn row(name: &str, arguments: &str) -> Row {
    let arguments = arguments.split_whitespace().map(str::to_owned).collect();
    Row { name: name.to_owned(), arguments }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_mode_has_a_row_and_no_name_is_there_twice() {
        let rows = all();
        for mode in Mode::ALL {
            let of =
                |row: &&Row| row.arguments.windows(2).any(|pair| pair == ["--ste", mode.name()]);
            assert!(rows.iter().any(|row| of(&row)), "{mode}");
        }
        let names: BTreeSet<_> = rows.iter().map(|row| &row.name).collect();
        assert_eq!(names.len(), rows.len());
        // They are parts of file names.
        let is_plain = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(names.iter().all(|name| name.chars().all(is_plain)), "{names:?}");
    }

    #[test]
    fn a_name_that_no_row_has_is_refused_with_those_there_are() {
        assert_eq!(name("ttq"), Ok("ttq".to_owned()));
        assert!(name("TTQ").unwrap_err().contains("ttq-threshold"));
    }
}
