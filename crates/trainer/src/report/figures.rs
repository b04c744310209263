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
                "<p>{above:.4} above the floor of {floor:.4}, the least that is possible</p>"
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
        let _ = write!(out, "<div><dt>{what}</dt><dd>{}</dd></div>", escape(&value));
    }
    out + "</dl></section>"
}

fn tiles(run: &History) -> Vec<(&'static str, String)> {
    let mut tiles = Vec::new();
    if let Some(nats) = run.held_out() {
        tiles.push(("perplexity", plain(nats.exp())));
        tiles.extend(run.measure().bits_per_byte(nats).map(|bits| ("bits per byte", plain(bits))));
    }
    tiles.extend(
        run.best().map(|(step, nats)| ("best held-out loss", format!("{nats:.4}, step {step}"))),
    );
    tiles.push(("steps", grouped(run.steps_done().into())));
    tiles.extend(run.seconds().map(|time| ("time", seconds(time))));
    let unit = run.measure().unit.name();
    let speed = run.tokens_per_second().map(|rate| format!("{} {unit}s/s", count(rate)));
    tiles.extend(speed.map(|speed| ("speed", speed)));
    if let Some(start) = run.start {
        tiles.push(("parameters", count(start.parameters as f64)));
        if start.packed > 0 {
            tiles.push(("packed weights", bytes(start.packed as f64)));
            tiles.push(("latent weights", bytes(start.latent as f64)));
        }
    }
    tiles.extend(run.peak_memory().map(|peak| ("peak memory", bytes(peak as f64))));
    tiles.extend(run.sparsity().map(|share| ("zeros", percent(share))));
    let vitals = run.summary.as_ref().and_then(|summary| summary.vitals);
    tiles.extend(vitals.map(|vitals| ("flips a step", percent(vitals.flips))));
    tiles
}
