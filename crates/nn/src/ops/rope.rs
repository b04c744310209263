//! Rotary position embedding (Su et al., 2021), on pairs that lie half a rotated width apart.

use std::f64::consts::TAU;
use std::sync::OnceLock;

use rayon::prelude::*;
use ternary_core::{Real, mutant};

use super::Rowwise;
use super::blocks::{count_rows, rows_per_block};
use crate::error::{Error, Result, check_size};
use ternary_core::profile::span;

const OP: &str = "rope";

/// The cosines and sines of position · baseⁿ, n = −2i / rotated width, for each position and pair i.
///
/// Heads may be wider than the rotated width; their last entries then stay as they are. What is computed are the
/// positions that were asked for, in blocks: models promise more of them than most texts have.
#[derive(Debug)]
pub struct RotaryTable<T> {
    head_width: usize,
    positions: usize,
    frequencies: Vec<f64>,
    blocks: Vec<OnceLock<Angles<T>>>,
}

/// Cosines and sines of [`BLOCK`] positions.
#[derive(Debug)]
struct Angles<T> {
    cosines: Vec<T>,
    sines: Vec<T>,
}

/// Angles for more positions than a model was first trained with, as in Llama 3.1: those that turn fast stay as they
/// are, those that turn slowly are divided by a factor, and between there is a straight line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RotaryScaling {
    /// What slow frequencies are divided by.
    pub factor: f64,
    /// Turns over the first positions up to which a frequency is slow.
    pub slow: f64,
    /// Turns from which it is fast.
    pub fast: f64,
    /// The first positions.
    pub positions: usize,
}

impl RotaryScaling {
    /// f, or f / factor, or with t turns s·f + (1 − s)·f / factor for s = (t − slow) / (fast − slow).
    fn scaled(self, frequency: f64) -> f64 {
        let turns = self.positions as f64 * frequency / TAU;
        let share = ((turns - self.slow) / (self.fast - self.slow)).clamp(0.0, 1.0);
        share * frequency + (1.0 - share) * frequency / self.factor
    }
}

/// Positions that are computed together.
const BLOCK: usize = 256;

impl<T: Real> RotaryTable<T> {
    /// The table for the positions 0 .. `positions`; angles are computed in `f64`.
    ///
    /// # Errors
    /// [`Error::Setting`] where the base is not a positive number, or where `rotated_width` is odd, 0
    /// or above `head_width`.
    pub fn new(
        base: f64,
        head_width: usize,
        rotated_width: usize,
        positions: usize,
    ) -> Result<Self> {
        let error = |what, expected, found: String| {
            Err(Error::Setting { layer: OP.to_owned(), what, expected, found })
        };
        if !(base > 0.0 && base.is_finite()) {
            return error("base", "a positive number", base.to_string());
        }
        if rotated_width == 0 || !rotated_width.is_multiple_of(2) || rotated_width > head_width {
            let expected = "an even width up to that of a head";
            return error("rotated width", expected, format!("{rotated_width} of {head_width}"));
        }
        let pairs = rotated_width / 2;
        let frequency = |pair: usize| base.powf(-(pair as f64) / pairs as f64);
        let frequencies = (0..pairs).map(frequency).collect();
        let blocks = (0..positions.div_ceil(BLOCK)).map(|_| OnceLock::new()).collect();
        Ok(Self { head_width, positions, frequencies, blocks })
    }

    /// The same with other frequencies.
    #[must_use]
    pub fn scaled(mut self, scaling: RotaryScaling) -> Self {
        self.frequencies.iter_mut().for_each(|frequency| *frequency = scaling.scaled(*frequency));
        self.blocks = (0..self.blocks.len()).map(|_| OnceLock::new()).collect();
        self
    }

    /// Entries of a head.
    pub fn head_width(&self) -> usize {
        self.head_width
    }

    /// Pairs of a head that are turned.
    pub fn pairs(&self) -> usize {
        self.frequencies.len()
    }

    /// Positions that the table holds.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Cosines and sines at a position, one for each pair.
    ///
    /// # Panics
    /// Where the table does not hold the position.
    pub(crate) fn at(&self, position: usize) -> (&[T], &[T]) {
        let (block, pairs) = (position / BLOCK, self.pairs());
        let Angles { cosines, sines } = self.blocks[block].get_or_init(|| {
            let positions = block * BLOCK..self.positions.min((block + 1) * BLOCK);
            let angles = positions.flat_map(|position| {
                self.frequencies
                    .iter()
                    .map(move |frequency| (position as f64 * frequency).sin_cos())
            });
            let (sines, cosines) =
                angles.map(|(sine, cosine)| (T::from_f64(sine), T::from_f64(cosine))).unzip();
            Angles { cosines, sines }
        });
        let own = position % BLOCK * pairs..(position % BLOCK + 1) * pairs;
        (&cosines[own.clone()], &sines[own])
    }

