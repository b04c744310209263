//! [`Encoder`]: samples to tokens, and which of them are learnt.

use std::ops::Range;

use nn::ops::IGNORED;
use serde_json::Value;

use super::line::{ASSISTANT, Line};
use crate::chat::Template;
use crate::data::TokenizerFile;

/// How samples become tokens.
#[derive(Debug)]
pub(super) struct Encoder<'a> {
    /// None where tokens are bytes.
    pub(super) tokenizer: Option<&'a TokenizerFile>,
    /// The chat template of the model, if it has one.
    pub(super) template: Option<Template>,
    /// The token that ends what a model says, if it has one.
    pub(super) end: Option<u32>,
    /// Whether prompts are learnt too.
    pub(super) learns_prompts: bool,
}

/// The tokens of a sample.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Encoded {
    pub(super) tokens: Vec<u32>,
    /// Those that are learnt.
    pub(super) learnt: Vec<Range<usize>>,
}

impl Encoded {
    fn add(&mut self, tokens: &[u32], is_learnt: bool) {
        let start = self.tokens.len();
        self.tokens.extend(tokens);
        if is_learnt && !tokens.is_empty() {
            self.learnt.push(start..self.tokens.len());
        }
    }

    /// What is read, at most `length` tokens, and for each of them what is to come next: its successor if that is
    /// learnt.
    pub(super) fn rows(&self, length: usize) -> (&[u32], Vec<u32>) {
        let rows = self.tokens.len().saturating_sub(1).min(length);
        let mut targets = vec![IGNORED; rows];
        for learnt in &self.learnt {
            // The first token of all is predicted from nothing.
            for place in learnt.start.max(1)..learnt.end.min(rows + 1) {
                targets[place - 1] = self.tokens[place];
            }
        }
        (&self.tokens[..rows], targets)
    }
}

/// A part of a sample: its text, and whether it is learnt.
type Part = (String, bool);

