//! [`Block`]: the residual branches that decoders stack.

use ternary_core::mutant;

use super::{Context, Layer, PerLayerEmbedding, RmsNorm, State, check_rows};
use crate::compute::Compute;
use crate::error::{Result, check_size};
use crate::gradients::Gradients;
use crate::module::{Module, Update, finish_each};
use crate::ops::{residual, residual_backward};
use crate::projection::{Projection, SharedLevels};
use crate::tape::{Passing, Tape};

/// Pre-norm branches on a residual stream:
///
/// ```text
/// h = x + mixer(norm(x))                      mixer: attention, or a recurrence
/// z = h + channels(norm(h))                   channels: a feed-forward net, a mixture of experts
/// y = z + per_layer(norm(z), tokens)          where there is a per-layer embedding
/// ```
///
/// On a tape that [recomputes](Tape::recomputing) a forward keeps its input alone, and the backward begins with the
/// forward: the same gradients in less memory, for the time of another forward.
///
/// [Told](Tape::watch) are `{name}`, the output, and `{name}.mixer`, the output of the mixer.
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

    /// Adds a per-layer embedding. The block then needs to know its tokens ([`Context::tokens`]).
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

    /// The branches, with `mix` in the place of the mixer's forward.
    fn run(
        &self,
        x: Vec<T>,
        context: Context<'_>,
        tape: &mut Tape<T>,
        mix: impl FnOnce(Vec<T>, &mut Tape<T>) -> Result<Vec<T>>,
    ) -> Result<Vec<T>> {
        let mut stream = x;
        let Branch { norm, .. } = &self.mixer;
        let normed = norm.forward(copy(&stream, tape), context, tape)?;
        let branch = mix(normed, tape)?;
        tape.tell(|| format!("{}.mixer", self.name), Passing::Forward, &branch);
        stream = sum(stream, branch, tape)?;
        let Branch { norm, layer } = &self.channels;
        stream = branch_forward(norm, &**layer, stream, context, tape)?;
        if let Some(Branch { norm, layer }) = &self.per_layer {
            stream = branch_forward(norm, layer, stream, context, tape)?;
        }
        tape.tell(|| self.name.clone(), Passing::Forward, &stream);
        Ok(stream)
    }
}

/// x + layer(norm(x)).
fn branch_forward<T: Compute>(
    norm: &RmsNorm<T>,
    layer: &dyn Layer<T>,
    x: Vec<T>,
    context: Context<'_>,
    tape: &mut Tape<T>,
) -> Result<Vec<T>> {
    let normed = norm.forward(copy(&x, tape), context, tape)?;
    let branch = layer.forward(normed, context, tape)?;
    sum(x, branch, tape)
}

/// The gradient of x, from that of x + layer(norm(x)).
fn branch_backward<T: Compute>(
    norm: &RmsNorm<T>,
    layer: &dyn Layer<T>,
    dy: Vec<T>,
    context: Context<'_>,
    tape: &mut Tape<T>,
    gradients: &mut Gradients<T>,
) -> Result<Vec<T>> {
    let [dx, branch] = split(dy, tape)?;
    let d_normed = layer.backward(branch, context, tape, gradients)?;
    let d_branch = norm.backward(d_normed, context, tape, gradients)?;
    Ok(joined(dx, d_branch, tape))
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

    fn forward(&self, x: Vec<T>, context: Context<'_>, tape: &mut Tape<T>) -> Result<Vec<T>> {
        check_rows(&self.name, "inputs", self.width(), context, &x)?;
        let mixer = &self.mixer.layer;
        if !(tape.is_recording() && tape.recomputes()) {
            return self.run(x, context, tape, |x, tape| mixer.forward(x, context, tape));
        }
        tape.save_copy(&x);
        tape.paused(|tape| self.run(x, context, tape, |x, tape| mixer.forward(x, context, tape)))
    }

    fn backward(
        &self,
        dy: Vec<T>,
        context: Context<'_>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<Vec<T>> {
        check_rows(&self.name, "gradients of outputs", self.width(), context, &dy)?;
        if tape.recomputes() {
            let x = tape.restore(&self.name)?;
            let mixer = &self.mixer.layer;
            let y = self.run(x, context, tape, |x, tape| mixer.forward(x, context, tape))?;
            tape.give(y);
        }
        tape.tell(|| self.name.clone(), Passing::Backward, &dy);
        let mut stream = dy;
        if let Some(Branch { norm, layer }) = &self.per_layer {
            stream = branch_backward(norm, layer, stream, context, tape, gradients)?;
        }
        let Branch { norm, layer } = &self.channels;
        stream = branch_backward(norm, &**layer, stream, context, tape, gradients)?;
        tape.tell(|| format!("{}.mixer", self.name), Passing::Backward, &stream);
        let Branch { norm, layer } = &self.mixer;
        branch_backward(norm, &**layer, stream, context, tape, gradients)
    }

    fn each_projection(&self, visit: &mut dyn FnMut(&'static str, &dyn Projection<T>)) {
        self.mixer.layer.each_projection(visit);
        self.channels.layer.each_projection(visit);
        if let Some(Branch { layer, .. }) = &self.per_layer {
            layer.each_projection(visit);
        }
    }

    fn each_projection_mut(&mut self, visit: &mut dyn FnMut(&mut Box<dyn Projection<T>>)) {
        self.mixer.layer.each_projection_mut(visit);
        self.channels.layer.each_projection_mut(visit);
        if let Some(Branch { layer, .. }) = &mut self.per_layer {
            layer.each_projection_mut(visit);
        }
    }

    fn state(&self, sequences: usize) -> State<T> {
        self.mixer.layer.state(sequences)
    }

    fn resume(
        &self,
        x: Vec<T>,
        context: Context<'_>,
        state: &mut State<T>,
        tape: &mut Tape<T>,
    ) -> Result<Vec<T>> {
        check_rows(&self.name, "inputs", self.width(), context, &x)?;
        let mixer = &self.mixer.layer;
        self.run(x, context, tape, |x, tape| mixer.resume(x, context, state, tape))
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
    let (mut dx, mut branch) = (tape.take(dy.len()), tape.take(dy.len()));
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
