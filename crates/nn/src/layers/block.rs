//! [`Block`]: the residual branches that decoders stack.

use ternary_core::mutant;

use super::{Layer, PerLayerEmbedding, RmsNorm, Sequences, check_rows};
use crate::compute::Compute;
use crate::error::{Result, check_size};
use crate::gradients::Gradients;
use crate::module::{Module, Update, finish_each};
use crate::ops::{residual, residual_backward};
use crate::projection::SharedLevels;
use crate::tape::Tape;

/// Pre-norm branches on a residual stream:
///
/// ```text
/// h = x + mixer(norm(x))                      mixer: attention
/// z = h + channels(norm(h))                   channels: a feed-forward net, a mixture of experts
/// y = z + per_layer(norm(z), tokens)          where there is a per-layer embedding
/// ```
#[derive(Debug)]
pub struct Block<T> {
    name: String,
    mixer: Branch<T, Box<dyn Layer<T>>>,
    channels: Branch<T, Box<dyn Layer<T>>>,
    per_layer: Option<Branch<T, PerLayerEmbedding<T>>>,
    shared: Option<SharedLevels>,
}

#[derive(Debug)]
struct Branch<T, L> {
    norm: RmsNorm<T>,
    layer: L,
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
        let [mixer, channels] = [mixer, channels].map(|(norm, layer)| Branch { norm, layer });
        let width = mixer.layer.width();
        for Branch { norm, layer } in [&mixer, &channels] {
            check_size(name, "width of a norm", width, norm.width())?;
            check_size(name, "width of a branch", width, layer.width())?;
        }
        Ok(Self { name: name.to_owned(), mixer, channels, per_layer: None, shared: None })
    }

    /// Adds a per-layer embedding. The block then needs to know its tokens ([`Block::forward_tokens`]).
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) when it is of another width.
    pub fn with_per_layer(mut self, norm: RmsNorm<T>, layer: PerLayerEmbedding<T>) -> Result<Self> {
        check_size(&self.name, "width of a norm", self.width(), norm.width())?;
        check_size(&self.name, "width of a branch", self.width(), layer.width())?;
        self.per_layer = Some(Branch { norm, layer });
        Ok(self)
    }

    /// Gives the projections of the channels and of the per-layer embedding the levels of one group, and
    /// decides their codes by them.
    ///
    /// # Errors
    /// Latent weights that are not finite.
    pub fn share_levels(mut self, levels: SharedLevels) -> Result<Self> {
        self.shared = Some(levels);
        self.requantize(Update::hard(0, 0).without_noise())?;
        Ok(self)
    }

    /// Whose levels are shared, where they are.
    fn members(&self) -> Vec<&dyn Module<T>> {
        let mut members: Vec<&dyn Module<T>> = vec![&*self.channels.layer];
        if let Some(Branch { layer, .. }) = &self.per_layer {
            members.extend(layer.projections());
        }
        members
    }

    /// [`Layer::forward`] of rows that stand for these tokens, one each.
    ///
    /// # Errors
    /// Those of the layers.
    pub fn forward_tokens(
        &self,
        x: Vec<T>,
        tokens: &[u32],
        sequences: Sequences,
        tape: &mut Tape<T>,
    ) -> Result<Vec<T>> {
        check_rows(&self.name, "inputs", self.width(), sequences, &x)?;
        let mut stream = x;
        for Branch { norm, layer } in [&self.mixer, &self.channels] {
            let normed = norm.forward(copy(&stream, tape), sequences, tape)?;
            let branch = layer.forward(normed, sequences, tape)?;
            stream = sum(stream, branch, tape)?;
        }
        if let Some(Branch { norm, layer }) = &self.per_layer {
            let normed = norm.forward(copy(&stream, tape), sequences, tape)?;
            let branch = layer.forward(normed, tokens, sequences, tape)?;
            stream = sum(stream, branch, tape)?;
        }
        Ok(stream)
    }
}

