//! What stands inside a macro, which is tokens and no syntax tree.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::Macro;

use super::{MUTANT, TRAITS};

/// Something that the scan looks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// `mutant!("…", …)`.
    Mutant(String),
    /// `mutant!` with something else than a literal for its name.
    UnnamedMutant,
    /// `pub fn name`.
    Function(String),
    /// `pub fn $name`.
    UnnamedFunction,
    /// `impl … Trait … for Name`.
    Implementation(String),
    /// The same for an argument of the macro.
    Unnamed(&'static str),
}

/// Everything in the call or definition of a macro.
pub(super) fn macro_tokens(item: &Macro) -> Vec<Seen> {
    let mut seen = Vec::new();
    if item.path.segments.last().is_some_and(|last| last.ident == MUTANT) {
        seen.push(named(item.tokens.clone()));
    }
    walk(item.tokens.clone(), &mut seen);
    seen
}

fn walk(tokens: TokenStream, seen: &mut Vec<Seen>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        match (token, &tokens[index + 1..]) {
            (TokenTree::Ident(word), [bang, TokenTree::Group(group), ..])
                if word == MUTANT && is_punctuation(bang, '!') =>
            {
                seen.push(named(group.stream()));
            }
            (TokenTree::Ident(word), [TokenTree::Ident(next), name, ..])
                if word == "pub" && next == "fn" =>
            {
                seen.push(match name {
                    TokenTree::Ident(name) => Seen::Function(name.to_string()),
                    _ => Seen::UnnamedFunction,
                });
            }
            (TokenTree::Ident(word), rest) if word == "impl" => seen.extend(implementation(rest)),
            _ => {}
        }
        if let TokenTree::Group(group) = token {
            walk(group.stream(), seen);
        }
    }
}

/// The name at the head of what a `mutant!` is given.
fn named(tokens: TokenStream) -> Seen {
    let first = tokens.into_iter().next().map(TokenStream::from);
    match first.map(syn::parse2::<syn::LitStr>) {
        Some(Ok(name)) => Seen::Mutant(name.value()),
        _ => Seen::UnnamedMutant,
    }
}

/// What follows the word `impl`, up to its braces: the trait, and what it is implemented for.
fn implementation(tokens: &[TokenTree]) -> Option<Seen> {
    let is_body = |token: &TokenTree| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
    let header = &tokens[..tokens.iter().position(is_body)?];
    let is_word = |token: &TokenTree, known: &[&str]| matches!(token, TokenTree::Ident(word) if known.iter().any(|known| word == known));
    let after = header.iter().position(|token| is_word(token, &TRAITS))?;
    // `for<'a>` quantifies over lifetimes and names no type.
    let target = (after..header.len()).find(|&index| {
        is_word(&header[index], &["for"])
            && !header.get(index + 1).is_some_and(|next| is_punctuation(next, '<'))
    })?;
    let mut name = None;
    for token in &header[target + 1..] {
        match token {
            TokenTree::Ident(word) if word == "where" => break,
            TokenTree::Ident(word) => name = Some(word.to_string()),
            token if is_punctuation(token, ':') => {}
            token if is_punctuation(token, '<') => break,
            _ => return Some(Seen::Unnamed("a layer")),
        }
    }
    Some(name.map_or(Seen::Unnamed("a layer"), Seen::Implementation))
}

fn is_punctuation(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(found) if found.as_char() == character)
}
