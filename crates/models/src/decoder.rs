//! [`Decoder`]: tokens to scores of the next token.

use std::sync::Arc;

use nn::ops::{IGNORED, Loss, RotaryTable, count_targets, cross_entropy_rows};
use nn::{
    Block, Compute, Context, Embedding, Gradients, Input, Layer, Module, Parameters, Projection,
    RmsNorm, Sequences, Tape,
};

use crate::build::Builder;
use crate::config::DecoderConfig;
use crate::error::{Error, Result};
use crate::source::{Role, WeightSource};

/// Rows whose scores exist at a time.
const SCORED_ROWS: usize = 512;

/// Sequences of tokens, and for each position the token that should come next.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// How the tokens divide into sequences.
    pub sequences: Sequences,
    /// The tokens, sequence after sequence.
    pub tokens: &'a [u32],
    /// For each of them its successor, or [`nn::ops::IGNORED`].
    pub targets: &'a [u32],
}

impl Batch<'_> {
    fn context(&self) -> Context<'_> {
        Context { tokens: self.tokens, ..self.sequences.into() }
    }
}

/// A decoder-only language model:
///
/// ```text
/// x = embedding(tokens)
/// x = block(x)                    for each layer
/// scores = norm(x) · headᵀ        the embedding's table, where they are tied
/// ```
///
/// ```
/// use models::{Decoder, DecoderConfig, Initial, WeightKind};
/// use nn::{Sequences, Tape};
///
/// let config = DecoderConfig { layers: 1, ..DecoderConfig::tiny() };
/// let model = Decoder::<f32>::build(config, &mut Initial { seed: 1, kind: WeightKind::Dense })?;
/// let sequences = Sequences { count: 1, length: 3 };
/// let scores = model.scores(&[72, 101, 108], sequences, &mut Tape::inference())?;
/// assert_eq!(scores.len(), 3 * 256);
/// # Ok::<(), models::Error>(())
/// ```
#[derive(Debug)]
pub struct Decoder<T> {
    config: DecoderConfig,
    parameters: Parameters,
    embedding: Embedding<T>,
    blocks: Vec<Block<T>>,
    norm: RmsNorm<T>,
    head: Option<Box<dyn Projection<T>>>,
}

impl<T: Compute> Decoder<T> {
    /// Builds a decoder of this shape, with weights from `source`.
    ///
    /// # Errors
    /// [`Error::Config`] for a shape that no decoder can have, or an error of the source.
    pub fn build<S: WeightSource<T>>(
        config: DecoderConfig,
        source: &mut S,
    ) -> Result<Self, S::Error> {
        config.check()?;
        let mut parameters = Parameters::new();
        let table = [config.vocabulary, config.width];
        let embedding = source.table("model.embed_tokens", table, &mut parameters)?;
        let DecoderConfig { rotary_base, head_width, rotary_width, positions, .. } = config;
        let rotary = RotaryTable::new(rotary_base, head_width, rotary_width, positions);
        let mut rotary = rotary.map_err(Error::from)?;
        if let Some(scaling) = config.rotary_scaling {
            rotary = rotary.scaled(scaling);
        }
        let mut builder = Builder {
            rotary: Arc::new(rotary),
            config: &config,
            source,
            parameters: &mut parameters,
        };
        let blocks = (0..config.layers).map(|layer| builder.block(layer));
        let blocks = blocks.collect::<Result<_, _>>()?;
        let norm = builder.norm("model.norm", config.width)?;
        let head = if config.tied_head {
            None
        } else {
            Some(source.projection("lm_head", table, Role::Head, &mut parameters)?)
        };
        // A source of frozen weights is done: what is declared from now on, adapters say, can learn.
        parameters.thaw();
        Ok(Self { config, parameters, embedding: Embedding::new(embedding), blocks, norm, head })
    }

