//! The vital signs of each ternary matrix: a strip of its zeros over the run, and where its latent weights lie.

use std::fmt::Write;

use super::history::History;
use super::html::escape;
use super::number::{grouped, percent, plain, tenths};
use crate::run::{Histogram, Layers, Matrix, Spread};

/// Columns of a strip at most.
const COLUMNS: usize = 120;
/// Blocks of a model are all open where it has no more matrices than this.
const OPEN: usize = 36;

/// The section; nothing for a model without ternary weights that train.
pub(super) fn section(run: &History) -> String {
    let Some((step, last)) = run.layers.last() else { return String::new() };
    let mut out = format!(
        "<section><h2>Ternary matrices</h2><p class=\"lead\">{} matrices after step {step}: {} of all weights are \
         zero.</p>",
        last.matrices.len(),
        tenths(last.sparsity),
    );
    out += &strips(&run.layers, last);
    out += "<h3>Latent weights</h3><p class=\"note\">How many latent weights lie where, in units of the scale α, \
            from −3 to 3: <span class=\"minus\">−1</span>, <span class=\"zero\">0</span>, \
            <span class=\"plus\">+1</span>. The dead zone is the middle half of the zeros, far from any change; the drift \
            is that of the scale since training began.</p>";
    let is_small = last.matrices.len() <= OPEN;
    for (index, (name, matrices)) in blocks(last).into_iter().enumerate() {
        let open = if is_small || index == 0 { " open" } else { "" };
        let _ =
            write!(out, "<details{open}><summary>{}</summary><div class=\"cards\">", escape(name));
        matrices.iter().for_each(|matrix| card(&mut out, matrix, name));
        out += "</div></details>";
    }
    shared(&mut out, last);
    out + "</section>"
}

/// Matrices by the block that they belong to, in the order of the model.
fn blocks(layers: &Layers) -> Vec<(&str, Vec<&Matrix>)> {
    let mut blocks: Vec<(&str, Vec<&Matrix>)> = Vec::new();
    for matrix in &layers.matrices {
        let block = block(&matrix.name);
        match blocks.last_mut() {
            Some((name, matrices)) if *name == block => matrices.push(matrix),
            _ => blocks.push((block, vec![matrix])),
        }
    }
    blocks
}

/// `layers.3` of `model.layers.3.mlp.up_proj.weight`; the first part of other names.
fn block(name: &str) -> &str {
    let name = name.strip_prefix("model.").unwrap_or(name);
    let after = name.strip_prefix("layers.").and_then(|rest| rest.find('.'));
    let end =
        after.map_or_else(|| name.find('.').unwrap_or(name.len()), |dot| "layers.".len() + dot);
    &name[..end]
}

/// What is left of a name without its block and its ending.
fn within<'a>(name: &'a str, block: &str) -> &'a str {
    let short = name.strip_prefix("model.").unwrap_or(name);
    let short = short.strip_suffix(".weight").unwrap_or(short);
    short.strip_prefix(block).and_then(|rest| rest.strip_prefix('.')).unwrap_or(short)
}

/// A name that still says which block: `3.mlp.up_proj`.
fn short(name: &str) -> &str {
    let name = name.strip_prefix("model.").unwrap_or(name);
    name.strip_prefix("layers.").unwrap_or(name)
}

/// A row for each matrix: a strip whose colour is the share of zeros, over the run.
fn strips(records: &[(u32, Layers)], last: &Layers) -> String {
    let shown: Vec<&(u32, Layers)> = if records.len() <= COLUMNS {
        records.iter().collect()
    } else {
        (0..COLUMNS).map(|column| &records[column * (records.len() - 1) / (COLUMNS - 1)]).collect()
    };
    let all =
        || records.iter().flat_map(|(_, layers)| &layers.matrices).map(|matrix| matrix.sparsity);
    let (low, high) = (all().fold(1.0, f64::min), all().fold(0.0, f64::max));
    let mut out = format!(
        "<h3>Zeros over the run</h3><p class=\"note\">A row for each matrix, a column for each evaluation, from \
         {} <span class=\"ramp\"></span> {}.</p><div class=\"strips\">",
        tenths(low),
        tenths(high),
    );
    for (row, matrix) in last.matrices.iter().enumerate() {
        let name = escape(matrix.name.strip_suffix(".weight").unwrap_or(&matrix.name));
        let zeros = tenths(matrix.sparsity);
        let _ = write!(
            out,
            "<b>{}</b><svg viewBox=\"0 0 {} 1\" preserveAspectRatio=\"none\" shape-rendering=\"crispEdges\" role=\"img\" aria-label=\"zeros of {name}: \
             {zeros} at the end\">",
            short(&name),
            shown.len(),
        );
        for (column, (_, layers)) in shown.iter().enumerate() {
            // A record of another model in the same file has other rows.
            let Some(then) = layers.matrices.get(row) else { continue };
            let share = (then.sparsity - low) / (high - low).max(1e-12);
            let opacity = 0.08 + 0.92 * share.clamp(0.0, 1.0);
            let _ = write!(
                out,
                "<rect x=\"{column}\" width=\"1\" height=\"1\" fill-opacity=\"{opacity:.2}\"/>"
            );
        }
        let _ = write!(out, "</svg><span>{zeros}</span>");
    }
    out + "</div>"
}

