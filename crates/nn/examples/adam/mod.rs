//! Adam (Kingma and Ba, arXiv 1412.6980), as small as it gets.

use nn::{Gradients, Module, Parameters, Rounding, Update};

/// First and second moments of every parameter.
pub(crate) struct Adam {
    rate: f32,
    step: u32,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Adam {
    pub(crate) fn new(rate: f32, parameters: &Parameters) -> Self {
        let zeros = vec![0.0; parameters.numbers()];
        Self { rate, step: 0, first: zeros.clone(), second: zeros }
    }

    /// One update from gradients that are added up: estimator, Adam, codes decided anew.
    pub(crate) fn update(
        &mut self,
        model: &mut dyn Module<f32>,
        parameters: &Parameters,
        gradients: &mut Gradients<f32>,
    ) -> nn::Result<()> {
        model.finish_gradients(gradients)?;
        gradients.check_finite(parameters)?;
        self.step += 1;
        let (b1, b2) = (0.9_f32, 0.99_f32);
        let unbiased = [1.0 - b1.powi(self.step as i32), 1.0 - b2.powi(self.step as i32)];
        model.visit_mut(&mut |id, mut values| {
            let range = parameters.range(id);
            let (first, second) = (&mut self.first[range.clone()], &mut self.second[range]);
            let gradient = gradients.get(id);
            values.update(Rounding::Nearest, |start, run| {
                for (offset, w) in run.iter_mut().enumerate() {
                    let (at, g) = (start + offset, gradient[start + offset]);
                    first[at] = b1 * first[at] + (1.0 - b1) * g;
                    second[at] = b2 * second[at] + (1.0 - b2) * g * g;
                    let mean = first[at] / unbiased[0];
                    *w -= self.rate * mean / ((second[at] / unbiased[1]).sqrt() + 1e-8);
                }
            });
        });
        gradients.clear();
        model.requantize(Update::hard(0, self.step))
    }
}