    /// The rows of `length` numbers that start at a position, checked.
    fn check(&self, heads: usize, start: usize, length: usize) -> Result<usize> {
        let rows = count_rows(OP, "input", length, heads.saturating_mul(self.head_width))?;
        let end = start.saturating_add(rows);
        if end > self.positions {
            let (layer, what) = (OP.to_owned(), "positions of the table");
            return Err(Error::Shape { layer, what, expected: end, found: self.positions });
        }
        Ok(rows)
    }
}

/// Turns pair i of each head of row t by the angle θ of the position start + t: for a rotated width R,
/// yᵢ = xᵢ cos θ − xⱼ sin θ and yⱼ = xⱼ cos θ + xᵢ sin θ with j = i + R/2, i < R/2. Entries from R on
/// are copied.
///
/// A row is `heads` heads of the table's width; the rows are one sequence.
///
/// # Errors
/// [`Error::Shape`] where the sizes do not fit or the table ends before the rows do.
pub fn rope<T: Rowwise>(
    table: &RotaryTable<T>,
    heads: usize,
    start: usize,
    x: &[T],
    y: &mut [T],
) -> Result<()> {
    let _span = span("rotations");
    let rows = table.check(heads, start, x.len())?;
    check_size(OP, "output", x.len(), y.len())?;
    let width = heads * table.head_width;
    let block = rows_per_block(rows, width);
    let numbers = (block * width).max(1);
    y.par_chunks_mut(numbers).zip(x.par_chunks(numbers)).enumerate().for_each(|(index, (y, x))| {
        T::rope_rows(table, heads, start + index * block, x, y);
    });
    Ok(())
}

/// Writes the gradient of [`rope`], the rotation by −θ: dxᵢ = dyᵢ cos θ + dyⱼ sin θ and
/// dxⱼ = dyⱼ cos θ − dyᵢ sin θ. It needs nothing of the forward.
///
/// # Errors
/// [`Error::Shape`] where the sizes do not fit or the table ends before the rows do.
pub fn rope_backward<T: Rowwise>(
    table: &RotaryTable<T>,
    heads: usize,
    start: usize,
    dy: &[T],
    dx: &mut [T],
) -> Result<()> {
    let _span = span("rotations");
    let rows = table.check(heads, start, dy.len())?;
    check_size(OP, "gradient of the input", dy.len(), dx.len())?;
    let width = heads * table.head_width;
    let block = rows_per_block(rows, width);
    let numbers = (block * width).max(1);
    let blocks = dx.par_chunks_mut(numbers).zip(dy.par_chunks(numbers)).enumerate();
    blocks.for_each(|(index, (dx, dy))| {
        T::rope_rows_backward(table, heads, start + index * block, dy, dx);
    });
    Ok(())
}

pub(super) fn rows<T: Real>(
    table: &RotaryTable<T>,
    heads: usize,
    start: usize,
    x: &[T],
    y: &mut [T],
) {
    let (head, half) = (table.head_width, table.pairs());
    for (index, (x, y)) in x.chunks(head).zip(y.chunks_mut(head)).enumerate() {
        let (cosines, sines) = table.at(start + index / heads);
        for (i, (&cosine, &sine)) in cosines.iter().zip(sines).enumerate() {
            y[i] = x[i] * cosine - x[i + half] * sine;
            y[i + half] = x[i + half] * cosine + x[i] * sine;
        }
        y[2 * half..].copy_from_slice(&x[2 * half..]);
    }
}

