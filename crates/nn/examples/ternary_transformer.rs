//! One ternary transformer block learns to repeat what it has read: prints the loss as it falls and
//! what the block writes.
//!
//! ```text
//! cargo run --release -p nn --example ternary_transformer
//! ```

mod adam;

use std::num::NonZeroU64;
use std::sync::Arc;

use adam::Adam;
use nn::ops::{IGNORED, RotaryTable, cross_entropy_rows};
use nn::{
    Attention, AttentionGate, AttentionOptions, AttentionProjections, BitLinear, BitLinearOptions,
    Block, Dense, Embedding, FeedForward, FeedForwardProjections, Gradients, Input, Layer, Module,
    Nonlinearity, Parameters, Projection, RmsNorm, Sequences, Tape,
};
use ternary_core::noise::Noise;

const LETTERS: u64 = 20;
/// The letter that says: now repeat.
const REPEAT: u32 = LETTERS as u32;
const VOCABULARY: usize = LETTERS as usize + 1;
const WORD: usize = 8;
const LENGTH: usize = 2 * WORD + 1;
const WIDTH: usize = 64;
const BATCH: usize = 32;
const STEPS: u32 = 400;

/// Embedding, one block, norm, and the embedding again as head.
struct Model {
    embedding: Embedding<f32>,
    block: Block<f32>,
    norm: RmsNorm<f32>,
}

impl Module<f32> for Model {
    fn each_part(&self, visit: &mut dyn FnMut(&dyn Module<f32>)) {
        visit(&self.embedding);
        visit(&self.block);
        visit(&self.norm);
    }

    fn each_part_mut(&mut self, visit: &mut dyn FnMut(&mut dyn Module<f32>)) {
        visit(&mut self.embedding);
        visit(&mut self.block);
        visit(&mut self.norm);
    }
}

fn ternary(
    name: &str,
    shape: [usize; 2],
    parameters: &mut Parameters,
) -> nn::Result<Box<dyn Projection<f32>>> {
    let deviation = 1.0 / (shape[1] as f64).sqrt();
    let options = BitLinearOptions::default();
    Ok(Box::new(BitLinear::<f32>::random(name, shape, deviation, 1, options, parameters)?))
}

impl Model {
    fn new(parameters: &mut Parameters) -> nn::Result<Self> {
        let norm = |name: &str, width, parameters: &mut Parameters| {
            RmsNorm::new(name, vec![1.0; width], 1e-5, parameters)
        };
        let deviation = 1.0 / (WIDTH as f64).sqrt();
        let table = Dense::random("embedding", [VOCABULARY, WIDTH], deviation, 1, parameters)?;
        let square = [WIDTH, WIDTH];
        let projections = AttentionProjections {
            query: ternary("attention.query", square, parameters)?,
            key: ternary("attention.key", square, parameters)?,
            value: ternary("attention.value", square, parameters)?,
            gate: AttentionGate::None,
            output: ternary("attention.output", square, parameters)?,
        };
        let options = AttentionOptions {
            query_heads: 4,
            key_heads: 4,
            head_width: WIDTH / 4,
            rotary: Some(Arc::new(RotaryTable::new(100.0, WIDTH / 4, WIDTH / 4, LENGTH)?)),
            head_norms: None,
            sub_norm: Some(norm("attention.norm", WIDTH, parameters)?),
        };
        let attention = Attention::new("attention", projections, options)?;
        let projections = FeedForwardProjections {
            gate: Some(ternary("mlp.gate", [2 * WIDTH, WIDTH], parameters)?),
            up: ternary("mlp.up", [2 * WIDTH, WIDTH], parameters)?,
            down: ternary("mlp.down", [WIDTH, 2 * WIDTH], parameters)?,
        };
        let inner = Some(norm("mlp.norm", 2 * WIDTH, parameters)?);
        let feed_forward = FeedForward::new("mlp", Nonlinearity::SwiGlu, projections, inner)?;
        let mixer = (norm("norm.0", WIDTH, parameters)?, Box::new(attention) as _);
        let channels = (norm("norm.1", WIDTH, parameters)?, Box::new(feed_forward) as _);
        Ok(Self {
            embedding: Embedding::new(Box::new(table)),
            block: Block::new("block", mixer, channels)?,
            norm: norm("norm.2", WIDTH, parameters)?,
        })
    }

