//! [`GatedDeltaNet`]: a recurrent mixer with everything around it.

mod backward;
mod forward;
mod parts;
mod places;
#[cfg(test)]
mod tests;
mod unit;
mod unit_backward;

use nn::ternary_core::Real;
use nn::{
    Compute, Context, Error, Gradients, Layer, Memory, Module, ParameterId, Parameters, Projection,
    Result, State, Tape, Tensor, Values, ValuesMut, check_size,
};

use self::parts::Vector;

pub use self::parts::{
    DeltaNetInputs, DeltaNetOptions, DeltaNetProjections, DeltaNetState, DeltaNetWeights,
};

/// A gated delta net (Yang, Kautz and Hatamizadeh, arXiv 2412.06464) as Qwen3-Next and Qwen3.5 have it. Rows of padding
/// are zeros when they enter. With σ the logistic function, per token and head:
///
/// ```text
/// q, k, v = silu(conv(x·Wᵀ))        z, b, a = x·Wᵀ
/// q̂ = q/√(Σq² + 10⁻⁶)               k̂ = k/√(Σk² + 10⁻⁶)
/// β = σ(b)                          g = −A·softplus(a + dt_bias)
/// o = delta_rule(q̂, k̂, v, g, β)
/// y = (o/rms(o)·gain · silu(z))·Wᵀ
/// ```
///
/// See [`short_conv`](crate::ops::short_conv()), [`decay_gates`](crate::ops::decay_gates()) and
/// [`delta_rule`](crate::ops::delta_rule()).
///
/// Between the projections a block of [`CHUNK`](crate::ops::CHUNK) tokens is done at a time, and each key head with its value
/// heads by itself. For the backward a forward keeps what the projections gave, the outputs of the recurrence, and
/// the recurrent states between blocks; what is inside a block is computed again.
#[derive(Debug)]
pub struct GatedDeltaNet<T> {
    name: String,
    projections: DeltaNetProjections<T>,
    options: DeltaNetOptions,
    conv: Vector<T>,
    a_log: Vector<T>,
    dt_bias: Vector<T>,
    gain: Vector<T>,
}

impl<T: Compute> GatedDeltaNet<T> {
    /// Puts the parts together and declares `{name}.conv1d.weight`, `{name}.A_log`, `{name}.dt_bias` and
    /// `{name}.norm.weight`.
    ///
    /// # Errors
    /// [`Error::Shape`] for parts that do not fit each other, [`Error::Setting`] for sizes that no layer can
    /// have, [`Error::Parameter`] for a name that is taken.
    pub fn new(
        name: &str,
        projections: DeltaNetProjections<T>,
        weights: DeltaNetWeights<T>,
        options: DeltaNetOptions,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        options.check(name)?;
        let DeltaNetProjections { input, output } = &projections;
        for ((what, projection), outputs) in input.named().iter().zip(options.outputs(input)) {
            check_size(
                name,
                "inputs of an input projection",
                output.outputs(),
                projection.inputs(),
            )?;
            check_size(name, what, outputs, projection.outputs())?;
        }
        check_size(name, "inputs of the output projection", options.value_row(), output.inputs())?;
        let DeltaNetWeights { conv, a_log, dt_bias, gain } = weights;
        let (heads, taps) = (options.value_heads, [options.channels(), 1, options.kernel]);
        let mut declare = |array, values| Vector::declare(name, array, values, &mut *parameters);
        Ok(Self {
            conv: declare(("conv1d.weight", &taps), conv)?,
            a_log: declare(("A_log", &[heads]), a_log)?,
            dt_bias: declare(("dt_bias", &[heads]), dt_bias)?,
            gain: declare(("norm.weight", &[options.value_width]), gain)?,
            name: name.to_owned(),
            projections,
            options,
        })
    }

    /// The state before the first token.
    pub fn zeros(&self, sequences: usize) -> DeltaNetState<T> {
        let zeros = |each: usize| vec![T::ZERO; sequences * each];
        DeltaNetState {
            recurrent: zeros(self.options.recurrent_numbers()),
            conv: zeros(self.options.column_numbers()),
        }
    }

    /// Checks the rows of a call.
    fn check_rows(&self, what: &'static str, rows: &[T], context: Context<'_>) -> Result<()> {
        let (name, options) = (self.name.as_str(), self.options);
        let (sequences, width) = (context.sequences, self.projections.output.outputs());
        let widest = options.outputs(&self.projections.input).into_iter().max().unwrap_or(0);
        let states = options.recurrent_numbers().max(options.column_numbers());
        let largest = widest.max(width).max(states);
        let sizes = [sequences.count.max(1), sequences.length.max(1), largest, size_of::<f64>()];
        if sizes.iter().try_fold(1_usize, |product, &size| product.checked_mul(size)).is_none() {
            return Err(Error::Setting {
                layer: name.to_owned(),
                what: "rows of a batch",
                expected: "as many as memory can hold",
                found: format!("{} sequences of {}", sequences.count, sequences.length),
            });
        }
        if let Some(mask) = context.mask {
            check_size(name, "rows of the mask", sequences.rows(), mask.len())?;
        }
        check_size(name, what, sequences.rows() * width, rows.len())
    }

