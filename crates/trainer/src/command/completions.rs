//! `ternary completions` and `ternary man`: what shells and readers of manuals are told, from the one
//! definition of the command.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{arguments, print, print_bytes};
use crate::error::{Error, Result};

const SHELLS: &str = "\
Examples:
  ternary completions bash > ~/.local/share/bash-completion/completions/ternary
  ternary completions zsh > ~/.zfunc/_ternary
  ternary completions fish > ~/.config/fish/completions/ternary.fish
";

const PAGES: &str = "\
Examples:
  ternary man | man -l -
  ternary man --out ~/.local/share/man/man1
";

pub(super) fn completions_command() -> Command {
    let shell = Arg::new("shell")
        .value_name("SHELL")
        .required(true)
        .value_parser(value_parser!(Shell))
        .help("The shell that is to complete commands and flags");
    Command::new("completions")
        .about("Prints what a shell completes commands and flags with")
        .arg(shell)
        .after_help(SHELLS)
}

pub(super) fn man_command() -> Command {
    let out = Arg::new("out")
        .long("out")
        .value_name("DIR")
        .value_parser(value_parser!(PathBuf))
        .help("Write a page for each command into this folder, made if it is missing");
    let force = Arg::new("force")
        .long("force")
        .action(ArgAction::SetTrue)
        .requires("out")
        .help("Replace pages that are there");
    Command::new("man")
        .about("Prints the manual, or writes its pages into a folder")
        .args([out, force])
        .after_help(PAGES)
}

/// Prints the completions of a shell.
pub(super) fn complete(matches: &ArgMatches) -> Result<()> {
    let Some(&shell) = matches.get_one::<Shell>("shell") else { return Ok(()) };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::command(), "ternary", &mut script);
    print_bytes(&script)
}

/// Prints the pages, or writes them.
pub(super) fn manual(matches: &ArgMatches) -> Result<()> {
    let pages = pages()?;
    if matches.get_one::<PathBuf>("out").is_none() {
        return pages.iter().try_for_each(|(_, page)| print_bytes(page));
    }
    let folder = arguments::read_path(matches, "out");
    fs::create_dir_all(&folder).map_err(Error::file("create the folder", &folder))?;
    let is_forced = matches.get_flag("force");
    for (name, page) in &pages {
        write(&folder.join(name), page, is_forced)?;
    }
    print(&format!("{} pages in {}\n", pages.len(), folder.display()))
}

fn write(path: &Path, page: &[u8], is_forced: bool) -> Result<()> {
    if is_forced {
        return fs::write(path, page).map_err(Error::file("write", path));
    }
    let mut file = match OpenOptions::new().write(true).create_new(true).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Error::WouldReplace { path: path.to_owned() });
        }
        file => file.map_err(Error::file("create", path))?,
    };
    file.write_all(page).map_err(Error::file("write", path))
}

/// The page of the command, and one for each of its subcommands, by the names of their files.
fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let mut command = super::command().disable_help_subcommand(true);
    command.build();
    let render = |name: String, command: &Command| {
        let mut page = Vec::new();
        let rendered = Man::new(command.clone().name(name.clone())).render(&mut page);
        rendered.map_err(Error::file("write the page of", name.as_ref()))?;
        Ok((format!("{name}.1"), page))
    };
    let own = render("ternary".to_owned(), &command);
    let others = command.get_subcommands();
    let others = others.map(|other| render(format!("ternary-{}", other.get_name()), other));
    std::iter::once(own).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    /// Every command with the names of its long flags.
    fn flags() -> Vec<(String, Vec<String>)> {
        let mut command = super::super::command();
        command.build();
        let of = |command: &Command| {
            let flags = command.get_arguments().filter_map(Arg::get_long);
            (command.get_name().to_owned(), flags.map(str::to_owned).collect())
        };
        command.get_subcommands().map(of).collect()
    }

    #[test]
    fn every_flag_of_every_command_is_in_its_manual_page() {
        let pages = pages().unwrap();
        let main = String::from_utf8(pages[0].1.clone()).unwrap();
        for (command, flags) in flags().into_iter().filter(|(command, _)| command != "help") {
            assert!(main.contains(&command), "{command}");
            let name = format!("ternary-{command}.1");
            let (_, page) = pages.iter().find(|(page, _)| *page == name).unwrap();
            // Dashes are escaped, so that they stay dashes.
            let page = String::from_utf8(page.clone()).unwrap().replace('\\', "");
            for flag in flags {
                assert!(page.contains(&format!("--{flag}")), "{command}: {flag}");
            }
        }
    }

    #[test]
    fn every_flag_of_every_command_is_in_the_completions_of_every_shell() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut super::super::command(), "ternary", &mut script);
            let script = String::from_utf8(script).unwrap();
            for (command, flags) in flags() {
                assert!(script.contains(&command), "{shell}: {command}");
                for flag in flags {
                    assert!(script.contains(&flag), "{shell}: {command}: {flag}");
                }
            }
        }
    }
}
