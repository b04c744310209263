//! `ternary chat`.

use std::fmt;
use std::io::{BufRead, IsTerminal, Write, stderr, stdin};

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{arguments, print, print_summary};
use crate::chat::{Chat, ChatRequest};
use crate::error::{Error, Result};
use crate::generate::{Sampling, TOKENS};
use crate::run::Used;
use crate::visible::Visible;

const MORE: &str = "\
A model with a chat template (in tokenizer_config.json or chat_template.jinja) reads each message as its
template writes it. Any other model goes on with the text: a message begins a line, the answer follows it, and an
empty line has the model go on. Each message runs what is new alone. Where the window is full, the oldest part of
the conversation is forgotten, which is said on standard error.

Lines come from standard input, answers go to standard output; Ctrl-D ends. Commands in a conversation:
  /reset            begin anew
  /seed N           draw from other randomness
  /temperature T    draw more (above 1) or less (towards 0) freely
  /help             these commands
  /quit             end
A line that begins with // is said with one slash.

Examples:
  ternary chat --model runs/tiny-0001
  ternary chat --model models/Qwen3-0.6B --system \"Answer in one sentence.\" --temperature 0.6
  ternary chat --model models/Qwen3-0.6B --adapter runs/talks
  echo \"Once upon a time\" | ternary chat --model runs/tiny-0001 --tokens 80
";

const COMMANDS: &str = "/reset, /seed N, /temperature T, /help, /quit; Ctrl-D ends";

pub(super) fn command() -> Command {
    let system = Arg::new("system")
        .long("system")
        .value_name("TEXT")
        .allow_hyphen_values(true)
        .conflicts_with("plain")
        .help("What a chat template is told before the first message");
    let plain = Arg::new("plain")
        .long("plain")
        .action(ArgAction::SetTrue)
        .help("Go on with the text, even with a model that has a chat template");
    Command::new("chat")
        .about("Talks with a model, line by line")
        .arg(arguments::model())
        .arg(arguments::adapter())
        .args([system, plain])
        .args(arguments::sampling())
        .mut_arg("tokens", |tokens| {
            tokens.help(format!("Tokens of an answer at most [default: {TOKENS}]"))
        })
        .arg(arguments::json().help("Print each answer as a JSON object on one line"))
        .after_help(MORE)
}

/// Answers every line of standard input.
pub(super) fn run(matches: &ArgMatches) -> Result<()> {
    let Used { model, adapter } = arguments::read_model(matches)?;
    let request = ChatRequest {
        tokens: arguments::read_count(matches, "tokens"),
        sampling: arguments::read_sampling(matches)?,
        system: matches.get_one::<String>("system").cloned(),
        is_plain: matches.get_flag("plain"),
        model,
        adapter,
    };
    let has_system = request.system.is_some();
    let mut chat = Chat::open(request).map_err(with_remedy)?;
    let form = if chat.has_template() { "its chat template" } else { "plain text" };
    note(format_args!("a window of {} tokens, {form}; {COMMANDS}", chat.window()));
    if has_system && !chat.has_template() {
        note("the model has no chat template, so --system is not told to it");
    }
    let is_json = matches.get_flag("json");
    let mut input = stdin().lock();
    let mut bytes = Vec::new();
    loop {
        if stdin().is_terminal() {
            drop(write!(stderr(), "> "));
        }
        bytes.clear();
        let read = input.read_until(b'\n', &mut bytes);
        if read.map_err(Error::file("read", "standard input".as_ref()))? == 0 {
            return Ok(());
        }
        let Ok(line) = std::str::from_utf8(&bytes) else {
            note("the line is not UTF-8 and was not said");
            continue;
        };
        match Line::read(line.trim_end_matches(['\n', '\r']), chat.sampling()) {
            Ok(Line::Say(message)) => answer(&mut chat, &message, is_json)?,
            Ok(Line::Reset) => {
                chat.reset();
                note("a new conversation");
            }
            Ok(Line::Draw(sampling)) => match chat.set_sampling(sampling) {
                Ok(()) => note(format_args!(
                    "temperature {}, seed {}",
                    sampling.temperature, sampling.seed
                )),
                Err(error) => note(error),
            },
            Ok(Line::Help) => note(COMMANDS),
            Ok(Line::Quit) => return Ok(()),
            Err(problem) => note(problem),
        }
    }
}

