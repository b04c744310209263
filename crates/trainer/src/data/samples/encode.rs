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
    /// Tokens that a window predicts: of what is longer the rest need not be known.
    pub(super) length: usize,
}

/// What a line comes to.
#[derive(Debug, Default)]
pub(super) struct Encoding {
    pub(super) samples: Vec<Encoded>,
    /// Answers that no sample has, as what stands before an earlier one fills a window already.
    pub(super) left_out: usize,
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
            let learnt = learnt.start.max(1)..learnt.end.min(rows + 1);
            if !learnt.is_empty() {
                let tokens = &self.tokens[learnt.clone()];
                targets[learnt.start - 1..learnt.end - 1].copy_from_slice(tokens);
            }
        }
        (&self.tokens[..rows], targets)
    }
}

/// A conversation, as a template writes it.
struct Conversation<'a> {
    template: &'a Template,
    messages: &'a [Value],
    /// The messages that are answers.
    answers: Vec<usize>,
}

impl<'a> Conversation<'a> {
    fn new(template: &'a Template, messages: &'a [Value]) -> Self {
        let is_answer = |place: &usize| messages[*place]["role"] == ASSISTANT;
        Self { template, messages, answers: (0..messages.len()).filter(is_answer).collect() }
    }

    /// All up to where an answer begins.
    fn before(&self, answer: usize) -> Result<String, String> {
        self.render(answer, true)
    }

    /// All up to the end of an answer, which goes on from what is `before` it.
    fn after(&self, answer: usize, before: &str) -> Result<String, String> {
        let after = self.render(answer + 1, false)?;
        if !after.starts_with(before) || after.len() == before.len() {
            return Err(format!(
                "message {}: expected an answer where the chat template asks for one, found that it writes it elsewhere",
                answer + 1
            ));
        }
        Ok(after)
    }