    fn forward(
        &self,
        tokens: &[u32],
        sequences: Sequences,
        tape: &mut Tape<f32>,
    ) -> nn::Result<(Input<f32>, Vec<f32>)> {
        let x = self.embedding.forward(tokens, tape)?;
        let x = self.block.forward(x, sequences.into(), tape)?;
        let mut input = Input::new("head", self.norm.forward(x, sequences.into(), tape)?, WIDTH)?;
        let mut scores = tape.take(tokens.len() * VOCABULARY);
        self.embedding.head().forward(&mut input, &mut scores, tape)?;
        Ok((input, scores))
    }

    fn backward(
        &self,
        input: Input<f32>,
        d_scores: &[f32],
        sequences: Sequences,
        tape: &mut Tape<f32>,
        gradients: &mut Gradients<f32>,
    ) -> nn::Result<()> {
        let mut dx = tape.zeros(sequences.rows() * WIDTH);
        self.embedding.head().backward(&input, d_scores, Some(&mut dx), tape, gradients)?;
        tape.recycle(input);
        let dx = self.norm.backward(dx, sequences.into(), tape, gradients)?;
        let dx = self.block.backward(dx, sequences.into(), tape, gradients)?;
        self.embedding.backward(dx, tape, gradients)
    }
}

/// A word, the sign, and the word again.
fn sentence(step: u32, example: u64) -> Vec<u32> {
    let noise = Noise::new(3, 0, step);
    let letters = NonZeroU64::new(LETTERS).unwrap_or(NonZeroU64::MIN);
    let letter = |place| noise.below(example * WORD as u64 + place, letters) as u32;
    let word: Vec<u32> = (0..WORD as u64).map(letter).collect();
    [&word[..], &[REPEAT], &word].concat()
}

/// What the model writes after a word it has not seen.
fn write(model: &Model, word: &[u32]) -> nn::Result<Vec<u32>> {
    let mut tokens = [word, &[REPEAT]].concat();
    for _ in 0..WORD {
        let sequences = Sequences { count: 1, length: tokens.len() };
        let (_, scores) = model.forward(&tokens, sequences, &mut Tape::inference())?;
        let last = &scores[(tokens.len() - 1) * VOCABULARY..];
        let best = (0..VOCABULARY).max_by(|&a, &b| last[a].total_cmp(&last[b])).unwrap_or(0);
        tokens.push(best as u32);
    }
    Ok(tokens[WORD + 1..].to_vec())
}

fn spell(word: &[u32]) -> String {
    word.iter().map(|&letter| char::from(b'a' + letter as u8)).collect()
}

fn main() -> nn::Result<()> {
    let mut parameters = Parameters::new();
    let mut model = Model::new(&mut parameters)?;
    let mut gradients = Gradients::zeros(&parameters);
    let mut adam = Adam::new(4e-3, &parameters);
    let mut tape = Tape::recording();
    let sequences = Sequences { count: BATCH, length: LENGTH };
    let mut losses = vec![0.0; sequences.rows()];
    for step in 0..=STEPS {
        let tokens: Vec<u32> = (0..BATCH as u64).flat_map(|i| sentence(step, i)).collect();
        // Only the second half can be known.
        let target = |at: usize| match at % LENGTH {
            place if (WORD..2 * WORD).contains(&place) => tokens[at + 1],
            _ => IGNORED,
        };
        let targets: Vec<u32> = (0..tokens.len()).map(target).collect();
        let (input, scores) = model.forward(&tokens, sequences, &mut tape)?;
        let mut d_scores = tape.zeros(scores.len());
        let count = BATCH * WORD;
        let weight = 1.0 / count as f32;
        cross_entropy_rows(&scores, &targets, 0.0, weight, &mut losses, Some(&mut d_scores))?;
        if step % 50 == 0 {
            println!("step {step:>3}  loss {:.4}", losses.iter().sum::<f64>() / count as f64);
        }
        model.backward(input, &d_scores, sequences, &mut tape, &mut gradients)?;
        tape.give(scores);
        tape.give(d_scores);
        adam.update(&mut model, &parameters, &mut gradients)?;
    }
    println!();
    for example in 0..4 {
        let word = &sentence(STEPS + 1, example)[..WORD];
        println!("{} -> {}", spell(word), spell(&write(&model, word)?));
    }
    Ok(())
}
