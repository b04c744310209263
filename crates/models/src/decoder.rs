//! [`Decoder`]: tokens to scores of the next token.

use std::sync::Arc;

use nn::ops::RotaryTable;
use nn::ternary_core::Levels;
use nn::{
    Block, Compute, Context, Embedding, Gradients, Input, Layer, Module, Parameters, Projection,
    RmsNorm, Sequences, Tape, Update,
};

use crate::build::Builder;
use crate::config::DecoderConfig;
use crate::error::{Error, Result};
use crate::source::{Role, WeightSource};

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
    pub(crate) fn context(&self) -> Context<'_> {
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
    pub(crate) parameters: Parameters,
    embedding: Embedding<T>,
    pub(crate) blocks: Vec<Block<T>>,
    norm: RmsNorm<T>,
    pub(crate) head: Option<Box<dyn Projection<T>>>,
    /// Parts from the start, the embedding and then the blocks, in which nothing learns.
    still: usize,
    /// Its parameters as they are without adapters, while it has some.
    pub(crate) unadapted: Option<Parameters>,
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
        let embedding = Embedding::new(embedding);
        let (still, unadapted) = (0, None);
        let mut model =
            Self { config, parameters, embedding, blocks, norm, head, still, unadapted };
        model.find_still();
        Ok(model)
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

    /// Calls `change` with each part, unless adapters keep them as they are.
    fn each_changing_part(
        &mut self,
        mut change: impl FnMut(&mut dyn Module<T>) -> nn::Result<()>,
    ) -> nn::Result<()> {
        let mut result = Ok(());
        if self.unadapted.is_none() {
            self.each_part_mut(&mut |part| {
                if result.is_ok() {
                    result = change(part);
                }
            });
        }
        result
    }

    pub(crate) fn norm(&self) -> &RmsNorm<T> {
        &self.norm
    }

    pub(crate) fn head(&self) -> &dyn Projection<T> {
        self.head.as_deref().unwrap_or_else(|| self.embedding.head())
    }

    /// Finds the parts from the start in which nothing learns: no backward reaches them, so a forward keeps nothing of
    /// them.
    pub(crate) fn find_still(&mut self) {
        let parts = [&self.embedding as &dyn Module<T>].into_iter();
        let mut parts = parts.chain(self.blocks.iter().map(|block| block as _));
        let first = parts.position(learns);
        self.still = first.unwrap_or(1 + self.blocks.len());
    }

    /// The blocks that no backward reaches, and the others.
    fn still_blocks(&self) -> (&[Block<T>], &[Block<T>]) {
        self.blocks.split_at(self.still.saturating_sub(1))
    }

    /// The rows that the head sees.
    pub(crate) fn hidden(&self, context: Context<'_>, tape: &mut Tape<T>) -> Result<Vec<T>> {
        let (still, others) = self.still_blocks();
        let begin = |tape: &mut Tape<T>| -> Result<Vec<T>> {
            let x = self.embed(context, tape)?;
            Ok(still.iter().try_fold(x, |x, block| block.forward(x, context, tape))?)
        };
        let mut x = if self.still > 0 { tape.paused(begin)? } else { begin(tape)? };
        for block in others {
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

    pub(crate) fn backward(
        &self,
        d_hidden: Vec<T>,
        context: Context<'_>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<()> {
        let mut dx = self.norm.backward(d_hidden, context, tape, gradients)?;
        let (_, others) = self.still_blocks();
        for block in others.iter().rev() {
            dx = block.backward(dx, context, tape, gradients)?;
        }
        if self.still > 0 {
            tape.give(dx);
            return Ok(());
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

    /// Nothing while there are adapters: what they adapt stays as it is.
    fn requantize(&mut self, update: Update) -> nn::Result<()> {
        self.each_changing_part(|part| part.requantize(update))
    }

    /// As [`Module::requantize`].
    fn decide_again(&mut self, update: Update) -> nn::Result<()> {
        self.each_changing_part(|part| part.decide_again(update))
    }

    fn visit_levels(&self, visit: &mut dyn FnMut(&str, &[Levels])) {
        if self.unadapted.is_none() {
            self.each_part(&mut |part| part.visit_levels(visit));
        }
    }

    fn visit_levels_mut(&mut self, visit: &mut dyn FnMut(&str, &mut [Levels])) {
        if self.unadapted.is_none() {
            self.each_part_mut(&mut |part| part.visit_levels_mut(visit));
        }
    }
}

/// Whether a part has a parameter that can learn.
fn learns<T: Compute>(part: &dyn Module<T>) -> bool {
    let mut learns = false;
    part.visit(&mut |tensor| learns |= tensor.id.is_some_and(|id| !id.is_frozen()));
    learns
}

pub(crate) fn check(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Batch { what, expected, found }) }
}
