//! What the tests of all optimisers share.

use ternary_core::Real;
use ternary_core::noise::Noise;

use super::{Moment, Optimiser};

/// Normal numbers of a step.
pub(super) fn normals(step: u32, n: usize) -> Vec<f32> {
    let mut values = vec![0.0; n];
    Noise::new(7, 0, step).fill_normal(0, &mut values);
    values
}

/// The first tensor, with a gradient that is taken as it is.
pub(super) fn single<T: Real>(
    learning_rate: f64,
    weight_decay: f64,
    gradient: &[T],
) -> Moment<'_, '_, T> {
    let weights = &|_: &mut dyn FnMut(&[T])| {};
    Moment { tensor: 0, learning_rate, weight_decay, gradient, gradient_factor: 1.0, weights }
}

/// An update of weights that are handed over in runs of some length.
pub(super) fn step<T: Real>(
    optimiser: &mut dyn Optimiser<T>,
    moment: Moment<'_, '_, T>,
    weights: &mut [T],
    run: usize,
) {
    let before = &|see: &mut dyn FnMut(&[T])| weights.chunks(run).for_each(&mut *see);
    let moment = Moment { weights: before, ..moment };
    let mut update = optimiser.begin(moment);
    for (index, weights) in weights.chunks_mut(run).enumerate() {
        update.apply(index * run, weights);
    }
}

/// The weights after three steps with random gradients, and what the optimiser kept.
pub(super) fn run(
    mut optimiser: impl Optimiser,
    n: usize,
    length: usize,
) -> (Vec<f32>, Vec<(String, Vec<f32>)>) {
    let mut weights = normals(0, n);
    for time in 1..4 {
        let gradient = normals(time, n);
        let moment = Moment { gradient_factor: 0.7, ..single(0.01, 0.1, &gradient) };
        step(&mut optimiser, moment, &mut weights, length);
    }
    let arrays = optimiser.state().arrays().into_iter();
    (weights, arrays.map(|array| (array.name, array.values.to_vec())).collect())
}

/// On a pool of some threads.
pub(super) fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}