impl Encoder<'_> {
    /// The tokens of a line. A prompt and what answers it are encoded apart, as they are when the model is asked: so it
    /// learns to go on from the very tokens that it will be given.
    ///
    /// A conversation is one sample where the template writes each message the same whatever follows it. Templates that do
    /// not, as those that leave out what was thought before earlier answers, make a sample of each answer with what
    /// stands before it.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn encode(&self, line: &Line) -> Result<Vec<Encoded>, String> {
        match line {
            Line::Text(text) => {
                let mut sample = Encoded::default();
                sample.add(&self.first(text)?, true);
                self.finish(&mut sample);
                Ok(vec![sample])
            }
            Line::Answer { prompt, completion } => {
                let mut sample = Encoded::default();
                sample.add(&self.first(prompt)?, self.learns_prompts);
                sample.add(&self.part(completion)?, true);
                self.finish(&mut sample);
                Ok(vec![sample])
            }
            Line::Conversation(messages) => {
                let template = self.template.as_ref().ok_or_else(|| {
                    "expected text, or prompt and completion, as the model has no chat template; found messages"
                        .to_owned()
                })?;
                self.conversation(template, messages)
            }
        }
    }

    /// The end of what the model says, unless it is there already.
    fn finish(&self, sample: &mut Encoded) {
        if let Some(end) = self.end.filter(|end| sample.tokens.last() != Some(end)) {
            sample.add(&[end], true);
        }
    }

    fn conversation(
        &self,
        template: &Template,
        messages: &[Value],
    ) -> Result<Vec<Encoded>, String> {
        let answers = (0..messages.len()).filter(|&place| messages[place]["role"] == ASSISTANT);
        let render = |count: usize, asks: bool| {
            template.render(&messages[..count], asks).map_err(|error| error.to_string())
        };
        // For each answer the text before it, and the text up to its end.
        let mut turns: Vec<[String; 2]> = Vec::new();
        for place in answers {
            let (before, after) = (render(place, true)?, render(place + 1, false)?);
            if !after.starts_with(&before) || after.len() == before.len() {
                return Err(format!(
                    "message {}: expected an answer where the chat template asks for one, found that it writes it elsewhere",
                    place + 1
                ));
            }
            turns.push([before, after]);
        }
        let is_steady = turns.windows(2).all(|pair| pair[1][0].starts_with(&pair[0][1]));
        if !is_steady {
            return turns.iter().map(|turn| self.turns(std::slice::from_ref(turn))).collect();
        }
        Ok(vec![self.turns(&turns)?])
    }

    /// The sample of answers each of which goes on from the one before.
    fn turns(&self, turns: &[[String; 2]]) -> Result<Encoded, String> {
        let mut parts: Vec<Part> = Vec::new();
        let mut told = 0;
        for [before, after] in turns {
            parts.push((before[told..].to_owned(), self.learns_prompts));
            parts.push((after[before.len()..].to_owned(), true));
            told = after.len();
        }
        let mut sample = Encoded::default();
        for (text, is_learnt) in parts {
            sample.add(&self.part(&text)?, is_learnt);
        }
        Ok(sample)
    }

    /// The tokens that a sample begins with: with those that a tokenizer puts around a text, as when a model is asked.
    fn first(&self, text: &str) -> Result<Vec<u32>, String> {
        match self.tokenizer {
            Some(file) => file.tokenizer.encode(text.as_bytes()).map_err(|error| error.to_string()),
            None => self.part(text),
        }
    }

    /// The tokens of what comes after others, or is written with all its marks.
    fn part(&self, text: &str) -> Result<Vec<u32>, String> {
        match self.tokenizer {
            Some(file) => {
                file.tokenizer.encode_part(text.as_bytes()).map_err(|error| error.to_string())
            }
            None => Ok(text.bytes().map(u32::from).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::WORDS;
    use crate::temporary::TemporaryFolder;

    const PLAIN: Encoder<'_> =
        Encoder { tokenizer: None, template: None, end: None, learns_prompts: false };

    fn line(text: &str) -> Line {
        Line::parse(text.as_bytes()).unwrap()
    }

    fn with_template(source: &str) -> Encoder<'static> {
        let folder = TemporaryFolder::new();
        folder.file("chat_template.jinja", source);
        Encoder { template: Template::open(folder.path()).unwrap(), ..PLAIN }
    }

    /// The text of the tokens that are learnt, with a bar between spans.
    fn learnt(sample: &Encoded) -> String {
        let text = |span: &Range<usize>| {
            let bytes: Vec<u8> = sample.tokens[span.clone()].iter().map(|&t| t as u8).collect();
            String::from_utf8(bytes).unwrap()
        };
        sample.learnt.iter().map(text).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn a_completion_is_learnt_and_its_prompt_is_not_unless_asked_for() {
        let answer = line(r#"{"prompt": "ab", "completion": "cd"}"#);
        let samples = PLAIN.encode(&answer).unwrap();
        let (tokens, targets) = samples[0].rows(100);
        assert_eq!((tokens, targets), (&[97, 98, 99][..], vec![IGNORED, 99, 100]));
        let all = Encoder { learns_prompts: true, ..PLAIN };
        assert_eq!(all.encode(&answer).unwrap()[0].rows(100).1, [98, 99, 100]);
        let empty = PLAIN.encode(&line(r#"{"prompt": "", "completion": "cd"}"#)).unwrap();
        assert_eq!(empty[0].rows(100), (&[99][..], vec![100]));
    }

    #[test]
    fn what_is_longer_than_a_window_is_cut_at_its_end() {
        let samples = PLAIN.encode(&line(r#"{"prompt": "ab", "completion": "cde"}"#)).unwrap();
        assert_eq!(samples[0].rows(3), (&[97, 98, 99][..], vec![IGNORED, 99, 100]));
        assert_eq!(samples[0].rows(1), (&[97][..], vec![IGNORED]));
    }

    #[test]
    fn prompt_and_completion_are_encoded_apart_with_the_marks_of_the_tokenizer_and_an_end() {
        let folder = TemporaryFolder::new();
        let tokenizer = TokenizerFile::open(&folder.file("tokenizer.json", WORDS)).unwrap();
        let encoder = Encoder { tokenizer: Some(&tokenizer), end: Some(5), ..PLAIN };
        let answer = encoder.encode(&line(r#"{"prompt": "one", "completion": "two"}"#)).unwrap();
        assert_eq!(answer, [Encoded { tokens: vec![5, 1, 2, 5], learnt: vec![2..3, 3..4] }]);
        let text = encoder.encode(&line(r#"{"text": "one two </s>"}"#)).unwrap();
        assert_eq!(text, [Encoded { tokens: vec![5, 1, 2, 5], learnt: vec![0..4] }]);
        assert_eq!(text[0].rows(9), (&[5, 1, 2][..], vec![1, 2, 5]));
    }

    const TALK: &str = r#"{"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"},
        {"role": "assistant", "content": "d", "thought": "t"}]}"#;

    #[test]
    fn all_that_the_assistant_says_is_learnt_in_one_sample() {
        let encoder = with_template(
            "{% for m in messages %}<{{ m.role[0] }}>{{ m.content }};{% endfor %}\
             {% if add_generation_prompt %}<a>{% endif %}",
        );
        let samples = encoder.encode(&line(TALK)).unwrap();
        assert_eq!(samples.len(), 1);
        assert_eq!(learnt(&samples[0]), "b;|d;");
        let whole: Vec<u8> = samples[0].tokens.iter().map(|&token| token as u8).collect();
        assert_eq!(whole, b"<s>S;<u>a;<a>b;<u>c;<a>d;");
    }

    #[test]
    fn a_template_that_writes_earlier_messages_anew_makes_a_sample_of_each_answer() {
        let encoder = with_template(
            "{% for m in messages %}<{{ m.role[0] }}>{% if loop.last %}*{{ m.thought }}{% endif %}{{ m.content }};\
             {% endfor %}{% if add_generation_prompt %}<a>{% endif %}",
        );
        let samples = encoder.encode(&line(TALK));
        // The last message of a prompt is marked, which is no longer the last once it is answered.
        assert!(samples.unwrap_err().contains("message 3: expected an answer where"));
        let encoder = with_template(
            "{% for m in messages %}<{{ m.role[0] }}>{% if loop.last and m.role == 'assistant' %}*{{ m.thought }}\
             {% endif %}{{ m.content }};{% endfor %}{% if add_generation_prompt %}<a>{% endif %}",
        );
        let samples = encoder.encode(&line(TALK)).unwrap();
        assert_eq!(samples.iter().map(learnt).collect::<Vec<_>>(), ["*b;", "*td;"]);
        let second: Vec<u8> = samples[1].tokens.iter().map(|&token| token as u8).collect();
        assert_eq!(second, b"<s>S;<u>a;<a>b;<u>c;<a>*td;");
    }

    #[test]
    fn a_conversation_needs_a_template_that_takes_it() {
        assert!(PLAIN.encode(&line(TALK)).unwrap_err().contains("the model has no chat template"));
        let strict = with_template("{{ raise_exception('no system role') }}");
        assert!(strict.encode(&line(TALK)).unwrap_err().contains("no system role"));
    }
}
