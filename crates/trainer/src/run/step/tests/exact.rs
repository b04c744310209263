//! A step has the same bits on any number of threads and in any number of parts.

use super::*;

/// Everything that draws random numbers, chooses among examples or adds up over them.
const STOCHASTIC: [&[&str]; 5] = [
    &["ternary.latent=bf16", "ternary.boundary_noise=0.5", "ohem=0.7", "fogzo_from=0"],
    &["dqt=true", "ohem=0.6", "mining.by=examples", "optimiser.method=lamb"],
    &[
        "mixture.experts=5",
        "mixture.balance=0.1",
        "mixture.z=0.1",
        "ternary.boundary_noise=0.3",
        "fogzo_from=0",
        "ohem=0.8",
        "optimiser.method=muon",
    ],
    &[
        "preset=hybrid",
        "model.layers=2",
        "delta.attention_every=2",
        "ternary.latent=bf16",
        "ste=cage",
        "ternary.pull_from=0",
    ],
    &["ternary.quantiser=ttq", "ternary.threshold_learned=true", "ternary.ramp=1", "ohem=0.9"],
];

/// Seven windows, so that units are of several sizes and their tree is lopsided.
const UNITS: [&str; 2] = ["batch.windows=7", "batch.unit=2"];

/// The bits of everything that four steps leave, and what they told.
fn bits(settings: &[&str], threads: usize) -> (Vec<u64>, Vec<u32>) {
    let text = stories(0, 5000);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let (training, steps) = run(settings, &text, 4);
        let told = steps.iter().flat_map(|step| {
            [step.loss, step.gradient_norm, step.router_loss.unwrap_or(0.0), step.flips.unwrap()]
        });
        let (reals, matrices) = tensors(training.model());
        let matrices = matrices.iter().flat_map(TernaryMatrix::to_f32);
        let latent = latent_bits(training.model()).into_iter().flat_map(|(_, bits)| bits);
        let state = training.updating.optimiser.state();
        let state = state.arrays().into_iter().flat_map(|array| array.values.to_vec());
        let left = reals.into_iter().chain(matrices).chain(state).map(f32::to_bits).chain(latent);
        (told.map(f64::to_bits).collect(), left.collect())
    })
}

#[test]
fn threads_and_parts_do_not_change_a_bit_of_anything_that_is_random() {
    for settings in STOCHASTIC {
        let settings = [settings, &UNITS].concat();
        let alone = bits(&settings, 1);
        for (threads, parts) in [(2, 1), (3, 1), (1, 2), (2, 2), (3, 4)] {
            let parts = format!("batch.accumulation={parts}");
            // Of seven windows mining by examples keeps four, which are two units.
            let settings = [&settings[..], &[&parts]].concat();
            assert!(bits(&settings, threads) == alone, "{threads} threads, {settings:?}");
        }
        let recomputed = [&settings[..], &["batch.recompute=true"]].concat();
        assert!(bits(&recomputed, 2) == alone, "recomputing, {settings:?}");
    }
}

#[test]
fn the_gradient_of_a_step_is_that_of_its_whole_batch_whatever_the_units() {
    let text = stories(0, 5000);
    for more in [&["float=true"][..], &["float=true", "ohem=0.6"]] {
        let norms = |unit: &str| {
            let (_, steps) = run(&[&["batch.windows=7", unit], more].concat(), &text, 1);
            (steps[0].loss, steps[0].gradient_norm)
        };
        let whole = norms("batch.unit=7");
        for unit in ["batch.unit=1", "batch.unit=2", "batch.unit=3", "batch.unit=64"] {
            let (loss, norm) = norms(unit);
            // Sums of the same numbers in another order.
            assert!((loss - whole.0).abs() < 1e-6 * whole.0, "{unit}: {loss} and {}", whole.0);
            assert!((norm - whole.1).abs() < 1e-5 * whole.1, "{unit}: {norm} and {}", whole.1);
        }
    }
}

#[test]
fn a_step_that_meets_a_number_that_is_not_finite_changes_neither_weights_nor_the_optimiser() {
    let text = stories(0, 5000);
    for settings in [&["float=true"][..], &[], &["fogzo_from=0"], &["mixture.experts=3"]] {
        let (mut training, _) = run(settings, &text, 2);
        let left = |training: &Training| {
            let state = training.updating.optimiser.state();
            let arrays: Vec<Vec<f32>> =
                state.arrays().iter().map(|array| array.values.to_vec()).collect();
            (tensors(training.model()), latent_bits(training.model()), arrays, state.times())
        };
        // A gain that is not finite makes activations that are not.
        let gain = training.model.parameters().ids().find(|&id| {
            training.model.parameters().name(id) == "model.layers.0.input_layernorm.weight"
        });
        let gain = gain.unwrap();
        let mut kept = 0.0;
        let set = |training: &mut Training, value: f32, kept: &mut f32| {
            training.model.visit_mut(&mut |id, values| {
                if let (true, ValuesMut::Real(gains)) = (id == gain, values) {
                    *kept = std::mem::replace(&mut gains[0], value);
                }
            });
        };
        let before = left(&training);
        set(&mut training, f32::INFINITY, &mut kept);
        let Step::Skipped(skipped) = training.step(2).unwrap() else { panic!("{settings:?}") };
        assert!(!skipped.value.is_finite() && !skipped.what.is_empty(), "{skipped:?}");
        let restored = kept;
        set(&mut training, restored, &mut kept);
        assert!(left(&training) == before, "{settings:?}");
        // It went on in the data: the next step is the third, and not the second again.
        training.step(3).unwrap().taken();
    }
}
