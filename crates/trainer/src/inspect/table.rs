//! An inspection as a table of text.

use std::fmt;

use super::{Inspected, Inspection, Total, Trits};
use crate::run::Spread;

/// Letters that a bar of trits is wide.
const BAR: usize = 20;

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![
            ["tensor", "shape", "bytes", "zeros", "bits", "scale", "trits", ""].map(str::to_owned),
        ];
        rows.extend(self.tensors.iter().map(row));
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<usize> = (0..8).map(|column| width(column).unwrap_or(0)).collect();
        for row in &rows {
            let mut line = format!("{:<width$}", row[0], width = widths[0]);
            for (column, cell) in row.iter().enumerate().skip(1) {
                let width = widths[column];
                // Numbers stand at the right, bars at the left.
                line += &if column < 5 {
                    format!("  {cell:>width$}")
                } else {
                    format!("  {cell:<width$}")
                };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        let Self { model, ternary, real, .. } = self;
        if ternary.tensors > 0 {
            let Total { tensors, numbers, bytes, .. } = *ternary;
            let bits = 8.0 * bytes as f64 / numbers.max(1) as f64;
            write!(
                f,
                "ternary: {tensors} tensors, {numbers} weights in {bytes} bytes, {bits:.3} bits each"
            )?;
            if let (Some(zeros), Some(bits)) = (ternary.sparsity, ternary.effective_bits) {
                write!(f, ", {:.1}% zeros, {bits:.3} effective bits", 100.0 * zeros)?;
            }
            writeln!(f)?;
        }
        if real.tensors > 0 {
            let Total { tensors, numbers, bytes, .. } = *real;
            writeln!(f, "real: {tensors} tensors, {numbers} numbers in {bytes} bytes")?;
        }
        let (numbers, bytes) = (ternary.numbers + real.numbers, ternary.bytes + real.bytes);
        let times = 4.0 * numbers as f64 / bytes.max(1) as f64;
        write!(
            f,
            "{numbers} numbers in {bytes} bytes, {times:.1} times less than as f32; the model is {}",
            model.display()
        )
    }
}

fn row(tensor: &Inspected) -> [String; 8] {
    let Inspected { name, shape, bytes, trits } = tensor;
    let shape = shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
    let mut row = [name.clone(), shape, bytes.to_string()].into_iter();
    let mut next = || row.next().unwrap_or_default();
    let (name, shape, bytes) = (next(), next(), next());
    let Some(trits) = trits else {
        return [
            name,
            shape,
            bytes,
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
        ];
    };
    let (zeros, bits) =
        (format!("{:.1}%", 100.0 * trits.sparsity), format!("{:.3}", trits.effective_bits));
    [name, shape, bytes, zeros, bits, scales(trits), bar(trits), sparks(&trits.scale_histogram)]
}

fn scales(trits: &Trits) -> String {
    let all = [
        ("", trits.scales.scale),
        ("−", trits.scales.negative_scale),
        ("+", trits.scales.positive_scale),
    ];
    let told = all.into_iter().filter_map(|(sign, spread)| {
        let Spread { smallest, mean, largest } = spread?;
        let ends = if smallest < largest {
            format!(" ({smallest:.3e}…{largest:.3e})")
        } else {
            String::new()
        };
        Some(format!("{sign}{mean:.3e}{ends}"))
    });
    told.collect::<Vec<_>>().join(" ")
}

/// `------00000000++++++`: each trit as wide as its share.
fn bar(trits: &Trits) -> String {
    let total = trits.negative + trits.zero + trits.positive;
    if total == 0 {
        return String::new();
    }
    let place = |count: usize| (count as f64 / total as f64 * BAR as f64).round() as usize;
    let (first, second) = (place(trits.negative), place(trits.negative + trits.zero));
    (0..BAR)
        .map(|at| {
            if at < first {
                '-'
            } else if at < second {
                '0'
            } else {
                '+'
            }
        })
        .collect()
}

/// A row of blocks, each as high as its count.
fn sparks(counts: &[usize]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let block =
        |&count: &usize| if count == 0 { ' ' } else { BLOCKS[(count * 7).div_ceil(most).min(7)] };
    counts.iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::MatrixScales;

    #[test]
    fn bars_are_as_wide_as_the_shares_and_blocks_as_high_as_the_counts() {
        let trits = |negative, zero, positive| Trits {
            negative,
            zero,
            positive,
            sparsity: 0.0,
            effective_bits: 0.0,
            scales: MatrixScales::default(),
            groups: 1,
            scale_histogram: Vec::new(),
        };
        assert_eq!(bar(&trits(6, 8, 6)), "------00000000++++++");
        assert_eq!(bar(&trits(0, 0, 5)), "+".repeat(20));
        assert_eq!(bar(&trits(0, 0, 0)), "");
        assert_eq!(sparks(&[0, 1, 7, 4]), " ▂█▅");
    }
}
