//! Forward and backward of [`Lora`].

use std::borrow::Cow;

use nn::ternary_core::kernels::{DenseOperand, Store};
use nn::ternary_core::{self, mutant};
use nn::{Compute, Error, Gradients, Input, Projection, Result, Tape, check_size};

use super::mask;
use super::{Lora, State};

/// What a forward left for the backward of the adapter.
struct Saved<T> {
    /// s·A·x̃ of each row.
    inner: Vec<T>,
    /// Which inputs were kept, if some were dropped.
    mask: Option<Vec<u32>>,
}

impl<T: Compute> Projection<T> for Lora<T> {
    fn name(&self) -> &str {
        self.base.name()
    }

    fn inputs(&self) -> usize {
        self.base.inputs()
    }

    fn outputs(&self) -> usize {
        self.base.outputs()
    }

    fn forward(&self, input: &mut Input<T>, y: &mut [T], tape: &mut Tape<T>) -> Result<()> {
        match &self.state {
            State::Enabled => self.adapted(input, y, tape),
            State::Disabled => mutant!(
                "Lora/stale adapter after it was disabled",
                self.base.forward(input, y, tape),
                self.adapted(input, y, tape)
            ),
            State::Merged(merged) => merged.forward(self.name(), input, y),
        }
    }

    fn backward(
        &self,
        input: &Input<T>,
        dy: &[T],
        dx: Option<&mut [T]>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<()> {
        let mut dx = dx;
        match &self.state {
            State::Enabled => {
                let saved = self.restore(input, tape)?;
                self.base.backward(input, dy, dx.as_deref_mut(), tape, gradients)?;
                self.own_backward(saved, input, dy, dx, tape, gradients)
            }
            State::Disabled => self.base.backward(input, dy, dx, tape, gradients),
            State::Merged(merged) => dx.map_or(Ok(()), |dx| merged.backward(input, dy, dx)),
        }
    }

    fn backward_setting(
        &self,
        input: &Input<T>,
        dy: &[T],
        dx: &mut [T],
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<()> {
        match &self.state {
            State::Enabled => {
                let saved = self.restore(input, tape)?;
                self.base.backward_setting(input, dy, dx, tape, gradients)?;
                self.own_backward(saved, input, dy, Some(dx), tape, gradients)
            }
            State::Disabled => self.base.backward_setting(input, dy, dx, tape, gradients),
            State::Merged(merged) => {
                dx.fill(T::ZERO);
                merged.backward(input, dy, dx)
            }
        }
    }
}

impl<T: Compute> Lora<T> {
    /// y = base(x) + s·B·A·x̃.
    fn adapted(&self, input: &mut Input<T>, y: &mut [T], tape: &mut Tape<T>) -> Result<()> {
        self.base.forward(input, y, tape)?;
        // The base may need less: codes, or nothing when it is frozen.
        input.keep_values();
        let rows = input.rows();
        let mask = tape.dropout().filter(|_| self.dropout > 0.0).map(|dropout| {
            let shape = [rows, self.adapter.inputs];
            mask::draw(self.dropout, (dropout, self.stream), shape, tape)
        });
        let mut inner = tape.take(rows * self.adapter.rank);
        let seen = self.seen(input, mask.as_deref(), tape)?;
        let store = mutant!("Lora/stale adapter of an earlier call", Store::Set, Store::Add);
        self.product(self.rows(&seen, rows)?, self.a()?, &mut inner, store)?;
        give(seen, tape);
        let factor = self.factor();
        inner.iter_mut().for_each(|inner| *inner *= factor);
        let own = DenseOperand::new(&inner, rows, self.adapter.rank).map_err(self.named())?;
        self.product(own, self.b()?, y, Store::Add)?;
        tape.save(inner);
        if let Some(mask) = mask {
            tape.save_tokens(&mask);
            tape.give_tokens(mask);
        }
        Ok(())
    }

    /// Takes off the tape what the forward left.
    fn restore(&self, input: &Input<T>, tape: &mut Tape<T>) -> Result<Saved<T>> {
        let (name, rows) = (self.name(), input.rows());
        let has_mask = self.dropout > 0.0 && tape.dropout().is_some();
        let mask = has_mask.then(|| tape.restore_tokens(name)).transpose()?;
        let inner = tape.restore(name)?;
        check_size(name, "numbers of the adapter", rows * self.adapter.rank, inner.len())?;
        Ok(Saved { inner, mask })
    }

    /// Adds the gradients of A, of B and, through them, of x.
    fn own_backward(
        &self,
        Saved { inner, mask }: Saved<T>,
        input: &Input<T>,
        dy: &[T],
        dx: Option<&mut [T]>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<()> {
        let (rows, rank) = (input.rows(), self.adapter.rank);
        let mask = mutant!(
            "Lora/mask drawn anew in the backward",
            mask,
            mask.map(|mask| mask.into_iter().map(|word| word.rotate_left(1)).collect())
        );
        let [a_id, b_id] = mutant!("Lora/A and B swapped", self.ids, [self.ids[1], self.ids[0]]);
        let factor = self.factor();
        let dy = DenseOperand::new(dy, rows, self.adapter.outputs).map_err(self.named())?;
        if let Some(db) = gradients.get_mut(b_id) {
            let own = DenseOperand::new(&inner, rows, rank).map_err(self.named())?;
            self.product(dy.transposed(), own.transposed(), db, Store::Add)?;
            mutant!("Lora/scale twice", {
                db.iter_mut().for_each(|db| *db *= factor);
            });
        }
        let mut d_inner = tape.take(inner.len());
        self.product(dy, self.b()?.transposed(), &mut d_inner, Store::Set)?;
        mutant!("Lora/scale left out", d_inner.iter_mut().for_each(|d| *d *= factor), ());
        if let Some(da) = gradients.get_mut(a_id) {
            let of_a = mutant!("Lora/mask left out of dA", mask.as_deref(), None);
            let seen = self.seen(input, of_a, tape)?;
            let of_rows = DenseOperand::new(&d_inner, rows, rank).map_err(self.named())?;
            let x = self.rows(&seen, rows)?;
            self.product(of_rows.transposed(), x.transposed(), da, Store::Add)?;
            give(seen, tape);
        }
        if let Some(dx) = mutant!("Lora/adapter left out of dx", dx, None) {
            self.input_gradient(&d_inner, mask.as_deref(), dx, tape)?;
        }
        [inner, d_inner].into_iter().for_each(|buffer| tape.give(buffer));
        mask.into_iter().for_each(|mask| tape.give_tokens(mask));
        Ok(())
    }

    /// dx += d_inner·A, through the mask.
    fn input_gradient(
        &self,
        d_inner: &[T],
        mask: Option<&[u32]>,
        dx: &mut [T],
        tape: &mut Tape<T>,
    ) -> Result<()> {
        let (rank, inputs) = (self.adapter.rank, self.adapter.inputs);
        let d_inner = DenseOperand::new(d_inner, d_inner.len() / rank, rank);
        let d_inner = d_inner.map_err(self.named())?;
        let a = mutant!(
            "Lora/A transposed in dx",
            self.a()?.transposed(),
            DenseOperand::new(&self.adapter.a, inputs, rank).map_err(self.named())?
        );
        let Some(mask) = mutant!("Lora/mask left out of dx", mask, None) else {
            return self.product(d_inner, a, dx, Store::Add);
        };
        let mut d_seen = tape.take(dx.len());
        self.product(d_inner, a, &mut d_seen, Store::Set)?;
        mask::keep(mask, self.dropout, inputs, &mut d_seen);
        dx.iter_mut().zip(&d_seen).for_each(|(dx, &d)| *dx += d);
        tape.give(d_seen);
        Ok(())
    }

    /// x̃.
    fn seen<'a>(
        &self,
        input: &'a Input<T>,
        mask: Option<&[u32]>,
        tape: &mut Tape<T>,
    ) -> Result<Cow<'a, [T]>> {
        let x = input.values(self.name())?;
        let Some(mask) = mask else { return Ok(Cow::Borrowed(x)) };
        let mut seen = tape.take(x.len());
        seen.copy_from_slice(x);
        mask::keep(mask, self.dropout, self.adapter.inputs, &mut seen);
        Ok(Cow::Owned(seen))
    }

    fn rows<'a>(&self, x: &'a [T], rows: usize) -> Result<DenseOperand<'a, T>> {
        DenseOperand::new(x, rows, self.adapter.inputs).map_err(self.named())
    }

    fn a(&self) -> Result<DenseOperand<'_, T>> {
        let operand = DenseOperand::new(&self.adapter.a, self.adapter.rank, self.adapter.inputs);
        operand.map_err(self.named())
    }

    fn b(&self) -> Result<DenseOperand<'_, T>> {
        let operand = DenseOperand::new(&self.adapter.b, self.adapter.outputs, self.adapter.rank);
        operand.map_err(self.named())
    }

    fn product(
        &self,
        a: DenseOperand<'_, T>,
        b: DenseOperand<'_, T>,
        c: &mut [T],
        store: Store,
    ) -> Result<()> {
        T::product(a, b, c, store).map_err(self.named())
    }

    /// An error of the core with the layer's name.
    fn named(&self) -> impl Fn(ternary_core::Error) -> Error {
        |source| Error::Core { layer: self.name().to_owned(), source }
    }
}

/// Gives a buffer back that was made for x̃.
fn give<T: Compute>(seen: Cow<'_, [T]>, tape: &mut Tape<T>) {
    if let Cow::Owned(seen) = seen {
        tape.give(seen);
    }
}
