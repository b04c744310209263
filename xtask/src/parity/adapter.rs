//! An adapter merged into the matrix that it is on, and its gradients from that of the matrix.

use crate::fixtures::tensors::Tensor;

/// W + scale·B·A, of W `[outputs, inputs]`, A `[rank, inputs]`, B `[outputs, rank]`.
pub(crate) fn merged(weight: &[f64], a: &Tensor, b: &Tensor, scale: f64) -> Vec<f64> {
    let (rank, inputs) = (a.shape[0], a.shape[1]);
    let mut weight = weight.to_vec();
    for (row, b) in weight.chunks_mut(inputs).zip(b.values.chunks(rank)) {
        for (&b, a) in b.iter().zip(a.values.chunks(inputs)) {
            row.iter_mut().zip(a).for_each(|(w, a)| *w += scale * b * a);
        }
    }
    weight
}

/// dA = scale·Bᵀ·dW and dB = scale·dW·Aᵀ.
pub(crate) fn gradients(d_weight: &[f64], a: &Tensor, b: &Tensor, scale: f64) -> [Vec<f64>; 2] {
    let (rank, inputs) = (a.shape[0], a.shape[1]);
    let (mut d_a, mut d_b) = (vec![0.0; a.values.len()], vec![0.0; b.values.len()]);
    for (output, d_row) in d_weight.chunks(inputs).enumerate() {
        for low in 0..rank {
            let at = output * rank + low;
            let a = &a.values[low * inputs..][..inputs];
            d_b[at] = scale * d_row.iter().zip(a).map(|(d, a)| d * a).sum::<f64>();
            let d_a = &mut d_a[low * inputs..][..inputs];
            d_a.iter_mut().zip(d_row).for_each(|(d_a, d)| *d_a += scale * b.values[at] * d);
        }
    }
    [d_a, d_b]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::tensors::Kind;

    #[test]
    fn an_adapter_of_rank_one_is_an_outer_product() {
        let tensor =
            |shape: &[usize], values: &[f64]| Tensor::new(Kind::F64, shape, values.to_vec());
        let (a, b) = (tensor(&[1, 3], &[1.0, 2.0, 3.0]), tensor(&[2, 1], &[10.0, 20.0]));
        let weight = merged(&[1.0; 6], &a, &b, 0.5);
        assert_eq!(weight, [6.0, 11.0, 16.0, 11.0, 21.0, 31.0]);
        let [d_a, d_b] = gradients(&[1.0, 0.0, 0.0, 0.0, 1.0, 1.0], &a, &b, 0.5);
        assert_eq!((d_a, d_b), (vec![5.0, 10.0, 10.0], vec![0.5, 2.5]));
    }
}
