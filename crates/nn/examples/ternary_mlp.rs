//! Two spirals told apart by a net whose hidden weights are −1, 0 and +1: prints the loss as it falls
//! and a picture of what the net has learned.
//!
//! ```text
//! cargo run --release -p nn --example ternary_mlp
//! ```

mod adam;

use adam::Adam;
use nn::ops::{cross_entropy_rows, gelu, gelu_backward};
use nn::{
    BitLinear, BitLinearOptions, Dense, Gradients, Input, Module, Parameters, Projection, Tape,
};
use ternary_core::noise::Noise;

const HIDDEN: usize = 128;
const POINTS: usize = 400;
const STEPS: usize = 600;

/// Points to hidden numbers, twice through ternary weights, to two scores.
struct Net {
    layers: Vec<Box<dyn Projection<f32>>>,
}

impl Module<f32> for Net {
    fn each_part(&self, visit: &mut dyn FnMut(&dyn Module<f32>)) {
        self.layers.iter().for_each(|layer| visit(&**layer));
    }

    fn each_part_mut(&mut self, visit: &mut dyn FnMut(&mut dyn Module<f32>)) {
        self.layers.iter_mut().for_each(|layer| visit(&mut **layer));
    }
}

impl Net {
    fn new(parameters: &mut Parameters) -> nn::Result<Self> {
        let inside = 1.0 / (HIDDEN as f64).sqrt();
        let first =
            Dense::random("first", [HIDDEN, 2], 1.5, 1, parameters)?.with_bias(parameters)?;
        let mut layers: Vec<Box<dyn Projection<f32>>> = vec![Box::new(first)];
        for name in ["second", "third"] {
            let options = BitLinearOptions::default();
            let shape = [HIDDEN, HIDDEN];
            let layer = BitLinear::<f32>::random(name, shape, inside, 1, options, parameters)?;
            layers.push(Box::new(layer.with_bias(parameters)?));
        }
        layers.push(Box::new(Dense::random("last", [2, HIDDEN], inside, 1, parameters)?));
        Ok(Self { layers })
    }

    fn forward(&self, points: &[f32], tape: &mut Tape<f32>) -> nn::Result<Vec<f32>> {
        let mut x = tape.take(points.len());
        x.copy_from_slice(points);
        for (index, layer) in self.layers.iter().enumerate() {
            if index > 0 {
                let mut y = tape.take(x.len());
                gelu(&x, &mut y)?;
                tape.save(std::mem::replace(&mut x, y));
            }
            let mut input = Input::new(layer.name(), x, layer.inputs())?;
            x = tape.take(input.rows() * layer.outputs());
            layer.forward(&mut input, &mut x, tape)?;
            tape.save_input(input);
        }
        Ok(x)
    }

    fn backward(
        &self,
        scores: Vec<f32>,
        tape: &mut Tape<f32>,
        gradients: &mut Gradients<f32>,
    ) -> nn::Result<()> {
        let mut dy = scores;
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let input = tape.restore_input(layer.name())?;
            let mut dx = tape.zeros(input.rows() * layer.inputs());
            layer.backward(&input, &dy, Some(&mut dx), tape, gradients)?;
            tape.recycle(input);
            tape.give(std::mem::replace(&mut dy, dx));
            if index > 0 {
                let x = tape.restore(layer.name())?;
                let mut dx = tape.take(x.len());
                gelu_backward(&x, &dy, &mut dx)?;
                tape.give(x);
                tape.give(std::mem::replace(&mut dy, dx));
            }
        }
        tape.give(dy);
        Ok(())
    }
}

/// Points on two arms of a spiral, and the arm of each.
fn spirals() -> (Vec<f32>, Vec<u32>) {
    let noise = Noise::new(2, 0, 0);
    let (mut points, mut arms) = (Vec::new(), Vec::new());
    for index in 0..POINTS {
        let (arm, along) = (index % 2, (index / 2) as f32 / (POINTS / 2) as f32);
        let angle = 7.0 * along + arm as f32 * std::f32::consts::PI;
        let radius = 0.1 + 0.9 * along;
        let shake = |axis| 0.02 * noise.normal(2 * index as u64 + axis);
        points.extend([radius * angle.cos() + shake(0), radius * angle.sin() + shake(1)]);
        arms.push(arm as u32);
    }
    (points, arms)
}

/// The plane from −1.1 to 1.1, a character for what the net says of each place.
fn picture(net: &Net) -> nn::Result<String> {
    let (rows, cols) = (25, 60);
    let at = |index: usize, count: usize| 2.2 * (index as f32 + 0.5) / count as f32 - 1.1;
    let places =
        (0..rows).flat_map(|row| (0..cols).map(move |col| [at(col, cols), -at(row, rows)]));
    let places: Vec<f32> = places.flatten().collect();
    let scores = net.forward(&places, &mut Tape::inference())?;
    let marks: Vec<char> = scores
        .chunks_exact(2)
        .map(|pair| match pair[1] - pair[0] {
            margin if margin > 1.0 => '#',
            margin if margin > 0.0 => '+',
            margin if margin > -1.0 => '-',
            _ => '.',
        })
        .collect();
    let lines = marks.chunks_exact(cols).map(|line| line.iter().collect::<String>() + "\n");
    Ok(lines.collect())
}

fn main() -> nn::Result<()> {
    let (points, arms) = spirals();
    let mut parameters = Parameters::new();
    let mut net = Net::new(&mut parameters)?;
    let mut gradients = Gradients::zeros(&parameters);
    let mut adam = Adam::new(3e-3, &parameters);
    let mut tape = Tape::recording();
    let mut losses = vec![0.0; POINTS];
    for step in 0..=STEPS {
        let mut scores = net.forward(&points, &mut tape)?;
        let mut d_scores = tape.zeros(scores.len());
        let weight = 1.0 / POINTS as f32;
        cross_entropy_rows(&scores, &arms, 0.0, weight, &mut losses, Some(&mut d_scores))?;
        if step % 100 == 0 {
            let wrong = scores.chunks_exact(2).zip(&arms);
            let wrong = wrong.filter(|(pair, arm)| (pair[1] > pair[0]) != (**arm == 1)).count();
            let loss = losses.iter().sum::<f64>() / POINTS as f64;
            println!(
                "step {step:>3}  loss {loss:.4}  {wrong:>3} of {POINTS} points on the wrong arm"
            );
        }
        std::mem::swap(&mut scores, &mut d_scores);
        tape.give(d_scores);
        net.backward(scores, &mut tape, &mut gradients)?;
        adam.update(&mut net, &parameters, &mut gradients)?;
    }
    let memory = net.memory();
    println!("\nternary weights take {} bytes, latent ones {}\n", memory.packed, memory.latent);
    println!("{}", picture(&net)?);
    Ok(())
}
