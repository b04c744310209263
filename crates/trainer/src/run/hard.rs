//! What is left of the examples of a step once the easy part is taken out.

use std::ops::Range;
use std::time::Instant;

use models::Decoder;
use nn::Tape;
use nn::ops::IGNORED;
use serde::{Deserialize, Serialize};

use super::examples::Examples;
use crate::config::Configuration;
use crate::mining::{Items, Selection};

/// Mining of hard examples ([`crate::mining`]): a forward over the whole batch chooses what is learnt from.
#[derive(Debug)]
pub(super) struct Mining {
    selection: Selection,
    items: Items,
    /// Windows that are run at a time.
    windows: usize,
    tape: Tape<f32>,
}

/// What mining chose, and what it cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mined {
    /// Tokens or windows that the step learns from.
    pub kept: usize,
    /// Seconds that the choice took, most of them a forward.
    pub mining_seconds: f64,
    /// Mean loss of the whole batch, in nats per byte; it is told as the loss of the step.
    #[serde(skip)]
    pub(super) whole_loss: f64,
}

impl Mining {
    /// The mining that a configuration asks for; none where everything is kept.
    pub(super) fn new(configuration: &Configuration) -> Option<Self> {
        let mining = &configuration.mining;
        let (threshold, minimum) = (mining.threshold, mining.minimum);
        let selection = Selection { rate: configuration.run.ohem, threshold, minimum };
        let (items, windows) = (mining.by, configuration.batch.unit);
        selection.is_on().then(|| Self { selection, items, windows, tape: Tape::inference() })
    }

    /// Leaves in `examples` what is to be learnt from. The choice is made over the whole batch, before any
    /// backward.
    ///
    /// # Errors
    /// An error of the model, and losses that are not finite.
    pub(super) fn narrow(
        &mut self,
        model: &Decoder<f32>,
        examples: &mut Examples,
    ) -> models::Result<Mined> {
        let start = Instant::now();
        let mut losses = Vec::with_capacity(examples.targets.len());
        for batch in examples.parts(self.windows) {
            losses.extend(model.losses(batch, &mut self.tape)?);
        }
        let kept = match self.items {
            Items::Tokens => keep_tokens(self.selection, &losses, examples)?,
            Items::Examples => keep_windows(self.selection, &losses, examples)?,
        };
        Ok(Mined {
            kept,
            mining_seconds: start.elapsed().as_secs_f64(),
            whole_loss: losses.iter().sum::<f64>() / losses.len().max(1) as f64,
        })
    }
}

/// Ignores the targets of all other tokens.
fn keep_tokens(
    selection: Selection,
    losses: &[f64],
    examples: &mut Examples,
) -> models::Result<usize> {
    let kept = selection.select(losses)?;
    let mut targets = vec![IGNORED; examples.targets.len()];
    kept.iter().for_each(|&token| targets[token] = examples.targets[token]);
    examples.targets = targets;
    Ok(kept.len())
}

/// Takes out all other windows.
fn keep_windows(
    selection: Selection,
    losses: &[f64],
    examples: &mut Examples,
) -> models::Result<usize> {
    let mut end = 0;
    let rows: Vec<Range<usize>> = examples
        .windows
        .iter()
        .map(|window| {
            let start = end;
            end += window.rows();
            start..end
        })
        .collect();
    let mean =
        |rows: &Range<usize>| losses[rows.clone()].iter().sum::<f64>() / rows.len().max(1) as f64;
    let kept = selection.select(&rows.iter().map(mean).collect::<Vec<_>>())?;
    let of_kept = |from: &[u32]| -> Vec<u32> {
        kept.iter().flat_map(|&window| &from[rows[window].clone()]).copied().collect()
    };
    examples.tokens = of_kept(&examples.tokens);
    examples.targets = of_kept(&examples.targets);
    examples.windows = kept.iter().map(|&window| examples.windows[window]).collect();
    Ok(kept.len())
}

#[cfg(test)]
mod learned_tests;
#[cfg(test)]
mod tests;
