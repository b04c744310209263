//! A conversation with a model: what was said stays read, and only what is new is run.

mod template;

use std::path::PathBuf;
use std::time::Instant;

use crate::error::Result;
use crate::generate::{Sampling, Speaker, TOKENS};
use crate::vocabulary::Pieces;
use template::Message;
pub(crate) use template::Template;

/// What `ternary chat` is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// The folder of the model.
    pub model: PathBuf,
    /// The folder of the adapters beside it, if there are any.
    pub adapter: Option<PathBuf>,
    /// Tokens of an answer at most; otherwise [`TOKENS`].
    pub tokens: Option<usize>,
    /// How they are drawn.
    pub sampling: Sampling,
    /// What a chat template is told before the first message.
    pub system: Option<String>,
    /// Whether the model goes on with the plain text even where it has a chat template.
    pub is_plain: bool,
}

/// A conversation.
///
/// A model with a chat template (`chat_template.jinja`, or `chat_template` of `tokenizer_config.json`) reads what
/// its template makes of the messages. Any other goes on with the text: each message begins a line, and the answer
/// follows it at once; an empty message has the model go on with its own answer.
///
/// Where the window of the model is full, the oldest messages, or then the oldest tokens, are forgotten.
#[derive(Debug)]
pub struct Chat {
    request: ChatRequest,
    speaker: Speaker,
    template: Option<Template>,
    messages: Vec<Message>,
    /// The text that the model has read, where a template made it.
    told: String,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Its text.
    pub text: String,
    /// Its tokens.
    pub tokens: usize,
    /// Tokens that were run for the message and for what the template puts around it.
    pub prompt_tokens: usize,
    /// Whether the model ended it itself.
    pub is_ended: bool,
    /// Whether earlier parts of the conversation were forgotten, because the window was full.
    pub has_forgotten: bool,
    /// Seconds from the message to the end of the answer.
    pub seconds: f64,
}

impl Reply {
    /// The same as a JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "text": self.text,
            "tokens": self.tokens,
            "prompt_tokens": self.prompt_tokens,
            "is_ended": self.is_ended,
            "has_forgotten": self.has_forgotten,
            "seconds": self.seconds,
        })
    }
}

impl Chat {
    /// Loads the model.
    ///
    /// # Errors
    /// A model, a tokenizer or a chat template that cannot be read; no way to read a text.
    pub fn open(request: ChatRequest) -> Result<Self> {
        let template = if request.is_plain { None } else { Template::open(&request.model)? };
        let speaker = Speaker::open(&request.model, request.adapter.as_deref())?;
        // A model without a tokenizer is refused now, and not at the first message.
        speaker.encode("", &request.model)?;
        let mut chat =
            Self { request, speaker, template, messages: Vec::new(), told: String::new() };
        chat.reset();
        Ok(chat)
    }

    /// Tokens that the model can look back on.
    pub fn window(&self) -> usize {
        self.speaker.positions()
    }

    /// Whether a template makes the text of the messages.
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// How tokens are drawn.
    pub fn sampling(&self) -> Sampling {
        self.request.sampling
    }

    /// Draws differently from now on.
    ///
    /// # Errors
    /// [`Error::Sampling`](crate::Error::Sampling).
    pub fn set_sampling(&mut self, sampling: Sampling) -> Result<()> {
        sampling.check()?;
        self.request.sampling = sampling;
        Ok(())
    }

    /// Begins a new conversation.
    pub fn reset(&mut self) {
        self.speaker.forget();
        self.told.clear();
        self.messages.clear();
        let system = self.request.system.clone();
        self.messages.extend(system.map(|text| Message { role: "system", content: text }));
    }

    /// Says something; `tell` gets the answer piece by piece.
    ///
    /// # Errors
    /// A text that the tokenizer or the template cannot read; an empty message that nothing was said before;
    /// numbers that are not finite; what `tell` fails with.
    pub fn say(
        &mut self,
        message: &str,
        mut tell: impl FnMut(&str) -> Result<()>,
    ) -> Result<Reply> {
        let start = Instant::now();
        let (prompt, mut has_forgotten) = self.hear(message)?;
        let mut pieces = Pieces::after(&self.speaker.last(prompt));
        let limit = self.request.tokens.unwrap_or(TOKENS);
        let (mut text, mut tokens, mut is_ended) = (String::new(), 0, false);
        let mut add = |piece: String| {
            text.push_str(&piece);
            tell(&piece)
        };
        while tokens < limit {
            if !self.speaker.has_room() {
                self.speaker.keep_newest(kept(self.window()));
                has_forgotten = true;
            }
            let Some(token) = self.speaker.draw(&self.request.sampling)? else {
                is_ended = true;
                break;
            };
            tokens += 1;
            add(pieces.next(token, self.speaker.tokenizer())?)?;
        }
        add(pieces.rest(self.speaker.tokenizer())?)?;
        if self.template.is_some() {
            self.told.push_str(&text);
            self.messages.push(Message { role: "assistant", content: text.clone() });
        }
        let seconds = start.elapsed().as_secs_f64();
        Ok(Reply { text, tokens, prompt_tokens: prompt, is_ended, has_forgotten, seconds })
    }

    /// Has the model hear a message; the tokens of it, and whether others had to go.
    fn hear(&mut self, message: &str) -> Result<(usize, bool)> {
        let Self { request, speaker, .. } = self;
        if self.template.is_none() {
            let is_first = speaker.is_blank();
            let tokens = match message {
                "" if !is_first => Vec::new(),
                _ if is_first => speaker.encode(message, &request.model)?,
                _ => speaker.encode_more(&format!("\n{message}"), &request.model)?,
            };
            speaker.hear(&tokens);
            return Ok((tokens.len(), false));
        }
        self.messages.push(Message { role: "user", content: message.to_owned() });
        let told = self.hear_template();
        if told.is_err() {
            self.messages.pop();
        }
        told
    }

    /// Has the model hear what the template makes of the messages, as far as it is new. Templates that write
    /// earlier messages in another way than they were read have all of them read again.
    fn hear_template(&mut self) -> Result<(usize, bool)> {
        let Self { request, speaker, template, messages, told } = self;
        let Some(template) = template else { return Ok((0, false)) };
        let answer = request.tokens.unwrap_or(TOKENS);
        let first = messages.iter().take_while(|message| message.role == "system").count();
        let mut has_forgotten = false;
        loop {
            let text = template.render(messages, true)?;
            let more = text.strip_prefix(&**told).filter(|_| !speaker.is_blank());
            let tokens = speaker.encode_more(more.unwrap_or(&text), &request.model)?;
            if more.is_none() {
                speaker.forget();
            }
            // Once something has to go, so much goes that it is not the same again at the next message.
            let window = speaker.positions();
            let room = if has_forgotten { kept(window) } else { window - answer.min(window / 2) };
            if speaker.len() + tokens.len() > room && messages.len() > first + 2 {
                messages.drain(first..first + 2);
                speaker.forget();
                has_forgotten = true;
                continue;
            }
            speaker.hear(&tokens);
            *told = text;
            return Ok((tokens.len(), has_forgotten));
        }
    }
}

/// Tokens of a full window that are kept: the newer half.
fn kept(window: usize) -> usize {
    window.div_ceil(2)
}
