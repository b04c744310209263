//! All of it in one file of HTML.

use std::fmt::Write;

use super::curves;
use super::figures;
use super::history::History;
use super::html::escape;
use super::matrices;
use super::samples;
use super::settings::Chosen;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Incidents that are listed at most.
const INCIDENTS: usize = 20;

/// The page of a run.
pub(super) fn of_run(run: &History) -> String {
    let (status, is_finished) = run.status();
    let class = if is_finished { "status" } else { "status open" };
    let name = run.name();
    let preset = run.setting("preset").unwrap_or("tiny");
    let mut body = format!(
        "<header><p class=\"brand\">{MARK} ternary</p><h1>{}</h1><p class=\"lead\">preset {} \
         <span class=\"{class}\">{}</span></p></header>",
        escape(&name),
        escape(preset),
        escape(&status),
    );
    let (loss, others) = curves::of_run(run);
    body += &figures::headline(run);
    body += &loss.to_html_for_any_screen();
    body += &incidents(run);
    body += "<div class=\"charts\">";
    others.iter().for_each(|chart| body += &chart.to_html());
    body += "</div>";
    body += &samples::section(run);
    body += &matrices::section(run);
    body += &settings(&run.settings);
    document(&format!("{name} · ternary"), &body)
}

/// −, 0 and + as three dots.
pub(super) const MARK: &str = "<svg viewBox=\"0 0 34 10\" aria-hidden=\"true\"><circle class=\"minus\" cx=\"5\" cy=\"5\" \
                               r=\"4\"/><circle class=\"ring\" cx=\"17\" cy=\"5\" r=\"3.4\"/><circle class=\"plus\" \
                               cx=\"29\" cy=\"5\" r=\"4\"/></svg>";

/// A page that needs nothing else. Its policy lets nothing be loaded, whatever a text in it says.
pub(super) fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{}</title>\n<style>\n{STYLE}</style></head>\n\
         <body><main>\n{body}\n<footer>Made by ternary {}. Times differ from run to run; all else is the same for the \
         same settings.</footer></main>\n<script>\n{SCRIPT}</script></body></html>\n",
        escape(title),
        env!("CARGO_PKG_VERSION"),
    )
}

/// What went wrong on the way, the last first.
fn incidents(run: &History) -> String {
    if run.incidents.is_empty() {
        return String::new();
    }
    let count = run.incidents.len();
    let mut out = format!(
        "<details class=\"incidents\"><summary>{count} steps in which something went wrong</summary><ul>"
    );
    for incident in run.incidents.iter().rev().take(INCIDENTS) {
        let _ = write!(out, "<li>step {}: {}</li>", incident.step, escape(&incident.what));
    }
    if count > INCIDENTS {
        let _ = write!(out, "<li>and {} before these</li>", count - INCIDENTS);
    }
    out + "</ul></details>"
}

fn settings(settings: &[Chosen]) -> String {
    let changed: Vec<&Chosen> = settings.iter().filter(|chosen| chosen.is_changed()).collect();
    let mut out = "<section><h2>Configuration</h2>".to_owned();
    if changed.is_empty() {
        out += "<p class=\"lead\">That of the preset, unchanged.</p>";
    } else {
        out += "<p class=\"lead\">What differs from the preset:</p>";
        table(&mut out, &changed, true);
    }
    out += "<details><summary>All settings</summary>";
    table(&mut out, &settings.iter().collect::<Vec<_>>(), false);
    out + "</details></section>"
}

fn table(out: &mut String, settings: &[&Chosen], is_changed: bool) {
    *out += "<dl class=\"settings\">";
    for Chosen { key, value, preset, help } in settings.iter().copied() {
        let shown = |value: &Option<String>| match value {
            Some(value) => escape(value).into_owned(),
            None => "absent".to_owned(),
        };
        let _ = write!(out, "<div><dt>{}</dt><dd><code>{}</code>", escape(key), shown(value));
        if is_changed {
            let _ = write!(out, " <s>{}</s>", shown(preset));
        }
        let _ = write!(out, "</dd><dd class=\"help\">{}</dd></div>", escape(help));
    }
    *out += "</dl>";
}
