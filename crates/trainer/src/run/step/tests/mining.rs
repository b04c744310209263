//! Tests of training on the hardest part of a batch.

use super::*;

#[test]
fn with_mining_the_loss_of_the_whole_batch_is_told_and_falls() {
    let text = stories(0, 5000);
    let first = losses(&[])[0];
    for (by, kept) in [("mining.by=tokens", 45), ("mining.by=examples", 1)] {
        let (_, steps) = run(&["steps=40", "ohem=0.7", by], &text, 40);
        assert!((steps[0].loss - first).abs() < 1e-12, "{by}");
        assert!(steps.iter().all(|step| step.mined.unwrap().kept == kept), "{by}");
        let mean = |steps: &[Taken]| steps.iter().map(|step| step.loss).sum::<f64>() / 5.0;
        assert!(mean(&steps[35..]) < mean(&steps[..5]) - 0.5, "{by}: {steps:?}");
    }
}

#[test]
fn a_mining_that_keeps_everything_trains_the_same_model() {
    let text = stories(0, 5000);
    let expected = tensors(run(&[], &text, 5).0.model());
    for settings in [["ohem=1.0", "mining.by=tokens"], ["mining.threshold=1e-9", "ohem=1"]] {
        assert!(tensors(run(&settings, &text, 5).0.model()) == expected, "{settings:?}");
    }
}

#[test]
fn fogzo_probes_what_mining_kept_and_both_give_the_same_bits_on_any_number_of_threads() {
    let text = stories(0, 5000);
    for by in ["mining.by=tokens", "mining.by=examples"] {
        let settings = ["fogzo_from=0", "ohem=0.6", "batch.windows=3", by];
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| tensors(run(&settings, &text, 3).0.model()))
        };
        let one = on(1);
        assert!(on(2) == one && on(3) == one, "{by}");
    }
}
