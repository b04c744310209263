//! The model of a case with its adapter merged into weights that train: the same numbers on another way, which ends in
//! the gradients of whole matrices.

use std::collections::BTreeMap;

use interop::hugging_face::{Weights, load_changed};
use lora_backward::{Adapter, AdapterError};
use models::Decoder;
use nn::{Gradients, Tape};

use super::files::Files;
use super::token_rows;
use crate::parity::Outcome;

/// Logits of the first batch and the gradients of the adapter, under the names of the reference.
pub(super) fn found(files: &Files) -> Outcome<BTreeMap<String, Vec<f64>>> {
    let model = merged(files)?;
    let batch = token_rows(&files.batches[0])?;
    let logits = model.scores(&batch.tokens, batch.sequences, &mut Tape::inference())?;
    let mut gradients = Gradients::zeros(model.parameters());
    model.loss_and_gradients(batch.batch(), &mut Tape::recording(), &mut gradients)?;

    let mut found = BTreeMap::from([("logits".to_owned(), logits)]);
    for (module, adapter) in files.adapters.iter() {
        let id = model.parameters().find(&format!("{module}.weight"));
        let id = id.ok_or_else(|| format!("the model has no parameter {module}.weight"))?;
        let of_factors = of_factors(gradients.get(id), adapter);
        for (matrix, gradient) in ["lora_A", "lora_B"].iter().zip(of_factors) {
            let name = files.in_file(&format!("{module}.{matrix}.weight"))?;
            found.insert(format!("grad.{name}"), gradient);
        }
    }
    Ok(found)
}

/// W' = W + s·B·A in the place of W.
fn merged(files: &Files) -> Outcome<Decoder<f64>> {
    let mut result: Result<(), AdapterError> = Ok(());
    let change = &mut |name: &str, _: &[usize], values: &mut [f64]| {
        let module = name.strip_suffix(".weight");
        let adapter = module.and_then(|module| files.adapters.get(module));
        if let (true, Some(adapter)) = (result.is_ok(), adapter) {
            result = adapter.add_to(0..adapter.outputs, values);
        }
    };
    let model = load_changed(&files.base(), Weights::Trained, change)?;
    result?;
    Ok(model)
}

/// dA = s·Bᵀ·dW' and dB = s·dW'·Aᵀ.
fn of_factors(d_weight: &[f64], adapter: &Adapter<f64>) -> [Vec<f64>; 2] {
    let Adapter { a, b, rank, inputs, .. } = adapter;
    let (rank, inputs, scale) = (*rank, *inputs, adapter.factor());
    let (mut d_a, mut d_b) = (vec![0.0; a.len()], vec![0.0; b.len()]);
    for (output, d_row) in d_weight.chunks(inputs).enumerate() {
        for low in 0..rank {
            let at = output * rank + low;
            let a = &a[low * inputs..][..inputs];
            d_b[at] = scale * d_row.iter().zip(a).map(|(d, a)| d * a).sum::<f64>();
            let d_a = &mut d_a[low * inputs..][..inputs];
            d_a.iter_mut().zip(d_row).for_each(|(d_a, d)| *d_a += scale * b[at] * d);
        }
    }
    [d_a, d_b]
}

#[cfg(test)]
mod tests {
    use lora_backward::Scaling;

    use super::*;

    #[test]
    fn gradients_of_an_adapter_of_rank_one_are_products_with_the_other_factor() {
        let factors = [vec![1.0, 2.0, 3.0], vec![10.0, 20.0]];
        let scaling = Scaling { alpha: 0.5, rank_stabilised: false };
        let adapter = Adapter::new("up", [2, 3], 1, factors, scaling).unwrap();
        let [d_a, d_b] = of_factors(&[1.0, 0.0, 0.0, 0.0, 1.0, 1.0], &adapter);
        assert_eq!((d_a, d_b), (vec![5.0, 10.0, 10.0], vec![0.5, 2.5]));
    }
}
