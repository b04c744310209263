//! Tests of what moves latent weights besides the gradient: weights that are zero as a bias, and the pull.

use super::*;

#[test]
fn weights_that_are_zero_are_a_bias_of_every_projection_but_no_table() {
    let text = stories(0, 5000);
    for latent in ["ternary.latent=f32", "ternary.latent=bf16"] {
        let (training, steps) =
            run(&["steps=40", "ste=tequila", "ternary.embedding=true", latent], &text, 40);
        let mean = |steps: &[Taken]| steps.iter().map(|step| step.loss).sum::<f64>() / 10.0;
        assert!(mean(&steps[30..]) < mean(&steps[..10]) - 0.2, "{steps:?}");
        training.model().visit(&mut |tensor| {
            if let Values::Ternary { bias, .. } = tensor.values {
                assert_eq!(bias.is_none(), tensor.name.contains("embed"), "{}", tensor.name);
                assert!(bias.is_none_or(|bias| bias.iter().any(|&b| b != 0.0)), "{}", tensor.name);
            }
        });
        let directory = crate::temporary::TemporaryFolder::new();
        interop::save(training.model(), directory.path()).unwrap();
        let loaded = interop::load(directory.path()).unwrap();
        let loss = |model: &Decoder<f32>| {
            model.loss(training.examples.whole(), &mut Tape::recording()).unwrap()
        };
        assert_eq!(loss(&loaded), loss(training.model()));
    }
}

#[test]
fn with_and_without_that_bias_training_starts_from_the_same_weights() {
    let text = stories(0, 5000);
    let (plain, _) = run(&[], &text, 0);
    let (biased, _) = run(&["ste=tequila"], &text, 0);
    assert!(tensors(biased.model()) == tensors(plain.model()));
}

/// The mean distance of latent weights from what they are rounded to, in scales.
fn distance(model: &Decoder<f32>) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    model.visit(&mut |tensor| {
        if let Values::Ternary { matrix, latent: Some(latent), .. } = tensor.values {
            let latent: Vec<f32> = match latent {
                ternary_core::Weights::F32(latent) => latent.to_vec(),
                ternary_core::Weights::Bf16(latent) => latent.iter().map(|w| w.to_f32()).collect(),
                ternary_core::Weights::F16(latent) => latent.iter().map(|w| w.to_f32()).collect(),
            };
            let scale = f64::from(matrix.scales().positive()[0]);
            let apart = latent.iter().zip(matrix.to_f32()).map(|(w, q)| f64::from((w - q).abs()));
            sum += apart.sum::<f64>() / scale;
            count += latent.len();
        }
    });
    sum / f64::from(count as u32)
}

#[test]
fn the_pull_begins_at_its_share_and_brings_latent_weights_to_the_grid() {
    let text = stories(0, 5000);
    for latent in ["ternary.latent=f32", "ternary.latent=bf16"] {
        let settings = ["steps=40", "ternary.pull_from=0.5", latent];
        let with = |pull: &'static str| [&settings[..], &[pull]].concat();
        let (free, free_steps) = run(&settings, &text, 40);
        let (pulled, steps) = run(&with("ternary.pull=100"), &text, 40);
        // The update after 21 steps is the first that is pulled; it shows in the loss of the next.
        let losses = |steps: &[Taken]| steps.iter().map(|step| step.loss).collect::<Vec<_>>();
        assert_eq!(losses(&steps)[..21], losses(&free_steps)[..21]);
        assert_ne!(losses(&steps)[21..], losses(&free_steps)[21..]);
        let (free, pulled) = (distance(free.model()), distance(pulled.model()));
        assert!(pulled < 0.8 * free, "{latent}: {pulled} and {free}");
        assert!(
            tensors(run(&with("ternary.pull=0"), &text, 5).0.model())
                == tensors(run(&settings, &text, 5).0.model())
        );
    }
}

#[test]
fn with_a_pull_the_bits_are_the_same_on_any_number_of_threads() {
    let text = stories(0, 5000);
    let settings =
        ["ste=cage", "ternary.pull_from=0", "ternary.latent=bf16", "ternary.dead_bias=0.1"];
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| tensors(run(&settings, &text, 3).0.model()))
    };
    let one = on(1);
    assert!(on(2) == one && on(3) == one);
}
