//! The numbers at the top of the page.

use std::fmt::Write;

use super::history::History;
use super::html::escape;
use super::number::{bytes, count, grouped, percent, plain, seconds};

/// The headline: the loss, large, and what it means; then all others.
pub(super) fn headline(run: &History) -> String {
    let unit = run.measure().unit.name();
    let mut out = "<section class=\"headline\">".to_owned();
    if let Some(nats) = run.held_out() {
        let _ = write!(
            out,
            "<div class=\"hero\"><span>held-out loss</span><strong>{nats:.4}</strong><small>nats per {unit}</small>"
        );
        if let Some(floor) = run.floor() {
            let above = nats - floor;
            let _ = write!(
                out,
                "<p>{above:.4} above the floor of {floor:.4}, the generator's own loss</p>"
            );
        }
        if let Some(baseline) = run.start.and_then(|start| start.baseline) {
            let better = 100.0 * (1.0 - nats / baseline);
            let (better, word) = (better.abs(), if better < 0.0 { "above" } else { "below" });
            let _ = write!(out, "<p>{better:.1}% {word} the baseline of {baseline:.4}</p>");
        }
        out += "</div>";
    }
    out += "<dl class=\"tiles\">";
    for (what, value) in tiles(run) {
        let _ = write!(out, "<div><dt>{}</dt><dd>{}</dd></div>", escape(&what), escape(&value));
    }
    out + "</dl></section>"
}

fn tiles(run: &History) -> Vec<(String, String)> {
    let mut tiles: Vec<(String, String)> = Vec::new();
    let mut add = |what: &str, value: Option<String>| {
        tiles.extend(value.map(|value| (what.to_owned(), value)));
    };
    let nats = run.held_out();
    add("perplexity", nats.map(|nats| plain(nats.exp())));
    add("bits per byte", nats.and_then(|nats| run.measure().bits_per_byte(nats)).map(plain));
    if let Some((step, nats)) = run.best() {
        add(&format!("best, at step {step}"), Some(format!("{nats:.4}")));
    }
    add("steps", Some(grouped(run.steps_done().into())));
    add("time", run.seconds().map(seconds));
    let unit = run.measure().unit.name();
    add(&format!("{unit}s a second"), run.tokens_per_second().map(count));
    add("parameters", run.start.map(|start| count(start.parameters as f64)));
    let ternary = run.start.filter(|start| start.packed > 0);
    add("packed weights", ternary.map(|start| bytes(start.packed as f64)));
    add("latent weights", ternary.map(|start| bytes(start.latent as f64)));
    add("peak memory", run.peak_memory().map(|peak| bytes(peak as f64)));
    add("zeros", run.sparsity().map(percent));
    let vitals = run.summary.as_ref().and_then(|summary| summary.vitals);
    add("flips a step", vitals.map(|vitals| percent(vitals.flips)));
    tiles
}