impl<T: Compute> Module<T> for Block<T> {
    fn each_part(&self, visit: &mut dyn FnMut(&dyn Module<T>)) {
        for Branch { norm, layer } in [&self.mixer, &self.channels] {
            visit(norm);
            visit(&**layer);
        }
        if let Some(Branch { norm, layer }) = &self.per_layer {
            visit(norm);
            visit(layer);
        }
        if let Some(shared) = &self.shared {
            visit(shared);
        }
    }

    fn each_part_mut(&mut self, visit: &mut dyn FnMut(&mut dyn Module<T>)) {
        for Branch { norm, layer } in [&mut self.mixer, &mut self.channels] {
            visit(norm);
            visit(&mut **layer);
        }
        if let Some(Branch { norm, layer }) = &mut self.per_layer {
            visit(norm);
            visit(layer);
        }
        if let Some(shared) = &mut self.shared {
            visit(shared);
        }
    }

    fn finish_gradients(&self, gradients: &mut Gradients<T>) -> Result<()> {
        if let Some(shared) = &self.shared {
            shared.add_gradients(&self.members(), gradients);
        }
        finish_each(self, gradients)
    }

    fn requantize(&mut self, update: Update) -> Result<()> {
        let mut shared = self.shared.take();
        let of_group = match &mut shared {
            Some(shared) => shared.fit(&self.members(), update),
            None => Ok(update),
        };
        self.shared = shared;
        let of_group = of_group?;
        self.mixer.layer.requantize(update)?;
        self.channels.layer.requantize(of_group)?;
        match &mut self.per_layer {
            Some(Branch { layer, .. }) => layer.requantize(of_group),
            None => Ok(()),
        }
    }
}

impl<T: Compute> Layer<T> for Block<T> {
    fn width(&self) -> usize {
        self.mixer.layer.width()
    }

    fn forward(&self, x: Vec<T>, sequences: Sequences, tape: &mut Tape<T>) -> Result<Vec<T>> {
        self.forward_tokens(x, &[], sequences, tape)
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
        if let Some(Branch { norm, layer }) = &self.per_layer {
            let [dx, branch] = split(stream, tape)?;
            let d_normed = layer.backward(branch, sequences, tape, gradients)?;
            let d_branch = norm.backward(d_normed, sequences, tape, gradients)?;
            stream = joined(dx, d_branch, tape);
        }
        for Branch { norm, layer } in [&self.channels, &self.mixer] {
            let [dx, branch] = split(stream, tape)?;
            let d_normed = layer.backward(branch, sequences, tape, gradients)?;
            let d_branch = norm.backward(d_normed, sequences, tape, gradients)?;
            stream = joined(dx, d_branch, tape);
        }
        Ok(stream)
    }
}

fn copy<T: Compute>(rows: &[T], tape: &mut Tape<T>) -> Vec<T> {
    let mut copy = tape.take(rows.len());
    copy.copy_from_slice(rows);
    copy
}

/// The stream with a branch added.
fn sum<T: Compute>(stream: Vec<T>, branch: Vec<T>, tape: &mut Tape<T>) -> Result<Vec<T>> {
    let mut sum = tape.take(stream.len());
    residual(&stream, &branch, &mut sum)?;
    tape.give(branch);
    tape.give(stream);
    Ok(sum)
}

/// The gradient of a sum, for the stream and for the branch.
fn split<T: Compute>(dy: Vec<T>, tape: &mut Tape<T>) -> Result<[Vec<T>; 2]> {
    let (mut dx, mut branch) = (tape.zeros(dy.len()), tape.zeros(dy.len()));
    residual_backward(&dy, &mut dx, &mut branch)?;
    tape.give(dy);
    Ok([dx, branch])
}

/// The gradient of the stream before a branch: past the branch and through it.
fn joined<T: Compute>(mut dx: Vec<T>, d_branch: Vec<T>, tape: &mut Tape<T>) -> Vec<T> {
    mutant!("Block/stream gradient lost", { dx.fill(T::ZERO) });
    mutant!("Block/branch gradient twice", { add(&mut dx, &d_branch) });
    mutant!("Block/branch gradient lost", add(&mut dx, &d_branch), ());
    tape.give(d_branch);
    dx
}

fn add<T: Compute>(sum: &mut [T], more: &[T]) {
    for (sum, &more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}
