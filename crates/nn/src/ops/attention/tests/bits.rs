//! A query's bits depend neither on its company nor on threads.

use super::{Case, Results, attention, shape};
use crate::simd::on_every_isa;

/// The last `queries` of the first `keys` positions of a case with one sequence.
fn last(case: &Case<f32>, queries: usize, keys: usize) -> Case<f32> {
    let shape = super::AttentionShape { queries, keys, ..case.shape };
    let (row, key_row) = (shape.query_row(), shape.key_row());
    let rows = (keys - queries) * row..keys * row;
    Case {
        shape,
        scale: case.scale,
        q: case.q[rows.clone()].to_vec(),
        k: case.k[..keys * key_row].to_vec(),
        v: case.v[..keys * key_row].to_vec(),
        d_out: case.d_out[rows].to_vec(),
    }
}

fn forward(case: &Case<f32>) -> (Vec<f32>, Vec<f32>) {
    let mut out = vec![0.0; case.q.len()];
    let mut log_sums = vec![0.0; case.q.len() / case.shape.width];
    attention(case.shape, case.scale, case.inputs(), &mut out, &mut log_sums).unwrap();
    (out, log_sums)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn a_query_has_the_same_bits_alone_in_part_and_in_the_whole_sequence() {
    on_every_isa(|| {
        for (width, heads) in [(5, 4), (16, 2), (48, 6), (71, 4), (128, 2)] {
            let case = Case::<f32>::new(shape([1, 210, 210, heads, 2, width]));
            let whole = forward(&case);
            for (queries, keys) in [
                (1, 1),
                (1, 2),
                (1, 17),
                (1, 64),
                (1, 96),
                (1, 97),
                (1, 210),
                (5, 100),
                (97, 120),
                (130, 130),
            ] {
                let (out, log_sums) = forward(&last(&case, queries, keys));
                let rows = (keys - queries) * case.shape.query_row()..keys * case.shape.query_row();
                assert_eq!(bits(&out), bits(&whole.0[rows]), "{queries} of {keys}, {width}");
                let rows = (keys - queries) * heads..keys * heads;
                assert_eq!(bits(&log_sums), bits(&whole.1[rows]), "{queries} of {keys}, {width}");
            }
        }
    });
}

#[test]
fn a_sequence_has_the_same_bits_in_a_batch() {
    let one = Case::<f32>::new(shape([1, 50, 70, 2, 1, 9]));
    let twice = |values: &[f32]| [values, values].concat();
    let two = Case {
        shape: super::AttentionShape { sequences: 2, ..one.shape },
        scale: one.scale,
        q: twice(&one.q),
        k: twice(&one.k),
        v: twice(&one.v),
        d_out: twice(&one.d_out),
    };
    let (one, two) = (one.run(), two.run());
    assert_eq!(twice(&one.out), two.out);
    assert_eq!(twice(&one.dq), two.dq);
    assert_eq!(twice(&one.dk), two.dk);
    assert_eq!(twice(&one.dv), two.dv);
}

#[test]
fn every_number_of_threads_gives_the_same_bits() {
    let case = Case::<f32>::new(shape([2, 200, 230, 4, 2, 24]));
    assert!(case.shape.cost() > 1 << 20, "work for several threads");
    let run = |threads: usize| -> Results<f32> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| case.run())
    };
    let one = run(1);
    for threads in [2, 3] {
        assert_eq!(one, run(threads));
    }
    assert_eq!(one, case.run(), "outside any pool of our own");
}
