//! [`Line`]: what a line of a file of samples says.

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// A sample as it is written down.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Line {
    /// `{"text": "…"}`: all of it is learnt.
    Text(String),
    /// `{"prompt": "…", "completion": "…"}`: the completion is learnt.
    Answer { prompt: String, completion: String },
    /// `{"messages": [{"role": "user", "content": "…"}, …]}`: what the assistant says is learnt. The messages stay as they
    /// are: templates read more of them than these two fields.
    Conversation(Vec<Value>),
}

/// The fields that are known. Others tell where a sample is from, say, and are left alone; null is as no field.
#[derive(Debug, Deserialize)]
struct Fields {
    text: Option<Value>,
    prompt: Option<Value>,
    completion: Option<Value>,
    messages: Option<Value>,
}

const EXPECTED: &str = "expected text, or prompt and completion, or messages";

impl Line {
    /// Reads a line. Nothing of it is more than what the file has bytes for.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        let line = std::str::from_utf8(line).map_err(|error| {
            format!("expected UTF-8, found another byte after {} good ones", error.valid_up_to())
        })?;
        if !line.trim_start().starts_with('{') {
            return Err("expected a JSON object, as {\"text\": \"…\"}, found no brace".to_owned());
        }
        let fields: Fields = serde_json::from_str(line).map_err(|error| {
            let said = error.to_string();
            let what = said.split(" at line ").next().unwrap_or(&said);
            format!("expected a JSON object, found a fault at column {}: {what}", error.column())
        })?;
        match fields {
            Fields { text: Some(found), prompt: None, completion: None, messages: None } => {
                Ok(Self::Text(said("text", found)?))
            }
            Fields {
                text: None,
                prompt: Some(prompt),
                completion: Some(found),
                messages: None,
            } => {
                let prompt = text("prompt", prompt)?;
                Ok(Self::Answer { prompt, completion: said("completion", found)? })
            }
            Fields { text: None, prompt: None, completion: None, messages: Some(found) } => {
                conversation(found).map(Self::Conversation)
            }
            Fields { text, prompt, completion, messages } => {
                let there = [
                    ("text", text.is_some()),
                    ("prompt", prompt.is_some()),
                    ("completion", completion.is_some()),
                    ("messages", messages.is_some()),
                ];
                let found: Vec<_> =
                    there.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| *name).collect();
                let found =
                    if found.is_empty() { "none of them".to_owned() } else { found.join(" and ") };
                Err(format!("{EXPECTED}; found {found}"))
            }
        }
    }

    /// A number that is the same for the same sample, wherever and in whatever file it stands.
    pub(super) fn hash(&self) -> u64 {
        let mut hash = Sha256::new();
        let mut add = |part: &str| {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        };
        match self {
            Self::Text(text) => add(text),
            Self::Answer { prompt, completion } => {
                [prompt, completion].into_iter().for_each(|part| add(part))
            }
            // Keys of an object are in the order of their names.
            Self::Conversation(messages) => {
                messages.iter().for_each(|message| add(&message.to_string()));
            }
        }
        let digest: [u8; 32] = hash.finalize().into();
        digest.first_chunk().copied().map_or(0, u64::from_le_bytes)
    }
}

/// A text that may be empty.
fn text(name: &str, value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(format!("{name}: expected a text, found {}", kind(&other))),
    }
}

/// A text with something in it: what is learnt.
fn said(name: &str, value: Value) -> Result<String, String> {
    let text = text(name, value)?;
    if text.trim().is_empty() {
        return Err(format!("{name}: expected something to learn, found an empty text"));
    }
    Ok(text)
}