pub(super) fn rows_backward<T: Real>(
    table: &RotaryTable<T>,
    heads: usize,
    start: usize,
    dy: &[T],
    dx: &mut [T],
) {
    let (head, half) = (table.head_width, table.pairs());
    let start = mutant!("rope/first position taken for 0", start, 0);
    for (index, (dy, dx)) in dy.chunks(head).zip(dx.chunks_mut(head)).enumerate() {
        let (cosines, sines) = table.at(start + index / heads);
        for (i, (&cosine, &sine)) in cosines.iter().zip(sines).enumerate() {
            let sine = mutant!("rope/turned forward", sine, -sine);
            dx[i] = dy[i] * cosine + dy[i + half] * sine;
            dx[i + half] = dy[i + half] * cosine - dy[i] * sine;
        }
        dx[2 * half..].copy_from_slice(&dy[2 * half..]);
        mutant!("rope/unturned entries left out", { dx[2 * half..].fill(T::ZERO) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::*;
    use crate::simd::on_every_isa;

    #[test]
    fn slow_turns_are_divided_fast_ones_stay_and_those_between_lie_on_a_line() {
        // Pair i turns by 10^−i at each position: 1000, 100, 10 and 1 times in 2000π positions.
        let table = || RotaryTable::<f64>::new(1e4, 8, 8, 3).unwrap();
        let scaling = RotaryScaling { factor: 4.0, slow: 5.0, fast: 15.0, positions: 6283 };
        let (plain, scaled) = (table(), table().scaled(scaling));
        let slowest = (0.001_f64 / 4.0 * 2.0).sin();
        let share = (62.83 / TAU - 5.0) / 10.0;
        let between = (share * 0.01 + (1.0 - share) * 0.01 / 4.0) * 2.0;
        let ((_, before), (_, after)) = (plain.at(2), scaled.at(2));
        assert_eq!(before[..2], after[..2]);
        assert!((after[2] - between.sin()).abs() < 1e-15, "{}", after[2]);
        assert!((after[3] - slowest).abs() < 1e-15, "{}", after[3]);
    }

    #[test]
    fn a_pair_turns_by_its_position_times_its_frequency_and_the_rest_stays() {
        // Frequencies 1 and 100^(−1/2) = 0.1; one head of five entries, of which four turn.
        let table = RotaryTable::<f64>::new(100.0, 5, 4, 8).unwrap();
        let mut y = [0.0; 5];
        rope(&table, 1, 7, &[1.0, 0.0, 0.0, 2.0, 9.0], &mut y).unwrap();
        let expected = [7_f64.cos(), -2.0 * 0.7_f64.sin(), 7_f64.sin(), 2.0 * 0.7_f64.cos(), 9.0];
        for (y, expected) in y.into_iter().zip(expected) {
            assert!((y - expected).abs() < 1e-15, "{y} {expected}");
        }
        rope(&table, 1, 0, &[1.0, 2.0, 3.0, 4.0, 5.0], &mut y).unwrap();
        assert_eq!(y, [1.0, 2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn every_entry_of_the_gradient_is_the_slope_of_the_forward() {
        for (head, rotated) in [(6, 6), (7, 4)] {
            let (heads, rows, start) = (3, 4, 2);
            let table = RotaryTable::new(50.0, head, rotated, 6).unwrap();
            let count = rows * heads * head;
            let dy = numbers::<f64>(2, count);
            let by_x = slopes(&numbers(1, count), |x| {
                let mut y = vec![0.0; count];
                rope(&table, heads, start, x, &mut y).unwrap();
                inner(&y, &dy)
            });
            let mut dx = numbers(3, count);
            rope_backward(&table, heads, start, &dy, &mut dx).unwrap();
            assert_slopes("x", &dx, &vec![0.0; count], &by_x);
        }
    }

    #[test]
    fn f32_in_vectors_has_the_bits_of_the_plain_formula_at_every_width() {
        on_every_isa(|| {
            for head in 2..=70 {
                for rotated in [head / 2 * 2, (head / 4).max(1) * 2] {
                    let (heads, rows, start) = (2, 3, 5);
                    let table = RotaryTable::<f32>::new(1e4, head, rotated, 8).unwrap();
                    let x = numbers::<f32>(1, rows * heads * head);
                    let (mut found, mut plain) = (x.clone(), x.clone());
                    rope(&table, heads, start, &x, &mut found).unwrap();
                    super::rows(&table, heads, start, &x, &mut plain);
                    assert_same_bits(&found, &plain);
                    rope_backward(&table, heads, start, &x, &mut found).unwrap();
                    super::rows_backward(&table, heads, start, &x, &mut plain);
                    assert_same_bits(&found, &plain);
                }
            }
        });
    }

    #[test]
    fn the_same_bits_on_any_number_of_threads_and_rows() {
        let (heads, head, rows) = (4, 32, 500);
        let width = heads * head;
        let table = RotaryTable::<f32>::new(1e4, head, head, rows + 3).unwrap();
        let x = numbers::<f32>(1, rows * width);
        let all = same_on_any_number_of_threads(|| {
            let (mut y, mut dx) = (vec![0.0; x.len()], x.clone());
            rope(&table, heads, 3, &x, &mut y).unwrap();
            rope_backward(&table, heads, 3, &x, &mut dx).unwrap();
            [y, dx].concat()
        });
        let mut y = vec![0.0; width];
        for row in 0..rows {
            rope(&table, heads, 3 + row, &x[row * width..(row + 1) * width], &mut y).unwrap();
            assert_same_bits(&y, &all[row * width..(row + 1) * width]);
        }
    }

    #[test]
    fn widths_that_cannot_be_paired_and_positions_past_the_table_are_errors() {
        for (base, head, rotated) in [(1e4, 4, 3), (1e4, 4, 6), (1e4, 4, 0), (f64::NAN, 4, 4)] {
            let error = RotaryTable::<f32>::new(base, head, rotated, 1).unwrap_err();
            assert!(matches!(error, Error::Setting { .. }), "{error}");
        }
        let table = RotaryTable::<f32>::new(1e4, 4, 2, 3).unwrap();
        let error = rope(&table, 2, 2, &[0.0; 16], &mut [0.0; 16]).unwrap_err();
        assert_eq!(error.to_string(), "rope: positions of the table: expected 4, found 3");
        let error = rope(&table, 2, usize::MAX, &[0.0; 8], &mut [0.0; 8]).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }));
        assert!(rope(&table, 0, 0, &[0.0; 8], &mut [0.0; 8]).is_err());
        assert!(rope_backward(&table, 2, 0, &[0.0; 8], &mut [0.0; 9]).is_err());
        rope(&table, 2, 0, &[], &mut []).unwrap();
        assert_eq!((table.positions(), table.pairs(), table.head_width()), (3, 1, 4));
    }
}