    fn render(&self, count: usize, asks: bool) -> Result<String, String> {
        self.template.render(&self.messages[..count], asks).map_err(|error| error.to_string())
    }
}

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
    pub(super) fn encode(&self, line: &Line) -> Result<Encoding, String> {
        let mut sample = Encoded::default();
        match line {
            Line::Text(text) => sample.add(&self.first(text)?, true),
            Line::Answer { prompt, completion } => {
                sample.add(&self.first(prompt)?, self.learns_prompts);
                sample.add(&self.part(completion)?, true);
            }
            Line::Conversation(messages) => {
                let template = self.template.as_ref().ok_or_else(|| {
                    "expected text, or prompt and completion, as the model has no chat template; found messages"
                        .to_owned()
                })?;
                return self.conversation(&Conversation::new(template, messages));
            }
        }
        self.finish(&mut sample);
        Ok(Encoding { samples: vec![sample], left_out: 0 })
    }

    /// The end of what the model says, unless it is there already.
    fn finish(&self, sample: &mut Encoded) {
        if let Some(end) = self.end.filter(|end| sample.tokens.last() != Some(end)) {
            sample.add(&[end], true);
        }
    }

    fn conversation(&self, conversation: &Conversation<'_>) -> Result<Encoding, String> {
        match self.whole(conversation)? {
            Some(sample) => Ok(Encoding { samples: vec![sample], left_out: 0 }),
            None => self.apart(conversation),
        }
    }

    /// The sample of answers each of which goes on from the one before; none where the template writes earlier messages
    /// anew. What comes after a full window is not looked at: each message of a conversation is written again for each
    /// answer that follows it, which would take a long one the square of its length.
    fn whole(&self, conversation: &Conversation<'_>) -> Result<Option<Encoded>, String> {
        let (mut sample, mut told) = (Encoded::default(), String::new());
        for &answer in &conversation.answers {
            let before = conversation.before(answer)?;
            let Some(asked) = before.strip_prefix(told.as_str()) else { return Ok(None) };
            // One token more than a window predicts is the last that it needs; one more yet says that some are cut off.
            if sample.tokens.len() > self.length + 1 {
                break;
            }
            let after = conversation.after(answer, &before)?;
            sample.add(&self.part(asked)?, self.learns_prompts);
            sample.add(&self.part(&after[before.len()..])?, true);
            told = after;
        }
        Ok(Some(sample))
    }

    /// A sample for each answer, up to the first before which there is more than a window takes: before those that follow
    /// there is as much.
    fn apart(&self, conversation: &Conversation<'_>) -> Result<Encoding, String> {
        let mut encoding = Encoding::default();
        for (number, &answer) in conversation.answers.iter().enumerate() {
            let before = conversation.before(answer)?;
            let after = conversation.after(answer, &before)?;
            let mut sample = Encoded::default();
            sample.add(&self.part(&before)?, self.learns_prompts);
            let is_full = sample.tokens.len() > self.length;
            sample.add(&self.part(&after[before.len()..])?, true);
            encoding.samples.push(sample);
            if is_full {
                encoding.left_out = conversation.answers.len() - number - 1;
                break;
            }
        }
        Ok(encoding)
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
        Encoder { tokenizer: None, template: None, end: None, learns_prompts: false, length: 100 };

    fn line(text: &str) -> Line {
        Line::parse(text.as_bytes()).unwrap()
    }

    fn with_template(source: &str) -> Encoder<'static> {
        Encoder { template: Some(Template::of(source).unwrap()), ..PLAIN }
    }

    /// The samples of a line that is one.
    fn encode(encoder: &Encoder<'_>, line: &Line) -> Vec<Encoded> {
        encoder.encode(line).unwrap().samples
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
        let samples = encode(&PLAIN, &answer);
        let (tokens, targets) = samples[0].rows(100);
        assert_eq!((tokens, targets), (&[97, 98, 99][..], vec![IGNORED, 99, 100]));
        let all = Encoder { learns_prompts: true, ..PLAIN };
        assert_eq!(encode(&all, &answer)[0].rows(100).1, [98, 99, 100]);
        let empty = encode(&PLAIN, &line(r#"{"prompt": "", "completion": "cd"}"#));
        assert_eq!(empty[0].rows(100), (&[99][..], vec![100]));
    }

    #[test]
    fn what_is_longer_than_a_window_is_cut_at_its_end() {
        let samples = encode(&PLAIN, &line(r#"{"prompt": "ab", "completion": "cde"}"#));
        assert_eq!(samples[0].rows(3), (&[97, 98, 99][..], vec![IGNORED, 99, 100]));
        assert_eq!(samples[0].rows(1), (&[97][..], vec![IGNORED]));
    }

    #[test]
    fn prompt_and_completion_are_encoded_apart_with_the_marks_of_the_tokenizer_and_an_end() {
        let folder = TemporaryFolder::new();
        let tokenizer = TokenizerFile::open(&folder.file("tokenizer.json", WORDS)).unwrap();
        let encoder = Encoder { tokenizer: Some(&tokenizer), end: Some(5), ..PLAIN };
        let answer = encode(&encoder, &line(r#"{"prompt": "one", "completion": "two"}"#));
        assert_eq!(answer, [Encoded { tokens: vec![5, 1, 2, 5], learnt: vec![2..3, 3..4] }]);
        let text = encode(&encoder, &line(r#"{"text": "one two </s>"}"#));
        let learnt = std::iter::once(0..4).collect();
        assert_eq!(text, [Encoded { tokens: vec![5, 1, 2, 5], learnt }]);
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
        let samples = encode(&encoder, &line(TALK));
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
        let samples = encode(&encoder, &line(TALK));
        assert_eq!(samples.iter().map(learnt).collect::<Vec<_>>(), ["*b;", "*td;"]);
        let second: Vec<u8> = samples[1].tokens.iter().map(|&token| token as u8).collect();
        assert_eq!(second, b"<s>S;<u>a;<a>b;<u>c;<a>*td;");
    }

    /// A conversation of answers of one letter, each to a question of one.
    fn long_talk(answers: usize) -> Line {
        let turn = r#"{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}"#;
        line(&format!("{{\"messages\": [{}]}}", vec![turn; answers].join(", ")))
    }

    #[test]
    fn a_conversation_is_read_no_further_than_a_window_and_costs_no_more() {
        let plain = "{% for m in messages %}<{{ m.role[0] }}>{{ m.content }};{% endfor %}\
                     {% if add_generation_prompt %}<a>{% endif %}";
        let marked = "{% for m in messages %}<{{ m.role[0] }}>{{ m.content }}\
                      {% if loop.last and m.role == 'assistant' %}!{% endif %};{% endfor %}\
                      {% if add_generation_prompt %}<a>{% endif %}";
        // Ten bytes for each answer and what it is to; all of it would be gigabytes.
        let talk = long_talk(20_000);
        let whole = with_template(plain).encode(&talk).unwrap();
        assert_eq!((whole.samples.len(), whole.left_out), (1, 0));
        assert_eq!(whole.samples[0].tokens.len(), 110);
        let apart = with_template(marked).encode(&talk).unwrap();
        // Before answer n, counted from 0, there are 10·n + 8 bytes.
        assert_eq!((apart.samples.len(), apart.left_out), (11, 20_000 - 11));
        assert_eq!(learnt(&apart.samples[9]), "a!;");
        let short = with_template(marked).encode(&long_talk(3)).unwrap();
        assert_eq!((short.samples.len(), short.left_out), (3, 0));
    }

    #[test]
    fn a_conversation_needs_a_template_that_takes_it() {
        assert!(PLAIN.encode(&line(TALK)).unwrap_err().contains("the model has no chat template"));
        let strict = with_template("{{ raise_exception('no system role') }}");
        assert!(strict.encode(&line(TALK)).unwrap_err().contains("no system role"));
    }
}
