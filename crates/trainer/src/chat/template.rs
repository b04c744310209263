//! Chat templates: how a model wants messages to be written.

use std::fs;
use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, ErrorKind, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A file of its own, as newer models have it.
const JINJA: &str = "chat_template.jinja";
/// The file that has it otherwise, and the texts of special tokens.
const TOKENIZER: &str = "tokenizer_config.json";
const NAME: &str = "chat";
/// Bytes that such files have at most.
const LARGEST: u64 = 16 << 20;
/// Instructions that a template may take: a loop of it could have no end.
const FUEL: u64 = 50_000_000;

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Message {
    /// Who says it: system, user or assistant.
    pub(super) role: &'static str,
    pub(super) content: String,
}

/// A Jinja template with the settings under which transformers runs it.
#[derive(Debug)]
pub(crate) struct Template {
    environment: Environment<'static>,
    path: PathBuf,
    bos: String,
    eos: String,
}

/// What `tokenizer_config.json` says about templates.
#[derive(Debug, Default, Deserialize)]
struct Settings {
    chat_template: Option<OneOrNamed>,
    bos_token: Option<Token>,
    eos_token: Option<Token>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrNamed {
    One(String),
    Named(Vec<Named>),
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
    template: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Token {
    Text(String),
    Object { content: String },
}

impl Token {
    fn text(token: Option<Self>) -> String {
        match token {
            Some(Self::Text(text) | Self::Object { content: text }) => text,
            None => String::new(),
        }
    }
}

impl Template {
    /// The template of a model, if it has one.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`], [`Error::File`].
    pub(crate) fn open(folder: &Path) -> Result<Option<Self>> {
        let unusable =
            |path: &Path, problem: String| Error::ChatTemplate { path: path.to_owned(), problem };
        let settings_path = folder.join(TOKENIZER);
        let settings: Settings = match read(&settings_path)? {
            Some(text) => serde_json::from_str(&text)
                .map_err(|error| unusable(&settings_path, error.to_string()))?,
            None => Settings::default(),
        };
        let path = folder.join(JINJA);
        let (path, source) = match (read(&path)?, settings.chat_template) {
            (Some(source), _) => (path, source),
            (None, Some(OneOrNamed::One(source))) => (settings_path, source),
            (None, Some(OneOrNamed::Named(sources))) => {
                match sources.into_iter().find(|source| source.name == "default") {
                    Some(source) => (settings_path, source.template),
                    None => return Ok(None),
                }
            }
            (None, None) => return Ok(None),
        };
        let (bos, eos) = (Token::text(settings.bos_token), Token::text(settings.eos_token));
        match Self::compile(source) {
            Ok(environment) => Ok(Some(Self { environment, path, bos, eos })),
            Err(error) => Err(unusable(&path, error.to_string())),
        }
    }

    /// The template of a text, without special tokens.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`].
    pub(crate) fn of(source: &str) -> Result<Self> {
        let path = PathBuf::from(JINJA);
        match Self::compile(source.to_owned()) {
            Ok(environment) => {
                Ok(Self { environment, path, bos: String::new(), eos: String::new() })
            }
            Err(error) => Err(Error::ChatTemplate { path, problem: error.to_string() }),
        }
    }

    fn compile(source: String) -> Result<Environment<'static>, minijinja::Error> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax?);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_function("raise_exception", |text: String| -> Result<Value, _> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, text))
        });
        environment.add_template_owned(NAME, source)?;
        Ok(environment)
    }

    /// The text of some messages, objects with a role and what it says. With `asks` it goes on to where the answer to
    /// the last of them begins.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`].
    pub(crate) fn render(&self, messages: &[impl Serialize], asks: bool) -> Result<String> {
        let context = context! {
            messages => messages.iter().map(|message| Value::from(Serde(message))).collect::<Vec<Value>>(),
            add_generation_prompt => asks,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
        };
        let template = self.environment.get_template(NAME);
        template.and_then(|template| template.render(context)).map_err(|error| {
            Error::ChatTemplate { path: self.path.clone(), problem: error.to_string() }
        })
    }
}

/// The text of a file, if it is there.
fn read(path: &Path) -> Result<Option<String>> {
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::file("read", path)(error)),
    };
    if length > LARGEST {
        let problem = format!("expected at most {LARGEST} bytes, found {length}");
        return Err(Error::ChatTemplate { path: path.to_owned(), problem });
    }
    fs::read_to_string(path).map(Some).map_err(Error::file("read", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporary::TemporaryFolder;

    const CHATML: &str = r"{%- for message in messages -%}
{{ '<|im_start|>' + message['role'] + '\n' + message['content'].strip() + '<|im_end|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<|im_start|>assistant\n' }}
{%- endif -%}";

    fn said(role: &'static str, content: &str) -> Message {
        Message { role, content: content.to_owned() }
    }

    #[test]
    fn messages_are_written_as_the_template_of_the_model_says() {
        let folder = TemporaryFolder::new();
        assert!(Template::open(folder.path()).unwrap().is_none());
        let settings = serde_json::json!({
            "chat_template": [{"name": "tools", "template": "x"}, {"name": "default", "template": CHATML}],
            "bos_token": {"content": "<s>", "special": true}, "eos_token": null,
        });
        folder.file(TOKENIZER, settings.to_string());
        let template = Template::open(folder.path()).unwrap().unwrap();
        let text =
            template.render(&[said("system", "Be short. "), said("user", "Hi")], true).unwrap();
        let expected = "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n\
                        <|im_start|>assistant\n";
        assert_eq!(text, expected);
        // A file of its own is stronger.
        folder.file(JINJA, "{{ bos_token }}{{ messages[-1].content }}{{ eos_token }}");
        let template = Template::open(folder.path()).unwrap().unwrap();
        assert_eq!(template.render(&[said("user", "Hi")], true).unwrap(), "<s>Hi");
    }

    #[test]
    fn templates_that_fail_or_have_no_end_are_errors_that_name_the_file() {
        let folder = TemporaryFolder::new();
        for (source, said_then) in [
            ("{% for %}", "syntax error"),
            ("{{ raise_exception('no system role') }}", "no system role"),
            (
                "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
                "fuel",
            ),
        ] {
            folder.file(JINJA, source);
            let text = Template::open(folder.path())
                .and_then(|template| template.unwrap().render(&[said("user", "Hi")], true));
            let error = text.unwrap_err().to_string();
            assert!(error.contains(JINJA) && error.contains(said_then), "{error}");
        }
        fs::remove_file(folder.path().join(JINJA)).unwrap();
        folder.file(TOKENIZER, "[]");
        let error = Template::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(TOKENIZER) && !error.contains("--plain"), "{error}");
    }
}