fn answer(chat: &mut Chat, message: &str, is_json: bool) -> Result<()> {
    let said = chat.say(message, |piece| if is_json { Ok(()) } else { print(piece) });
    let reply = match said {
        // An empty line before any other.
        Err(Error::EmptyPrompt) => {
            note("nothing was said yet");
            return Ok(());
        }
        said => said.map_err(with_remedy)?,
    };
    if is_json {
        print_summary(&reply.to_json())?;
    } else {
        print("\n")?;
    }
    if reply.has_forgotten {
        let window = chat.window();
        note(format_args!("the window of {window} tokens was full: the oldest part is forgotten"));
    }
    Ok(())
}

/// Tells how to go on where all that fails is the chat template.
fn with_remedy(error: Error) -> Error {
    match error {
        Error::ChatTemplate { path, problem } => {
            let problem = format!("{problem}; ternary chat --plain goes on without it");
            Error::ChatTemplate { path, problem }
        }
        other => other,
    }
}

/// Tells something that is no answer.
fn note(text: impl fmt::Display) {
    drop(writeln!(stderr(), "({})", Visible(text)));
}

/// What a line asks for.
#[derive(Debug, Clone, PartialEq)]
enum Line {
    Say(String),
    Reset,
    Draw(Sampling),
    Help,
    Quit,
}

impl Line {
    /// Reads a line; the numbers that a command does not change are those of `sampling`.
    fn read(line: &str, sampling: Sampling) -> Result<Self, String> {
        let Some(command) = line.strip_prefix('/') else { return Ok(Self::Say(line.to_owned())) };
        if command.starts_with('/') {
            return Ok(Self::Say(command.to_owned()));
        }
        let (name, value) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let value = value.trim();
        let wrong = |expected: &str| format!("/{name}: expected {expected}, found {value:?}");
        match (name, value) {
            ("reset", "") => Ok(Self::Reset),
            ("help", "") => Ok(Self::Help),
            ("quit", "") => Ok(Self::Quit),
            ("reset" | "help" | "quit", _) => Err(wrong("nothing after it")),
            ("seed", _) => {
                let seed = value.parse().map_err(|_| wrong("a whole number"))?;
                Ok(Self::Draw(Sampling { seed, ..sampling }))
            }
            ("temperature", _) => {
                let temperature = value.parse().map_err(|_| wrong("a number"))?;
                Ok(Self::Draw(Sampling { temperature, ..sampling }))
            }
            _ => Err(format!("unknown command /{name}; there are {COMMANDS}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_goes_on_without_a_template_that_fails() {
        let error = Error::ChatTemplate { path: "a".into(), problem: "it has no end".into() };
        let expected = "cannot use the chat template of a: it has no end; ternary chat --plain goes on without it";
        assert_eq!(with_remedy(error).to_string(), expected);
        assert!(!with_remedy(Error::EmptyPrompt).to_string().contains("--plain"));
    }

    #[test]
    fn a_line_is_said_unless_it_begins_with_a_slash() {
        let sampling = Sampling::default();
        let read = |line: &str| Line::read(line, sampling);
        for (line, said) in [("Hi", "Hi"), ("", ""), ("//reset", "/reset"), (" /quit", " /quit")] {
            assert_eq!(read(line), Ok(Line::Say(said.into())));
        }
        assert_eq!(read("/reset"), Ok(Line::Reset));
        assert_eq!(read("/quit "), Ok(Line::Quit));
        assert_eq!(read("/seed 7"), Ok(Line::Draw(Sampling { seed: 7, ..sampling })));
        let cold = Sampling { temperature: 0.0, ..sampling };
        assert_eq!(read("/temperature 0"), Ok(Line::Draw(cold)));
        for (line, problem) in [
            ("/seed", "/seed: expected a whole number, found \"\""),
            ("/temperature hot", "/temperature: expected a number, found \"hot\""),
            ("/reset now", "/reset: expected nothing after it"),
            ("/rset", "unknown command /rset; there are /reset"),
        ] {
            assert!(read(line).unwrap_err().contains(problem), "{line}");
        }
    }
}
