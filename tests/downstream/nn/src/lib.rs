//! A stranger who uses `nn` and nothing else: a projection of their own beside one of the crate.

use std::sync::Arc;

use nn::ternary_core::{Granularity, quantize::Absmean};
use nn::{
    BitLinear, BitLinearOptions, Compute, Error, Gradients, Input, Module, Parameters, Projection,
    Tape,
};

/// The stranger's projection: the numbers of a row, reversed. It has nothing to train.
#[derive(Debug)]
pub struct Reverse {
    /// Numbers in a row.
    pub width: usize,
}

impl<T: Compute> Module<T> for Reverse {}

impl<T: Compute> Projection<T> for Reverse {
    fn name(&self) -> &str {
        "reverse"
    }

    fn inputs(&self) -> usize {
        self.width
    }

    fn outputs(&self) -> usize {
        self.width
    }

    fn forward(&self, input: &mut Input<T>, y: &mut [T], _: &mut Tape<T>) -> nn::Result<()> {
        let x = input.values("reverse")?;
        for (x, y) in x.chunks_exact(self.width).zip(y.chunks_exact_mut(self.width)) {
            y.copy_from_slice(x);
            y.reverse();
        }
        Ok(())
    }

    fn backward(
        &self,
        _: &Input<T>,
        dy: &[T],
        dx: Option<&mut [T]>,
        _: &mut Tape<T>,
        _: &mut Gradients<T>,
    ) -> nn::Result<()> {
        let Some(dx) = dx else { return Ok(()) };
        for (dy, dx) in dy.chunks_exact(self.width).zip(dx.chunks_exact_mut(self.width)) {
            dx.iter_mut().zip(dy.iter().rev()).for_each(|(dx, &dy)| *dx += dy);
        }
        Ok(())
    }
}

/// Runs rows through a stack of projections.
///
/// # Errors
/// When shapes do not fit.
pub fn run(stack: &[Box<dyn Projection<f32>>], rows: Vec<f32>) -> Result<Vec<f32>, Error> {
    let mut tape = Tape::inference();
    let mut x = rows;
    for projection in stack {
        let mut input = Input::new(projection.name(), x, projection.inputs())?;
        let mut y = tape.zeros(input.rows() * projection.outputs());
        projection.forward(&mut input, &mut y, &mut tape)?;
        tape.recycle(input);
        x = y;
    }
    Ok(x)
}

/// A ternary layer of the crate, from weights of one's own and with a rule of one's choice.
///
/// # Errors
/// For partial rows and weights that are not finite.
pub fn ternary(inputs: usize, weights: Vec<f32>) -> Result<Box<dyn Projection<f32>>, Error> {
    let quantizer = Arc::new(Absmean::new(Granularity::Tensor));
    let options = BitLinearOptions { quantizer, ..Default::default() };
    let mut parameters = Parameters::new();
    Ok(Box::new(BitLinear::from_weight("ternary", inputs, weights, options, &mut parameters)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projection_from_outside_stands_beside_one_of_the_crate() {
        let weights = vec![1.0, -1.0, 0.0, 0.0, 1.0, 1.0];
        let stack = [Box::new(Reverse { width: 3 }) as _, ternary(3, weights).unwrap()];
        let y = run(&stack, vec![3.0, 20.0, 127.0]).unwrap();
        let scale = 4.0_f32 / 6.0;
        assert_eq!(y, [scale * 107.0, scale * 23.0]);
        assert!(matches!(run(&stack, vec![1.0]), Err(Error::Shape { expected: 0, found: 1, .. })));
    }
}