fn card(out: &mut String, matrix: &Matrix, block: &str) {
    let name = escape(within(&matrix.name, block));
    let _ = write!(out, "<article><h4>{name}</h4>");
    if let Some(histogram) = &matrix.histogram {
        self::histogram(out, histogram, matrix.sparsity, &name);
    }
    let mut facts = vec![
        ("weights", grouped(matrix.weights as u64)),
        ("zeros", tenths(matrix.sparsity)),
        ("bits each", plain(matrix.effective_bits)),
        ("flips a step", percent(matrix.flips)),
    ];
    let scales = &matrix.scales;
    let all = [("α", scales.scale), ("W−", scales.negative_scale), ("W+", scales.positive_scale)];
    facts.extend(all.into_iter().filter_map(|(name, spread)| Some((name, self::spread(spread?)))));
    facts.extend(
        matrix.scale_drift.map(|drift| ("drift", format!("{}{}", sign(drift), tenths(drift)))),
    );
    facts.extend(matrix.dead_zone.map(|share| ("dead zone", tenths(share))));
    *out += "<dl>";
    for (what, value) in facts {
        let _ = write!(out, "<div><dt>{what}</dt><dd>{value}</dd></div>");
    }
    for (what, value) in &matrix.learned {
        let _ =
            write!(out, "<div><dt>learned {}</dt><dd>{}</dd></div>", escape(what), spread(*value));
    }
    *out += "</dl></article>";
}

fn sign(number: f64) -> &'static str {
    if number > 0.0 { "+" } else { "" }
}

/// The mean, and the ends where they are apart.
fn spread(spread: Spread) -> String {
    let Spread { smallest, mean, largest } = spread;
    if smallest == largest {
        plain(mean)
    } else {
        format!("{} ({}…{})", plain(mean), plain(smallest), plain(largest))
    }
}

/// Bars, in the colours of −1, 0 and +1. The zeros are the innermost bins that hold the share of zeros: rules differ
/// in their threshold, and this is right for all that have one on each side.
fn histogram(out: &mut String, histogram: &Histogram, sparsity: f64, name: &str) {
    let counts = histogram.counts();
    let (bins, all) = (counts.len(), counts.iter().sum::<u64>());
    let most = counts.iter().copied().max().unwrap_or(0);
    if most == 0 {
        return;
    }
    let width = zero_bins(counts, sparsity * all as f64);
    let _ = write!(
        out,
        "<svg class=\"histogram\" viewBox=\"0 0 {bins} 14\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"latent weights of {name}\">"
    );
    for (bin, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let height = (14.0 * count as f64 / most as f64).max(0.15);
        let class = match bin.abs_diff(bins / 2) < width {
            true => "zero",
            false if bin < bins / 2 => "minus",
            false => "plus",
        };
        let _ = write!(
            out,
            "<rect class=\"{class}\" x=\"{:.2}\" y=\"{:.2}\" width=\".86\" height=\"{height:.2}\"/>",
            bin as f64 + 0.07,
            14.0 - height
        );
    }
    *out += "</svg>";
}

/// How many bins around the middle, on one side and with it, come nearest to holding `zeros` weights.
fn zero_bins(counts: &[u64], zeros: f64) -> usize {
    let middle = counts.len() / 2;
    let mut best = (zeros, 0);
    let mut held = 0.0;
    for width in 1..=middle + 1 {
        let (left, right) = (middle + 1 - width, middle + width - 1);
        held += counts.get(left).map_or(0.0, |&count| count as f64);
        if left != right {
            held += counts.get(right).map_or(0.0, |&count| count as f64);
        }
        let off = (held - zeros).abs();
        if off < best.0 {
            best = (off, width);
        }
    }
    best.1
}

/// What several matrices learn together.
fn shared(out: &mut String, layers: &Layers) {
    if layers.shared.is_empty() {
        return;
    }
    *out += "<h3>Learned together</h3><dl class=\"pairs\">";
    for (name, value) in &layers.shared {
        let _ = write!(out, "<div><dt>{}</dt><dd>{}</dd></div>", escape(name), spread(*value));
    }
    *out += "</dl>";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_stand_under_their_block_by_a_short_name() {
        for (name, expected) in [
            ("model.layers.3.mlp.up_proj.weight", ("layers.3", "mlp.up_proj")),
            (
                "model.layers.12.mlp.experts.0.up_proj.weight",
                ("layers.12", "mlp.experts.0.up_proj"),
            ),
            ("lm_head.weight", ("lm_head", "lm_head")),
            ("odd", ("odd", "odd")),
        ] {
            let block = block(name);
            assert_eq!((block, within(name, block)), expected);
        }
    }

    #[test]
    fn the_zeros_are_the_innermost_bins_that_hold_them() {
        let counts = [1, 2, 3, 4, 3, 2, 1];
        for (zeros, expected) in [(0.0, 0), (4.0, 1), (10.0, 2), (14.0, 3), (16.0, 4), (9.0, 2)] {
            assert_eq!(zero_bins(&counts, zeros), expected, "{zeros}");
        }
        assert_eq!(zero_bins(&[], 3.0), 0);
    }
}
