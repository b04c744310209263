//! [`Visible`]: texts for a terminal.

use std::fmt::{self, Write};

/// A text that may have parts of a file of others in it, without what a terminal would obey: control characters are
/// written as their codes. New lines and tabs stay.
pub(crate) struct Visible<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for Visible<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| self.write_char(character))
    }

    fn write_char(&mut self, character: char) -> fmt::Result {
        if character.is_control() && !matches!(character, '\n' | '\t') {
            write!(self.0, "{}", character.escape_unicode())
        } else {
            self.0.write_char(character)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_as_its_code_and_all_else_stays() {
        let shown = |text: &str| Visible(text).to_string();
        assert_eq!(shown("\u{1b}[31mred\u{7}\r"), "\\u{1b}[31mred\\u{7}\\u{d}");
        assert_eq!(shown("\u{9b}2J\u{7f}"), "\\u{9b}2J\\u{7f}");
        assert_eq!(shown("two\nlines\tof größe \\ 模型"), "two\nlines\tof größe \\ 模型");
    }
}
