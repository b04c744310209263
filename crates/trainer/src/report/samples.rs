//! What the model wrote during the run.

use std::fmt::Write;

use super::history::{History, Sample};
use super::html::escape;

/// Steps whose samples are shown at most.
const STEPS: usize = 6;

/// The section; nothing where it wrote nothing.
pub(super) fn section(run: &History) -> String {
    if run.samples.is_empty() {
        return String::new();
    }
    let mut out = "<section><h2>What it writes</h2><p class=\"lead\">The model goes on with a text, at several steps of \
                   the run.</p><div class=\"samples\">"
        .to_owned();
    for Sample { step, prompt, text } in chosen(&run.samples) {
        let _ = write!(
            out,
            "<article><h4>step {step}</h4><pre><b>{}</b>{}</pre></article>",
            escape(prompt),
            escape(text)
        );
    }
    out + "</div></section>"
}

/// Those of the first and the last step, and of some between, all of each.
fn chosen(samples: &[Sample]) -> Vec<&Sample> {
    let mut steps: Vec<u32> = samples.iter().map(|sample| sample.step).collect();
    steps.sort_unstable();
    steps.dedup();
    if steps.len() > STEPS {
        // Early on more changes than later: their places rise as squares do.
        let last = (steps.len() - 1) as f64;
        let places = (0..STEPS).map(|index| {
            let share = index as f64 / (STEPS - 1) as f64;
            ((share * share * last).round() as usize).max(index)
        });
        steps = places.map(|place| steps[place]).collect();
    }
    samples.iter().filter(|sample| steps.contains(&sample.step)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_are_among_those_that_are_shown() {
        let sample = |step| Sample { step, prompt: "a".into(), text: "b".into() };
        for count in [1, 5, 6, 7, 8, 100] {
            let samples: Vec<_> =
                (1..=count).flat_map(|step| [sample(step), sample(step)]).collect();
            let chosen = chosen(&samples);
            assert_eq!((chosen[0].step, chosen[chosen.len() - 1].step), (1, count), "{count}");
            assert_eq!(chosen.len(), 2 * (count as usize).min(STEPS), "{count}");
        }
    }
}
