//! [`Lora`]: a projection with an adapter beside it.

mod mask;
mod merged;
mod passes;
mod place;
#[cfg(test)]
mod tests;

use nn::ternary_core::noise::name_hash;
use nn::{
    Compute, Memory, Module, ParameterId, Parameters, Projection, Tensor, Values, ValuesMut,
    check_size,
};

use self::merged::Merged;
use crate::{Adapter, AdapterError, check_dropout};

/// A projection with a low-rank change of its weights (LoRA, Hu et al., arXiv 2106.09685), of any kind: dense, frozen
/// ternary, ternary with latent weights.
///
/// ```text
/// forward    y = base(x) + s·B·A·x̃            x̃ = x, or mask ⊙ x/(1 − p) under dropout
/// backward   dB += Σ dy·(s·A·x̃)ᵀ
///            dA += Σ (s·Bᵀdy)·x̃ᵀ
///            dx += what base gives, + Aᵀ(s·Bᵀdy), through the mask again
/// ```
///
/// A ternary base may see x as int8 codes; the adapter sees the real x. While the adapter is
/// [disabled](AdapterMode::Disabled), forward and backward are those of the base, bit for bit, and nothing of the
/// adapter is on the tape.
///
/// Merged, one real matrix W + s·B·A stands in the place of both; the base stays beside it untouched. Of a ternary base
/// that matrix is dense and sees the real x.
///
/// Inputs are dropped only in forwards on a tape that says which ([`Tape::set_dropout`](nn::Tape::set_dropout)); the
/// mask is a function of that, of the name of the projection and of the row's number, and the backward finds it on the
/// tape.
///
/// A and B are the parameters `{name}.lora_A.weight` and `{name}.lora_B.weight`. Those of the base stay what they are:
/// whoever wants it frozen says so when it is built, or replaces its identities
/// ([`Parameters::frozen`](nn::Parameters::frozen)).
///
/// ```
/// use lora_backward::nn::{Dense, Input, Parameters, Projection, Tape};
/// use lora_backward::{Adapter, Lora, Scaling};
///
/// let mut parameters = Parameters::new();
/// parameters.freeze();
/// let base = Dense::from_weight("up", 2, vec![1.0_f32, 0.0, 0.0, 1.0], &mut parameters)?;
/// parameters.thaw();
/// let scaling = Scaling { alpha: 3.0, rank_stabilised: false };
/// let adapter = Adapter::new("up", [2, 2], 1, [vec![1.0, 1.0], vec![0.0, 1.0]], scaling)?;
/// let layer = Lora::new(Box::new(base), adapter, 0.0, &mut parameters)?;
/// assert_eq!(parameters.numbers(), 4);
///
/// let mut input = Input::new("up", vec![5.0, 7.0], 2)?;
/// let mut y = [0.0; 2];
/// layer.forward(&mut input, &mut y, &mut Tape::inference())?;
/// assert_eq!(y, [5.0, 7.0 + 3.0 * 12.0]);
/// # Ok::<(), lora_backward::AdapterError>(())
/// ```
#[derive(Debug)]
pub struct Lora<T> {
    base: Box<dyn Projection<T>>,
    adapter: Adapter<T>,
    dropout: f64,
    /// Of the random numbers that decide what is dropped.
    stream: u64,
    /// Of A and B, as the next.
    names: [String; 2],
    ids: [ParameterId; 2],
    state: State<T>,
}

/// What an adapter does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AdapterMode {
    /// It adds to its projection, and learns.
    #[default]
    Enabled,
    /// Nothing: the projection is as it was without it.
    Disabled,
    /// It is added to the weights of its projection, and does not learn.
    Merged,
}

/// An [`AdapterMode`] with what it needs.
#[derive(Debug)]
enum State<T> {
    Enabled,
    Disabled,
    Merged(Merged<T>),
}

impl<T: Compute> Lora<T> {
    /// Puts an adapter beside a projection, and declares `{name}.lora_A.weight` and `{name}.lora_B.weight`. `dropout` is
    /// the share of the inputs that it drops while it trains.
    ///
    /// # Errors
    /// An adapter that is none ([`Adapter::check`]) or has another shape than the projection, a share that is none, a
    /// name that is taken.
    pub fn new(
        base: Box<dyn Projection<T>>,
        adapter: Adapter<T>,
        dropout: f64,
        parameters: &mut Parameters,
    ) -> Result<Self, AdapterError> {
        let (names, ids) = declare(&*base, &adapter, dropout, parameters)?;
        Ok(Self::with(base, adapter, dropout, (names, ids)))
    }

