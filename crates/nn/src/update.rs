//! How an optimiser's result is written back.

use half::bf16;
use ternary_core::noise::Noise;
use ternary_core::{Real, TernaryMatrix};

use crate::module::ValuesMut;

/// How numbers of less than 32 bits, and ternary weights, are rounded after an update.
#[derive(Debug, Clone, Copy)]
pub enum Rounding<'a> {
    /// To the nearest, ties to even. It loses every update below 2⁻⁹ of the weight, and of a ternary
    /// weight every one below half its scale.
    Nearest,
    /// Up or down with probabilities that make it unbiased, E\[round(x)\] = x, by the random number of
    /// the weight's index.
    Stochastic(&'a Noise),
}

/// Weights that are widened at a time.
const CHUNK: usize = 512;

impl<T: Real> ValuesMut<'_, T> {
    /// How many values.
    pub fn len(&self) -> usize {
        match self {
            Self::Real(values) => values.len(),
            Self::F32(values) => values.len(),
            Self::Bf16(values) => values.len(),
            Self::Ternary(matrix) => matrix.rows() * matrix.cols(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `see(start, values)` with the runs that [`update`](Self::update) hands over, as they are: for an
    /// optimiser that must know a whole tensor before it changes any of it.
    pub fn read(&self, mut see: impl FnMut(usize, &[f32])) {
        match self {
            Self::F32(values) => see(0, values),
            Self::Real(values) => match as_single(values) {
                Some(values) => see(0, values),
                None => each_chunk(values, |x| x.to_f32(), see),
            },
            Self::Bf16(values) => each_chunk(values, |x| x.to_f32(), see),
            Self::Ternary(matrix) => {
                let cols = matrix.cols();
                let mut weights = vec![0.0; cols];
                for row in 0..matrix.rows() {
                    matrix.row_f32(row, &mut weights).expect("a row of its own shape");
                    see(row * cols, &weights);
                }
            }
        }
    }

    /// Calls `change(start, values)` with runs of the values in `f32`, the first of them at index
    /// `start`, and writes them back. Numbers in `f32` are changed in place.
    pub fn update(&mut self, rounding: Rounding<'_>, mut change: impl FnMut(usize, &mut [f32])) {
        match self {
            Self::F32(values) => change(0, values),
            Self::Real(values) => {
                if let Ok(values) = bytemuck::try_cast_slice_mut::<T, f32>(values)
                    && size_of::<T>() == size_of::<f32>()
                {
                    change(0, values);
                    return;
                }
                by_chunks(values, |x| x.to_f32(), |_, x| T::from_f32(x), change);
            }
            Self::Bf16(values) => match rounding {
                Rounding::Nearest => {
                    by_chunks(values, |x| x.to_f32(), |_, x| bf16::from_f32(x), change);
                }
                Rounding::Stochastic(noise) => {
                    let round = |index, x| round_stochastically(x, noise.bits(index as u64));
                    by_chunks(values, |x| x.to_f32(), round, change);
                }
            },
            Self::Ternary(matrix) => by_rows(matrix, rounding, change),
        }
    }
}

/// Ternary weights, widened and rounded back to the grid a row at a time.
fn by_rows(
    matrix: &mut TernaryMatrix,
    rounding: Rounding<'_>,
    mut change: impl FnMut(usize, &mut [f32]),
) {
    let cols = matrix.cols();
    let mut weights = vec![0.0; cols];
    for row in 0..matrix.rows() {
        let start = row * cols;
        matrix.row_f32(row, &mut weights).expect("a row of its own shape");
        change(start, &mut weights);
        let decide = |col: usize, [negative, positive]: [f32; 2]| {
            let weight = weights[col];
            let (trit, level) = if weight < 0.0 { (-1, negative) } else { (1, positive) };
            let border = match rounding {
                Rounding::Nearest => 0.5,
                Rounding::Stochastic(noise) => noise.uniform((start + col) as u64),
            };
            // A level of zero is the same weight as the trit 0.
            let share = if level == 0.0 { 0.0 } else { weight / level };
            if border < share { trit } else { 0 }
        };
        matrix.decide_row(row, decide).expect("trits for a row of its own shape");
    }
}

/// The numbers as `f32`, if that is what they are.
fn as_single<T: Real>(values: &[T]) -> Option<&[f32]> {
    let is_single = size_of::<T>() == size_of::<f32>();
    bytemuck::try_cast_slice(values).ok().filter(|_| is_single)
}

fn each_chunk<B: Copy>(values: &[B], widen: impl Fn(B) -> f32, mut see: impl FnMut(usize, &[f32])) {
    let mut wide = [0.0; CHUNK];
    for (chunk, values) in values.chunks(CHUNK).enumerate() {
        let wide = &mut wide[..values.len()];
        for (wide, &value) in wide.iter_mut().zip(values) {
            *wide = widen(value);
        }
        see(chunk * CHUNK, wide);
    }
}

fn by_chunks<B: Copy>(
    values: &mut [B],
    widen: impl Fn(B) -> f32,
    narrow: impl Fn(usize, f32) -> B,
    mut change: impl FnMut(usize, &mut [f32]),
) {
    let mut wide = [0.0; CHUNK];
    for (chunk, values) in values.chunks_mut(CHUNK).enumerate() {
        let start = chunk * CHUNK;
        let wide = &mut wide[..values.len()];
        for (wide, &value) in wide.iter_mut().zip(&*values) {
            *wide = widen(value);
        }
        change(start, wide);
        for (offset, (value, &wide)) in values.iter_mut().zip(&*wide).enumerate() {
            *value = narrow(start + offset, wide);
        }
    }
}

/// Adds a random number to the half that is cut off, and cuts it off: the magnitude rises to the next
/// `bf16` with a probability of what would be lost. A representable number never moves.
fn round_stochastically(value: f32, random: u32) -> bf16 {
    if !value.is_finite() {
        return bf16::from_f32(value);
    }
    let rounded = bf16::from_bits(((value.to_bits() + (random & 0xffff)) >> 16) as u16);
    // Beyond the largest number, its neighbour is infinity.
    rounded.clamp(bf16::MIN, bf16::MAX)
}

#[cfg(test)]
mod tests {
    use ternary_core::{Granularity, Packing, Scales};

    use super::*;

    const DRAWS: usize = 100_000;

    #[test]
    fn stochastic_rounding_is_unbiased_to_four_deviations() {
        for x in [1.001_f32, -0.333_333, 3.1e-5, -1e30] {
            let noise = Noise::new(1, 2, 3);
            let mut values = vec![bf16::from_f32(0.0); DRAWS];
            let mut values_mut = ValuesMut::<f32>::Bf16(&mut values);
            values_mut.update(Rounding::Stochastic(&noise), |_, run| run.fill(x));
            let step = f64::from(x.abs()).log2().floor().exp2() / 128.0;
            let mean = values.iter().map(|v| f64::from(v.to_f32())).sum::<f64>() / DRAWS as f64;
            // A rounding that takes two values a step apart deviates by at most half a step.
            let tolerance = 4.0 * 0.5 * step / (DRAWS as f64).sqrt();
            assert!((mean - f64::from(x)).abs() < tolerance, "{x}: {mean}");
        }
    }

    #[test]
    fn a_representable_number_never_moves_and_the_largest_never_overflows() {
        for random in [0, 1, 0x8000, u32::MAX] {
            for x in [0.0, -0.0, 1.0, -1.5, bf16::MAX.to_f32(), f32::INFINITY] {
                assert_eq!(round_stochastically(x, random).to_f32().to_bits(), x.to_bits());
            }
            assert!(round_stochastically(f32::MAX, random).is_finite());
            assert!(round_stochastically(f32::NAN, random).is_nan());
        }
    }

    #[test]
    fn small_updates_get_through_only_with_stochastic_rounding() {
        let run = |rounding: Rounding<'_>| {
            let mut values = vec![bf16::ONE; 4096];
            let mut values_mut = ValuesMut::<f64>::Bf16(&mut values);
            values_mut.update(rounding, |_, run| run.iter_mut().for_each(|w| *w += 1e-4));
            values.iter().map(|v| f64::from(v.to_f32())).sum::<f64>() / 4096.0
        };
        assert_eq!(run(Rounding::Nearest), 1.0);
        let mean = run(Rounding::Stochastic(&Noise::new(4, 5, 6)));
        assert!((mean - 1.0001).abs() < 7e-5, "{mean}");
    }

    fn grid(cols: usize) -> TernaryMatrix {
        let scales = Scales::asymmetric(Granularity::Tensor, vec![0.5], vec![0.25]).unwrap();
        TernaryMatrix::from_trits(1, cols, &vec![0; cols], scales, Packing::TwoBit).unwrap()
    }

    #[test]
    fn rounding_to_the_grid_is_unbiased_between_its_levels() {
        for x in [0.2_f32, 0.01, -0.4, -0.03, 0.0, 0.25, -0.5] {
            let (noise, mut matrix) = (Noise::new(5, 6, 7), grid(DRAWS));
            let mut values = ValuesMut::<f32>::Ternary(&mut matrix);
            values.update(Rounding::Stochastic(&noise), |_, run| run.fill(x));
            let mean = matrix.to_f32().iter().map(|&w| f64::from(w)).sum::<f64>() / DRAWS as f64;
            let level: f64 = if x < 0.0 { 0.5 } else { 0.25 };
            let share = f64::from(x.abs()) / level;
            let tolerance = 4.0 * level * (share * (1.0 - share) / DRAWS as f64).sqrt();
            assert!((mean - f64::from(x)).abs() <= tolerance, "{x}: {mean}");
        }
    }

    #[test]
    fn beyond_the_grid_is_its_end_and_what_is_no_number_is_zero() {
        for rounding in [Rounding::Nearest, Rounding::Stochastic(&Noise::new(1, 2, 3))] {
            let mut matrix = grid(5);
            let change = [7.0, -7.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
            let mut values = ValuesMut::<f32>::Ternary(&mut matrix);
            assert_eq!(values.len(), 5);
            values.update(rounding, |start, run| run.copy_from_slice(&change[start..]));
            assert_eq!(matrix.to_trits(), [1, -1, 1, -1, 0]);
        }
    }

    #[test]
    fn what_is_read_are_the_runs_that_an_update_hands_over() {
        let start: Vec<f32> = (0..1030).map(|i| (i % 256) as f32 / 4.0).collect();
        let mut doubles: Vec<f64> = start.iter().map(|&x| f64::from(x)).collect();
        let mut halves: Vec<bf16> = start.iter().map(|&x| bf16::from_f32(x)).collect();
        let (mut singles, mut others, mut matrix) = (start.clone(), start.clone(), grid(40));
        let alike = |values: &mut ValuesMut<'_, f64>| {
            let (mut read, mut handed) = (Vec::new(), Vec::new());
            values.read(|start, run| read.push((start, run.to_vec())));
            values.update(Rounding::Nearest, |start, run| handed.push((start, run.to_vec())));
            assert_eq!(read, handed);
            read.into_iter().flat_map(|(_, run)| run).collect::<Vec<_>>()
        };
        assert_eq!(alike(&mut ValuesMut::Real(&mut doubles)), start);
        assert_eq!(alike(&mut ValuesMut::Bf16(&mut halves)), start);
        assert_eq!(alike(&mut ValuesMut::F32(&mut singles)), start);
        assert_eq!(alike(&mut ValuesMut::Ternary(&mut matrix)), [0.0; 40]);
        let mut read = Vec::new();
        ValuesMut::<f32>::Real(&mut others).read(|start, run| read.push((start, run.to_vec())));
        assert_eq!(read, [(0, start)]);
    }

    #[test]
    fn values_of_every_kind_are_changed_with_their_index() {
        let mut reals = vec![0.0_f64; 1000];
        ValuesMut::Real(&mut reals[..]).update(Rounding::Nearest, |start, run| {
            run.iter_mut().enumerate().for_each(|(i, x)| *x = (start + i) as f32);
        });
        assert!(reals.iter().enumerate().all(|(i, &x)| x == i as f64));
        let mut singles = vec![1.0_f32; 3];
        ValuesMut::<f32>::Real(&mut singles).update(Rounding::Nearest, |_, run| run[2] = 5.0);
        assert_eq!(singles, [1.0, 1.0, 5.0]);
    }
}
