//! The place of the table in a document: between two markers.

use std::error::Error;
use std::fs;
use std::path::Path;

const BEGIN: &str = "<!-- evidence: begin -->\n";
const END: &str = "<!-- evidence: end -->\n";

/// Checks that the document is there and has its markers.
///
/// # Errors
/// When it is not, or has not both of them once, in their order.
pub(crate) fn check(path: &Path) -> Result<(), Box<dyn Error>> {
    replaced(&read(path)?, "").map(|_| ()).map_err(|error| of(path, &error))
}

/// Writes `text` between the markers. Everything else stays.
///
/// # Errors
/// As [`check`], and when the file cannot be written.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), Box<dyn Error>> {
    let document = replaced(&read(path)?, text).map_err(|error| of(path, &error))?;
    fs::write(path, document).map_err(|error| of(path, &error.to_string()))
}

fn read(path: &Path) -> Result<String, Box<dyn Error>> {
    fs::read_to_string(path).map_err(|error| of(path, &error.to_string()))
}

fn of(path: &Path, error: &str) -> Box<dyn Error> {
    format!("{}: {error}", path.display()).into()
}

fn replaced(document: &str, text: &str) -> Result<String, String> {
    let once = |marker: &str| document.matches(marker).count() == 1;
    let parts = document.split_once(BEGIN).filter(|_| once(BEGIN) && once(END));
    let parts = parts.and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.ok_or_else(|| {
        let [begin, end] = [BEGIN, END].map(str::trim_end);
        format!("expected the lines {begin} and {end}, each once")
    })?;
    Ok(format!("{before}{BEGIN}\n{}\n\n{END}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let document = format!("# Title\n\n{BEGIN}old\n{END}\nThe end.\n");
        let once = replaced(&document, "| new |\n").unwrap();
        assert_eq!(once, format!("# Title\n\n{BEGIN}\n| new |\n\n{END}\nThe end.\n"));
        assert_eq!(replaced(&once, "| new |"), Ok(once.clone()));
    }

    #[test]
    fn a_document_without_both_markers_once_and_in_order_is_refused() {
        for document in [
            "".to_owned(),
            BEGIN.to_owned(),
            format!("{END}{BEGIN}"),
            format!("{BEGIN}{BEGIN}{END}"),
        ] {
            assert!(replaced(&document, "x").unwrap_err().contains("each once"), "{document}");
        }
    }
}
