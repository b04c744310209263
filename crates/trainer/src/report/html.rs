//! Text that cannot become markup.

use std::borrow::Cow;

/// The text as HTML shows it: with the five characters that mean something written as references, and characters
/// that no page may hold, as a control character, written as U+FFFD.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| !matches!(c, '&' | '<' | '>' | '"' | '\'') && is_allowed(c);
    if text.chars().all(is_plain) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if is_allowed(c) => escaped.push(c),
            _ => escaped.push(char::REPLACEMENT_CHARACTER),
        }
    }
    escaped.into()
}

/// Control characters are not allowed, nor those that turn the direction of the text around them.
fn is_allowed(c: char) -> bool {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    matches!(c, '\n' | '\t') || !(c.is_control() || turns)
}

/// JSON that can stand inside a `script` element: no `<` that could end it.
pub(super) fn script_json(value: &serde_json::Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_text_and_what_no_page_may_hold_is_replaced() {
        assert_eq!(
            escape("<b onclick='x'>\"&amp;\""),
            "&lt;b onclick=&#39;x&#39;&gt;&quot;&amp;amp;&quot;"
        );
        assert_eq!(escape("a\u{0}\u{1b}\r\u{202e}\n\tb"), "a\u{fffd}\u{fffd}\u{fffd}\u{fffd}\n\tb");
        assert!(matches!(escape("plain – ünïcode"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_script_cannot_be_ended_by_its_data() {
        let json = script_json(&serde_json::json!({"a": "</script><!--"}));
        assert_eq!(json, r#"{"a":"\u003c/script>\u003c!--"}"#);
    }
}
