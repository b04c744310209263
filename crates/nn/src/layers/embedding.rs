//! [`Embedding`]: tokens to rows, and rows to scores of tokens.

use ternary_core::mutant;

use crate::compute::Compute;
use crate::error::{Result, check_size};
use crate::gradients::Gradients;
use crate::module::Module;
use crate::ops::embedding_backward;
use crate::projection::{Lookup, Projection};
use crate::tape::Tape;

/// A table with a row for each token: dense, or ternary like any projection. It may also serve as the
/// head, scores = x · tableᵀ, which then shares its identity: one parameter, one gradient.
#[derive(Debug)]
pub struct Embedding<T> {
    table: Box<dyn Lookup<T>>,
}

impl<T: Compute> Embedding<T> {
    /// Takes the table, `[tokens, width]`.
    pub fn new(table: Box<dyn Lookup<T>>) -> Self {
        Self { table }
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.table.inputs()
    }

    /// Rows of the table.
    pub fn vocabulary(&self) -> usize {
        self.table.outputs()
    }

    /// The table as the projection x · tableᵀ: a tied head.
    pub fn head(&self) -> &dyn Projection<T> {
        &*self.table
    }

    /// A row for each token.
    ///
    /// # Errors
    /// [`Error::Token`](crate::Error::Token) for a token that the table does not have.
    pub fn forward(&self, tokens: &[u32], tape: &mut Tape<T>) -> Result<Vec<T>> {
        let mut rows = tape.take(tokens.len() * self.width());
        self.table.look_up(tokens, &mut rows)?;
        tape.save_tokens(tokens);
        Ok(rows)
    }

    /// Adds the gradient of the rows to that of the table.
    ///
    /// # Errors
    /// [`Error::Tape`](crate::Error::Tape) without a forward before it,
    /// [`Error::Shape`](crate::Error::Shape) for another number of rows.
    pub fn backward(
        &self,
        dy: Vec<T>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<()> {
        let name = self.table.name();
        let tokens = tape.restore_tokens(name)?;
        check_size(name, "gradients of rows", tokens.len() * self.width(), dy.len())?;
        if let Some(d_table) = self.table.weight_gradient(gradients) {
            mutant!("Embedding/table gradient overwritten", { d_table.fill(T::ZERO) });
            mutant!("Embedding/table gradient twice", {
                embedding_backward(self.width(), &tokens, &dy, d_table)?;
            });
            embedding_backward(self.width(), &tokens, &dy, d_table)?;
            mutant!("Embedding/table gradient lost", { d_table.fill(T::ZERO) });
        }
        tape.give_tokens(tokens);
        tape.give(dy);
        Ok(())
    }
}

impl<T: Compute> Module<T> for Embedding<T> {
    fn each_part(&self, visit: &mut dyn FnMut(&dyn Module<T>)) {
        visit(&*self.table);
    }

    fn each_part_mut(&mut self, visit: &mut dyn FnMut(&mut dyn Module<T>)) {
        visit(&mut *self.table);
    }
}
