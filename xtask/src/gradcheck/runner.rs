//! Running cases, several at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rayon::prelude::*;

use super::case::{Case, Row};

/// How a case went.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The case.
    pub(crate) name: String,
    /// What it covers.
    pub(crate) covers: Vec<&'static str>,
    /// Its rows, or what kept it from having any.
    pub(crate) rows: Result<Vec<Row>, String>,
}

impl Ran {
    /// Whether it compared something and all of it is within the bounds.
    pub(crate) fn passed(&self) -> bool {
        let all = |rows: &Vec<Row>| !rows.is_empty() && rows.iter().all(|row| row.passed);
        self.rows.as_ref().is_ok_and(all)
    }
}

/// Runs one case; a panic fails it.
pub(crate) fn run_case(case: &dyn Case) -> Ran {
    let rows = match catch_unwind(AssertUnwindSafe(|| case.run())) {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("panicked: {}", text.unwrap_or("without a message")))
        }
    };
    Ran { name: case.name().to_owned(), covers: case.covers().to_vec(), rows }
}

/// Runs all cases, in parallel, and returns them in their order.
pub(crate) fn run_cases(cases: &[Box<dyn Case>]) -> Vec<Ran> {
    cases.par_iter().map(|case| run_case(case.as_ref())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::comparison::Comparison;

    fn ran(
        compute: fn() -> crate::gradcheck::case::Outcome<Vec<crate::gradcheck::comparison::Pair>>,
    ) -> Ran {
        run_case(&Comparison::new("a", &["b"], compute))
    }

    #[test]
    fn an_error_a_panic_and_no_rows_at_all_fail_a_case() {
        let error = ran(|| Err("refused".into()));
        assert!(!error.passed() && error.rows.unwrap_err() == "refused");
        let panic = ran(|| panic!("index {}", 7));
        assert!(!panic.passed() && panic.rows.unwrap_err() == "panicked: index 7");
        assert!(!ran(|| Ok(Vec::new())).passed());
    }
}
