//! [`Block`]: the residual pair that decoders stack.

use ternary_core::mutant;

use super::{Layer, RmsNorm, Sequences, check_rows};
use crate::compute::Compute;
use crate::error::{Result, check_size};
use crate::gradients::Gradients;
use crate::module::Module;
use crate::ops::{residual, residual_backward};
use crate::tape::Tape;

/// Two pre-norm branches on a residual stream:
///
/// ```text
/// h = x + mixer(norm(x))          mixer: attention
/// y = h + channels(norm(h))       channels: a feed-forward net
/// ```
#[derive(Debug)]
pub struct Block<T> {
    name: String,
    branches: [Branch<T>; 2],
}

#[derive(Debug)]
struct Branch<T> {
    norm: RmsNorm<T>,
    layer: Box<dyn Layer<T>>,
}

impl<T: Compute> Block<T> {
    /// Puts the parts together: each branch is a norm and a layer.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) when they are of different widths.
    pub fn new(
        name: &str,
        mixer: (RmsNorm<T>, Box<dyn Layer<T>>),
        channels: (RmsNorm<T>, Box<dyn Layer<T>>),
    ) -> Result<Self> {
        let branches = [mixer, channels].map(|(norm, layer)| Branch { norm, layer });
        let width = branches[0].layer.width();
        for Branch { norm, layer } in &branches {
            check_size(name, "width of a norm", width, norm.width())?;
            check_size(name, "width of a branch", width, layer.width())?;
        }
        Ok(Self { name: name.to_owned(), branches })
    }
}

impl<T: Compute> Module<T> for Block<T> {
    fn each_part(&self, visit: &mut dyn FnMut(&dyn Module<T>)) {
        for Branch { norm, layer } in &self.branches {
            visit(norm);
            visit(&**layer);
        }
    }

    fn each_part_mut(&mut self, visit: &mut dyn FnMut(&mut dyn Module<T>)) {
        for Branch { norm, layer } in &mut self.branches {
            visit(norm);
            visit(&mut **layer);
        }
    }
}

impl<T: Compute> Layer<T> for Block<T> {
    fn width(&self) -> usize {
        self.branches[0].layer.width()
    }

    fn forward(&self, x: Vec<T>, sequences: Sequences, tape: &mut Tape<T>) -> Result<Vec<T>> {
        check_rows(&self.name, "inputs", self.width(), sequences, &x)?;
        let mut stream = x;
        for Branch { norm, layer } in &self.branches {
            let mut copy = tape.take(stream.len());
            copy.copy_from_slice(&stream);
            let normed = norm.forward(copy, sequences, tape)?;
            let branch = layer.forward(normed, sequences, tape)?;
            let mut sum = tape.take(stream.len());
            residual(&stream, &branch, &mut sum)?;
            tape.give(branch);
            tape.give(std::mem::replace(&mut stream, sum));
        }
        Ok(stream)
    }

    fn backward(
        &self,
        dy: Vec<T>,
        sequences: Sequences,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<Vec<T>> {
        check_rows(&self.name, "gradients of outputs", self.width(), sequences, &dy)?;
        let mut stream = dy;
        for Branch { norm, layer } in self.branches.iter().rev() {
            let (mut dx, mut branch) = (tape.zeros(stream.len()), tape.zeros(stream.len()));
            residual_backward(&stream, &mut dx, &mut branch)?;
            let d_normed = layer.backward(branch, sequences, tape, gradients)?;
            let d_branch = norm.backward(d_normed, sequences, tape, gradients)?;
            mutant!("Block/stream gradient lost", { dx.fill(T::ZERO) });
            mutant!("Block/branch gradient twice", { add(&mut dx, &d_branch) });
            mutant!("Block/branch gradient lost", add(&mut dx, &d_branch), ());
            tape.give(d_branch);
            tape.give(std::mem::replace(&mut stream, dx));
        }
        Ok(stream)
    }
}

fn add<T: Compute>(sum: &mut [T], more: &[T]) {
    for (sum, &more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}