fn conversation(value: Value) -> Result<Vec<Value>, String> {
    let Value::Array(messages) = value else {
        return Err(format!("messages: expected a list, found {}", kind(&value)));
    };
    let mut has_answer = false;
    for (number, message) in messages.iter().enumerate() {
        let place = format!("message {}", number + 1);
        let Value::Object(fields) = message else {
            return Err(format!("{place}: expected an object, found {}", kind(message)));
        };
        let field = |name: &str| {
            let found = fields.get(name).cloned().unwrap_or_default();
            text(&format!("{place}: {name}"), found)
        };
        let (role, content) = (field("role")?, field("content")?);
        if role == ASSISTANT {
            has_answer = true;
            if content.trim().is_empty() {
                return Err(format!("{place}: expected something to learn, found an empty text"));
            }
        }
    }
    if !has_answer {
        return Err(format!("messages: expected one whose role is {ASSISTANT}, found none"));
    }
    Ok(messages)
}

/// Who says what is learnt.
pub(super) const ASSISTANT: &str = "assistant";

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "none",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Line, String> {
        Line::parse(line.as_bytes())
    }

    #[test]
    fn a_line_is_a_text_an_answer_or_a_conversation() {
        assert_eq!(parse(r#"{"text": "a", "id": 7}"#).unwrap(), Line::Text("a".into()));
        assert_eq!(
            parse(r#" {"completion": "b", "prompt": "", "text": null}"#).unwrap(),
            Line::Answer { prompt: String::new(), completion: "b".into() }
        );
        let talk = r#"{"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": "b"}]}"#;
        let Line::Conversation(messages) = parse(talk).unwrap() else { panic!("{talk}") };
        assert_eq!(messages[1]["content"], "b");
    }

    #[test]
    fn a_bad_line_is_told_with_what_was_expected_and_found() {
        for (line, said) in [
            ("", "found no brace"),
            ("[1]", "found no brace"),
            (r#"{"text": "a""#, "found a fault at column 12: EOF"),
            (r#"{"text": "a", "text": "b"}"#, "duplicate field `text`"),
            (r#"{"text": "a"} {}"#, "trailing characters"),
            ("{}", "found none of them"),
            (r#"{"text": "a", "messages": []}"#, "found text and messages"),
            (r#"{"prompt": "a"}"#, "found prompt"),
            (r#"{"text": 1}"#, "text: expected a text, found a number"),
            (r#"{"text": " \n"}"#, "text: expected something to learn, found an empty text"),
            (r#"{"prompt": "a", "completion": ""}"#, "completion: expected something to learn"),
            (r#"{"prompt": [], "completion": "a"}"#, "prompt: expected a text, found a list"),
            (r#"{"messages": {}}"#, "messages: expected a list, found an object"),
            (r#"{"messages": []}"#, "expected one whose role is assistant"),
            (r#"{"messages": [true]}"#, "message 1: expected an object, found true or false"),
            (
                r#"{"messages": [{"role": "user"}]}"#,
                "message 1: content: expected a text, found none",
            ),
            (
                r#"{"messages": [{"role": "assistant", "content": ""}]}"#,
                "message 1: expected something to learn",
            ),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
        }
        assert!(Line::parse(b"{\"text\": \"\xFF\"}").unwrap_err().contains("after 10 good ones"));
        let deep = format!("{{\"messages\": {}", "[".repeat(100_000));
        assert!(parse(&deep).unwrap_err().contains("recursion limit"));
    }

    #[test]
    fn samples_of_the_same_content_have_the_same_hash_and_others_another() {
        let hash = |line: &str| parse(line).unwrap().hash();
        let first = hash(r#"{"prompt": "ab", "completion": "c"}"#);
        assert_eq!(hash(r#"{"id": 1, "completion": "c", "prompt": "ab"}"#), first);
        assert_ne!(hash(r#"{"prompt": "a", "completion": "bc"}"#), first);
        let talk = |fields: &str| hash(&format!(r#"{{"messages": [{{{fields}}}]}}"#));
        let one = talk(r#""role": "assistant", "content": "b""#);
        assert_eq!(talk(r#""content": "b", "role": "assistant""#), one);
        assert_ne!(talk(r#""content": "b", "role": "assistant", "name": "x""#), one);
    }
}
