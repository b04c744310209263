//! What attention does with bad input.

use super::{Case, attention, attention_backward, shape};
use crate::Error;
use crate::simd::on_every_isa;

#[test]
fn a_shape_that_contradicts_itself_is_refused() {
    for sizes in [
        [1, 2, 2, 3, 2, 4],
        [1, 2, 2, 0, 1, 4],
        [1, 2, 2, 1, 0, 4],
        [1, 2, 2, 1, 1, 0],
        [1, 3, 2, 1, 1, 4],
        [usize::MAX, 2, 2, 2, 2, 4],
    ] {
        let refused = attention::<f32>(shape(sizes), 1.0, [&[]; 3], &mut [], &mut []);
        assert!(matches!(refused, Err(Error::Setting { .. })), "{sizes:?}: {refused:?}");
    }
}

#[test]
fn an_array_of_another_length_is_refused_with_both_lengths() {
    let shape = shape([1, 2, 3, 2, 1, 4]);
    let sizes = [16, 12, 12, 16, 4, 16, 16, 12, 12];
    for wrong in 0..sizes.len() {
        let mut arrays = sizes.map(|size| vec![0.0_f64; size]);
        arrays[wrong].pop();
        let [q, k, v, out, log_sums, d_out, dq, dk, dv] = &mut arrays;
        let error = attention_backward(shape, 1.0, [q, k, v], [out, log_sums, d_out], [dq, dk, dv])
            .unwrap_err();
        let Error::Shape { expected, found, .. } = error else { panic!("{error}") };
        assert_eq!((expected, found), (sizes[wrong], sizes[wrong] - 1));
        if wrong < 5 {
            let refused = attention(shape, 1.0, [q, k, v], out, log_sums);
            assert!(matches!(refused, Err(Error::Shape { .. })));
        }
    }
}

#[test]
fn numbers_that_are_not_finite_pass_through_without_a_panic_and_stay_in_their_sequence() {
    on_every_isa(|| {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            for array in 0..4 {
                let mut case = Case::<f32>::new(shape([2, 100, 100, 2, 1, 5]));
                let clean = case.run();
                let arrays = [&mut case.q, &mut case.k, &mut case.v, &mut case.d_out];
                let values = arrays.into_iter().nth(array).unwrap();
                let last = values.len() - 1;
                values[last] = bad;
                let found = case.run();
                let half = clean.out.len() / 2;
                assert_eq!(found.out[..half], clean.out[..half]);
                assert_eq!(found.dq[..half], clean.dq[..half]);
                assert_eq!(found.dk[..half / 2], clean.dk[..half / 2]);
            }
        }
    });
}