    /// Checks the rows and the states of the sequences of a call.
    fn check(
        &self,
        what: &'static str,
        rows: &[T],
        context: Context<'_>,
        state: &DeltaNetState<T>,
    ) -> Result<()> {
        self.check_rows(what, rows, context)?;
        let (name, options, count) = (&self.name, self.options, context.sequences.count);
        let recurrent = count * options.recurrent_numbers();
        check_size(name, "numbers in recurrent states", recurrent, state.recurrent.len())?;
        let columns = count * options.column_numbers();
        check_size(name, "numbers in columns of the convolution", columns, state.conv.len())
    }

    fn vectors(&self) -> [&Vector<T>; 4] {
        [&self.conv, &self.a_log, &self.dt_bias, &self.gain]
    }
}

/// Makes the rows of padding zeros.
fn clear_padding<T: Real>(rows: &mut [T], width: usize, mask: Option<&[bool]>) {
    for (row, _) in rows.chunks_mut(width).zip(mask.unwrap_or_default()).filter(|(_, real)| !**real)
    {
        row.fill(T::ZERO);
    }
}

impl<T: Compute> Module<T> for GatedDeltaNet<T> {
    fn each_part(&self, visit: &mut dyn FnMut(&dyn Module<T>)) {
        for (_, projection) in self.projections.input.named() {
            visit(projection);
        }
        visit(&*self.projections.output);
    }

    fn each_part_mut(&mut self, visit: &mut dyn FnMut(&mut dyn Module<T>)) {
        for projection in self.projections.input.each_mut() {
            visit(&mut **projection);
        }
        visit(&mut *self.projections.output);
    }

    fn visit(&self, visit: &mut dyn FnMut(Tensor<'_, T>)) {
        self.each_part(&mut |part| part.visit(visit));
        for Vector { name, id, values } in self.vectors() {
            visit(Tensor { name, id: Some(*id), values: Values::Real(values) });
        }
    }

    fn visit_mut(&mut self, visit: &mut dyn FnMut(ParameterId, ValuesMut<'_, T>)) {
        self.each_part_mut(&mut |part| part.visit_mut(visit));
        for vector in [&mut self.conv, &mut self.a_log, &mut self.dt_bias, &mut self.gain] {
            visit(vector.id, ValuesMut::Real(&mut vector.values));
        }
    }

    fn visit_identities(&mut self, visit: &mut dyn FnMut(&mut ParameterId)) {
        self.each_part_mut(&mut |part| part.visit_identities(visit));
        for vector in [&mut self.conv, &mut self.a_log, &mut self.dt_bias, &mut self.gain] {
            visit(&mut vector.id);
        }
    }

    fn memory(&self) -> Memory {
        let own = self.vectors().map(Vector::size_bytes).iter().sum::<usize>();
        let mut memory = Memory { other: own + self.name.capacity(), ..Memory::default() };
        self.each_part(&mut |part| memory += part.memory());
        memory
    }
}

impl<T: Compute> Layer<T> for GatedDeltaNet<T> {
    fn width(&self) -> usize {
        self.projections.output.outputs()
    }

    fn forward(&self, x: Vec<T>, context: Context<'_>, tape: &mut Tape<T>) -> Result<Vec<T>> {
        self.check_rows("inputs", &x, context)?;
        let mut state = self.zeros(context.sequences.count);
        self.forward_from(x, context, &mut state, tape)
    }

    fn backward(
        &self,
        dy: Vec<T>,
        context: Context<'_>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<Vec<T>> {
        self.check_rows("gradients of outputs", &dy, context)?;
        let mut d_state = self.zeros(context.sequences.count);
        self.backward_from(dy, context, &mut d_state, tape, gradients)
    }

    fn each_projection(&self, visit: &mut dyn FnMut(&'static str, &dyn Projection<T>)) {
        let inputs = self.projections.input.named().into_iter().map(|(_, projection)| projection);
        for projection in inputs.chain([&*self.projections.output]) {
            visit("gated delta net", projection);
        }
    }

    fn each_projection_mut(&mut self, visit: &mut dyn FnMut(&mut Box<dyn Projection<T>>)) {
        let DeltaNetProjections { input, output } = &mut self.projections;
        input.each_mut().into_iter().chain([output]).for_each(visit);
    }

    fn state(&self, sequences: usize) -> State<T> {
        let DeltaNetState { recurrent, conv } = self.zeros(sequences);
        State { position: 0, parts: vec![recurrent, conv] }
    }

    fn resume(
        &self,
        x: Vec<T>,
        context: Context<'_>,
        state: &mut State<T>,
        tape: &mut Tape<T>,
    ) -> Result<Vec<T>> {
        if tape.is_recording() {
            let (layer, found) = (self.name.clone(), "one that records");
            return Err(Error::Tape { layer, expected: "a tape for inference", found });
        }
        let [recurrent, conv] = &mut state.parts[..] else {
            check_size(&self.name, "parts of the state", 2, state.parts.len())?;
            return Ok(x);
        };
        let [recurrent, conv] = [recurrent, conv].map(std::mem::take);
        let mut own = DeltaNetState { recurrent, conv };
        let y = self.forward_from(x, context, &mut own, tape);
        state.parts = vec![own.recurrent, own.conv];
        state.position += context.sequences.length;
        y
    }
}
