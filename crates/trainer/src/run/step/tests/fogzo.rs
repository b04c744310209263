//! Tests of training with FOGZO in its last phase.

use super::*;

#[test]
fn with_fogzo_in_its_last_phase_the_loss_still_falls_and_both_slopes_are_told() {
    let text = stories(0, 5000);
    let (_, steps) = run(&["steps=40", "fogzo_from=0.5"], &text, 40);
    assert!(steps[..20].iter().all(|step| step.probed.is_none()));
    for step in &steps[20..] {
        let probed = step.probed.unwrap();
        assert!(probed.promised_slope.is_finite() && probed.measured_slope.is_finite());
        assert!(probed.fogzo_seconds > 0.0 && probed.fogzo_seconds <= step.time.as_secs_f64());
    }
    let mean = |steps: &[Taken]| steps.iter().map(|step| step.loss).sum::<f64>() / 5.0;
    assert!(mean(&steps[35..]) < mean(&steps[15..20]), "{steps:?}");
    let other = losses(&["fogzo_from=0", "fogzo.noise=1000"]);
    assert_ne!(other, losses(&["fogzo_from=0"]));
    assert_ne!(other, losses(&["fogzo_from=0", "fogzo.noise=1000", "fogzo.directions=2"]));
}

#[test]
fn with_fogzo_the_bits_are_the_same_on_any_number_of_threads() {
    let text = stories(0, 5000);
    let settings = ["fogzo_from=0", "fogzo.noise=100", "ternary.latent=bf16"];
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| tensors(run(&settings, &text, 3).0.model()))
    };
    let one = on(1);
    assert!(on(2) == one && on(3) == one);
}