    fn with(
        base: Box<dyn Projection<T>>,
        adapter: Adapter<T>,
        dropout: f64,
        (names, ids): ([String; 2], [ParameterId; 2]),
    ) -> Self {
        let stream = name_hash(base.name());
        Self { base, adapter, dropout, stream, names, ids, state: State::Enabled }
    }

    /// What is adapted.
    pub fn base(&self) -> &dyn Projection<T> {
        &*self.base
    }

    /// A and B as they are now.
    pub fn adapter(&self) -> &Adapter<T> {
        &self.adapter
    }

    /// The share of the inputs that is dropped while the adapter trains.
    pub fn dropout(&self) -> f64 {
        self.dropout
    }

    /// What the adapter does.
    pub fn mode(&self) -> AdapterMode {
        match self.state {
            State::Enabled => AdapterMode::Enabled,
            State::Disabled => AdapterMode::Disabled,
            State::Merged(_) => AdapterMode::Merged,
        }
    }

    /// Sets what the adapter does. Whatever it was, the base is untouched by it. Between a forward and its backward it
    /// is not to be changed.
    ///
    /// # Errors
    /// For [`AdapterMode::Merged`], as [`Lora::merged_weight`].
    pub fn set_mode(&mut self, mode: AdapterMode) -> Result<(), AdapterError> {
        self.state = match mode {
            AdapterMode::Enabled => State::Enabled,
            AdapterMode::Disabled => State::Disabled,
            AdapterMode::Merged => State::Merged(Merged::new(self)?),
        };
        Ok(())
    }

    /// The factor s in the type of the layer.
    fn factor(&self) -> T {
        T::from_f64(self.adapter.factor())
    }
}

/// Declares the parameters of an adapter, once everything else fits.
fn declare<T: Compute>(
    base: &dyn Projection<T>,
    adapter: &Adapter<T>,
    dropout: f64,
    parameters: &mut Parameters,
) -> Result<([String; 2], [ParameterId; 2]), AdapterError> {
    let name = base.name();
    check_size(name, "inputs of the adapter", base.inputs(), adapter.inputs)?;
    check_size(name, "outputs of the adapter", base.outputs(), adapter.outputs)?;
    adapter.check(name)?;
    check_dropout(dropout)?;
    let names = ["lora_A", "lora_B"].map(|factor| format!("{name}.{factor}.weight"));
    if let Some(taken) = names.iter().find(|name| parameters.find(name).is_some()) {
        let (name, problem) = (taken.clone(), "is declared twice");
        return Err(nn::Error::Parameter { name, problem }.into());
    }
    let Adapter { rank, inputs, outputs, .. } = *adapter;
    let a = parameters.declare(names[0].clone(), &[rank, inputs])?;
    let b = parameters.declare(names[1].clone(), &[outputs, rank])?;
    Ok((names, [a, b]))
}

impl<T: Compute> Module<T> for Lora<T> {
    fn each_part(&self, visit: &mut dyn FnMut(&dyn Module<T>)) {
        visit(&*self.base);
    }

    fn each_part_mut(&mut self, visit: &mut dyn FnMut(&mut dyn Module<T>)) {
        visit(&mut *self.base);
    }

    fn visit(&self, visit: &mut dyn FnMut(Tensor<'_, T>)) {
        self.base.visit(visit);
        for ((name, id), values) in
            self.names.iter().zip(self.ids).zip([&self.adapter.a, &self.adapter.b])
        {
            visit(Tensor { name, id: Some(id), values: Values::Real(values) });
        }
    }

    /// While they are merged, A and B stay as they are: nobody is handed them to be changed.
    fn visit_mut(&mut self, visit: &mut dyn FnMut(ParameterId, ValuesMut<'_, T>)) {
        self.base.visit_mut(visit);
        if !matches!(self.state, State::Merged(_)) {
            let Adapter { a, b, .. } = &mut self.adapter;
            for (id, values) in self.ids.into_iter().zip([a, b]) {
                visit(id, ValuesMut::Real(values));
            }
        }
    }

    fn visit_identities(&mut self, visit: &mut dyn FnMut(&mut ParameterId)) {
        self.base.visit_identities(visit);
        self.ids.iter_mut().for_each(visit);
    }

    fn memory(&self) -> Memory {
        let mut memory = self.base.memory();
        let numbers = self.adapter.a.capacity() + self.adapter.b.capacity();
        let names = self.names.iter().map(String::capacity).sum::<usize>();
        let merged = if let State::Merged(merged) = &self.state { merged.size_bytes() } else { 0 };
        memory.other += numbers * size_of::<T>() + names + merged + size_of_val(&*self.base);
        memory
    }
}