    /// Its shape.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Its parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    pub(crate) fn blocks(&self) -> &[Block<T>] {
        &self.blocks
    }

    pub(crate) fn norm(&self) -> &RmsNorm<T> {
        &self.norm
    }

    fn head(&self) -> &dyn Projection<T> {
        self.head.as_deref().unwrap_or_else(|| self.embedding.head())
    }

    /// The rows that the head sees.
    fn hidden(&self, context: Context<'_>, tape: &mut Tape<T>) -> Result<Vec<T>> {
        let mut x = self.embed(context, tape)?;
        for block in &self.blocks {
            x = block.forward(x, context, tape)?;
        }
        Ok(self.norm.forward(x, context, tape)?)
    }

    pub(crate) fn embed(&self, context: Context<'_>, tape: &mut Tape<T>) -> Result<Vec<T>> {
        // What a forward without a backward, or one that failed half-way, has left.
        tape.clear();
        let Sequences { count, length } = context.sequences;
        check("tokens", count.saturating_mul(length), context.tokens.len())?;
        Ok(self.embedding.forward(context.tokens, tape)?)
    }

    /// The scores (logits) of every next token at every position.
    ///
    /// # Errors
    /// [`Error::Batch`] for another number of tokens, or an error of a layer: a token out of range,
    /// activations that are not finite.
    pub fn scores(
        &self,
        tokens: &[u32],
        sequences: Sequences,
        tape: &mut Tape<T>,
    ) -> Result<Vec<T>> {
        self.scores_of(Context { tokens, ..sequences.into() }, tape)
    }

    /// [`Decoder::scores`] of rows about which more is known: padding, or how recurrences run.
    ///
    /// # Errors
    /// As [`Decoder::scores`].
    pub fn scores_of(&self, context: Context<'_>, tape: &mut Tape<T>) -> Result<Vec<T>> {
        let hidden = self.hidden(context, tape)?;
        self.scores_of_rows(hidden, tape)
    }

    pub(crate) fn scores_of_rows(&self, rows: Vec<T>, tape: &mut Tape<T>) -> Result<Vec<T>> {
        let mut input = Input::new("head", rows, self.config.width)?;
        let mut scores = tape.take(input.rows() * self.config.vocabulary);
        self.head().forward(&mut input, &mut scores, tape)?;
        tape.recycle(input);
        Ok(scores)
    }

    /// The loss of a batch: the mean of −ln p(target) over the counted positions.
    ///
    /// # Errors
    /// As [`Decoder::scores`], and for a target that the vocabulary does not have.
    pub fn loss(&self, batch: Batch<'_>, tape: &mut Tape<T>) -> Result<Loss> {
        self.score(batch, tape, None)
    }

    /// The loss −ln p(target) of every position of a batch; 0 for those that are ignored.
    ///
    /// # Errors
    /// As [`Decoder::loss`].
    pub fn losses(&self, batch: Batch<'_>, tape: &mut Tape<T>) -> Result<Vec<f64>> {
        check("targets", batch.tokens.len(), batch.targets.len())?;
        self.check_targets(batch.targets)?;
        let hidden = self.hidden(batch.context(), tape)?;
        let mut losses = vec![0.0; batch.targets.len()];
        let rows = hidden.chunks((SCORED_ROWS * self.config.width).max(1));
        let blocks = batch.targets.chunks(SCORED_ROWS).zip(losses.chunks_mut(SCORED_ROWS));
        for (hidden, (targets, losses)) in rows.zip(blocks) {
            self.score_rows(hidden, targets, losses, 1, tape, None)?;
        }
        tape.give(hidden);
        Ok(losses)
    }

    /// The loss of a batch, and its gradient added to `gradients`. For quantised weights that is dL/dq
    /// until [`Module::finish_gradients`].
    ///
    /// The gradient is that of the returned loss plus the losses of routers, which
    /// [`Tape::auxiliary_loss`] tells afterwards.
    ///
    /// # Errors
    /// As [`Decoder::loss`], and for a tape that does not record.
    pub fn loss_and_gradients(
        &self,
        batch: Batch<'_>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<Loss> {
        self.score(batch, tape, Some(gradients))
    }

    fn score(
        &self,
        batch: Batch<'_>,
        tape: &mut Tape<T>,
        mut gradients: Option<&mut Gradients<T>>,
    ) -> Result<Loss> {
        check("targets", batch.tokens.len(), batch.targets.len())?;
        self.check_targets(batch.targets)?;
        if gradients.is_some() && !tape.is_recording() {
            let (layer, found) = ("decoder".to_owned(), "nothing");
            return Err(nn::Error::Tape { layer, expected: "a forward", found }.into());
        }
        let hidden = self.hidden(batch.context(), tape)?;
        let count = count_targets(batch.targets);
        let mut d_hidden = gradients.is_some().then(|| tape.zeros(hidden.len()));
        let mut sum = 0.0;
        let width = self.config.width;
        for (block, targets) in batch.targets.chunks(SCORED_ROWS).enumerate() {
            let rows = block * SCORED_ROWS * width..(block * SCORED_ROWS + targets.len()) * width;
            let d_hidden = d_hidden.as_deref_mut().map(|d| &mut d[rows.clone()]);
            let gradients = gradients.as_deref_mut().zip(d_hidden);
            let mut losses = [0.0; SCORED_ROWS];
            let losses = &mut losses[..targets.len()];
            self.score_rows(&hidden[rows], targets, losses, count, tape, gradients)?;
            sum += losses.iter().sum::<f64>();
        }
        tape.give(hidden);
        if let (Some(gradients), Some(d_hidden)) = (gradients, d_hidden) {
            self.backward(d_hidden, batch.context(), tape, gradients)?;
        }
        Ok(Loss { mean: if count == 0 { 0.0 } else { sum / count as f64 }, count })
    }

    /// Checks all targets before any of them has moved a gradient.
    fn check_targets(&self, targets: &[u32]) -> Result<()> {
        let vocabulary = self.config.vocabulary;
        let is_wrong = |&target: &u32| target != IGNORED && target as usize >= vocabulary;
        let Some(position) = targets.iter().position(is_wrong) else { return Ok(()) };
        let (layer, token) = ("targets".to_owned(), targets[position]);
        Err(nn::Error::Token { layer, position, vocabulary, token }.into())
    }

    /// Writes the losses of some rows and, with gradients, goes back to those rows at once.
    fn score_rows(
        &self,
        hidden: &[T],
        targets: &[u32],
        losses: &mut [f64],
        count: usize,
        tape: &mut Tape<T>,
        gradients: Option<(&mut Gradients<T>, &mut [T])>,
    ) -> Result<()> {
        let mut rows = tape.take(hidden.len());
        rows.copy_from_slice(hidden);
        let mut input = Input::new("head", rows, self.config.width)?;
        let mut scores = tape.take(targets.len() * self.config.vocabulary);
        self.head().forward(&mut input, &mut scores, tape)?;
        let weight = T::ONE / T::from_usize(count.max(1));
        match gradients {
            None => cross_entropy_rows(&scores, targets, T::ZERO, weight, losses, None)?,
            Some((gradients, d_hidden)) => {
                let mut d_scores = tape.zeros(scores.len());
                let d = Some(&mut d_scores[..]);
                cross_entropy_rows(&scores, targets, T::ZERO, weight, losses, d)?;
                self.head().backward(&input, &d_scores, Some(d_hidden), tape, gradients)?;
                tape.give(d_scores);
            }
        }
        tape.give(scores);
        tape.recycle(input);
        Ok(())
    }

    fn backward(
        &self,
        d_hidden: Vec<T>,
        context: Context<'_>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<()> {
        let mut dx = self.norm.backward(d_hidden, context, tape, gradients)?;
        for block in self.blocks.iter().rev() {
            dx = block.backward(dx, context, tape, gradients)?;
        }
        Ok(self.embedding.backward(dx, tape, gradients)?)
    }
}

impl<T: Compute> Module<T> for Decoder<T> {
    fn each_part(&self, visit: &mut dyn FnMut(&dyn Module<T>)) {
        visit(&self.embedding);
        self.blocks.iter().for_each(|block| visit(block));
        visit(&self.norm);
        if let Some(head) = &self.head {
            visit(&**head);
        }
    }

    fn each_part_mut(&mut self, visit: &mut dyn FnMut(&mut dyn Module<T>)) {
        visit(&mut self.embedding);
        self.blocks.iter_mut().for_each(|block| visit(block));
        visit(&mut self.norm);
        if let Some(head) = &mut self.head {
            visit(&mut **head);
        }
    }
}

fn check(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Batch { what, expected, found }) }
}
