use models::{Decoder, Initial, Mixture, WeightKind};
use nn::{Sequences, Tape};
use ternary_core::Weights;

use super::*;
use crate::config::{Configuration, Layers};
use crate::data::VOCABULARY;
use crate::run::model::build;
use crate::temporary::TemporaryFolder;

const SMALL: [&str; 4] =
    ["model.width=16", "model.layers=2", "model.feed_forward=24", "batch.length=8"];

fn configuration(sets: &[&str]) -> Configuration {
    let mut layers = Layers::default();
    layers.add_assignments(SMALL).unwrap();
    layers.add_assignments(sets.iter().copied()).unwrap();
    layers.resolve().unwrap()
}

/// A model with some settings, saved in a folder; what follows starts from there.
fn saved(sets: &[&str]) -> (TemporaryFolder, Decoder<f32>) {
    let folder = TemporaryFolder::new();
    let model = build(&configuration(sets), VOCABULARY).unwrap();
    interop::save(&model, &folder.path().join("model")).unwrap();
    (folder, model)
}

fn start(folder: &TemporaryFolder, sets: &[&str]) -> Result<Decoder<f32>> {
    let from = format!("from={}", folder.path().join("model").display());
    build(&configuration(&[sets, &[&from]].concat()), VOCABULARY)
}

fn scores(model: &Decoder<f32>) -> Vec<f32> {
    let tokens: Vec<u32> = (0..16).map(|i| i * 37 % 256).collect();
    let sequences = Sequences { count: 2, length: 8 };
    model.scores(&tokens, sequences, &mut Tape::inference()).unwrap()
}

fn tensor(model: &Decoder<f32>, name: &str) -> Vec<f32> {
    let mut found = None;
    model.visit(&mut |tensor| match tensor.values {
        Values::Real(values) if tensor.name == name => found = Some(values.to_vec()),
        _ => {}
    });
    found.unwrap()
}

#[test]
fn a_model_of_the_same_shape_goes_on_bit_for_bit() {
    for sets in [
        &["float=true"][..],
        &["float=true", "mixture.experts=3", "mixture.shared=true"],
        &["float=true", "model.per_layer_embedding=4"],
    ] {
        let (folder, model) = saved(sets);
        let again = start(&folder, &[sets, &["seed=9"]].concat()).unwrap();
        assert_eq!(scores(&again), scores(&model));
    }
}

#[test]
fn the_float_weights_are_the_latent_ones_of_a_ternary_model() {
    let (folder, model) = saved(&["float=true"]);
    let ternary = start(&folder, &["seed=9"]).unwrap();
    let name = "model.layers.1.mlp.up_proj.weight";
    let mut compared = false;
    ternary.visit(&mut |tensor_of| {
        if let Values::Ternary { latent: Some(Weights::F32(latent)), .. } = tensor_of.values
            && tensor_of.name == name
        {
            compared = true;
            assert_eq!(latent, tensor(&model, name));
        }
    });
    assert!(compared);
}

#[test]
fn exact_copies_without_a_shared_expert_are_the_dense_model() {
    let (folder, dense) = saved(&["float=true"]);
    let mixture =
        start(&folder, &["float=true", "seed=5", "mixture.experts=4", "mixture.used=3"]).unwrap();
    let expected = scores(&dense);
    for (found, expected) in scores(&mixture).iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-5, "{found} and {expected}");
    }
}

#[test]
fn the_noise_of_copies_is_seeded_and_the_shared_expert_has_none() {
    let (folder, dense) = saved(&["float=true"]);
    let sets = ["float=true", "mixture.experts=4", "mixture.shared=true", "mixture.noise=0.25"];
    let of = |seed: &str| start(&folder, &[&sets[..], &[seed]].concat()).unwrap();
    assert_eq!(scores(&of("seed=1")), scores(&of("seed=1")));
    let (one, two) = (of("seed=1"), of("seed=2"));
    let own = tensor(&dense, "model.layers.0.mlp.down_proj.weight");
    let expert = |model, index: usize| {
        tensor(model, &format!("model.layers.0.mlp.experts.{index}.down_proj.weight"))
    };
    assert_ne!(expert(&one, 0), expert(&two, 0));
    assert_ne!(expert(&one, 0), expert(&one, 1));
    assert_eq!(tensor(&one, "model.layers.0.mlp.shared_expert.down_proj.weight"), own);
    let size = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
    let noise = size(&mut expert(&one, 3).iter().zip(&own).map(|(a, b)| a - b));
    let share = noise / size(&mut own.iter().copied());
    assert!((0.2..0.3).contains(&share), "{share}");
    let router = |model| tensor(model, "model.layers.1.mlp.gate.weight");
    assert_ne!(router(&one), router(&two));
}

#[test]
fn a_model_that_does_not_fit_is_refused_by_what_does_not() {
    let (dense, _) = saved(&["float=true"]);
    for (sets, expected) in [
        (&["model.feed_forward=12"][..], "model.feed_forward: expected 12, found 24"),
        (&["mixture.experts=2", "model.feed_forward=48"], "model.feed_forward: expected 48"),
        (&["model.layers=1"], "model.layers: expected 1, found 2"),
        (&["model.rope_base=100"], "model.rope_base: expected 100, found 10000"),
        (&["model.nonlinearity=gelu"], "model.nonlinearity: expected Gelu, found SwiGlu"),
        (&["model.per_layer_embedding=4"], "model.per_layer_embedding: expected 4, found 0"),
    ] {
        let error = start(&dense, sets).unwrap_err().to_string();
        assert!(error.starts_with("cannot start from ") && error.contains(expected), "{error}");
    }
    let (mixture, _) = saved(&["float=true", "mixture.experts=2"]);
    let error = start(&mixture, &["float=true"]).unwrap_err().to_string();
    assert!(error.contains("mixture.experts: expected 0, found 2"), "{error}");
    let experts = ["float=true", "mixture.experts=2"];
    let error = start(&mixture, &[&experts[..], &["mixture.noise=0.5"]].concat()).unwrap_err();
    assert!(error.to_string().contains("mixture.noise: expected 0 where experts"), "{error}");
    let (tables, _) = saved(&["float=true", "model.per_layer_embedding=4"]);
    let error = start(&tables, &["float=true"]).unwrap_err().to_string();
    assert!(error.contains("model.per_layer_embedding: expected 0, found 4"), "{error}");
    let (ternary, _) = saved(&[]);
    let error = start(&ternary, &[]).unwrap_err().to_string();
    assert!(error.contains("expected float weights, as train --float leaves them"), "{error}");
    let error = start(&TemporaryFolder::new(), &[]).unwrap_err();
    assert!(matches!(error, Error::ModelFolder(_)), "{error}");
}

#[test]
fn a_tensor_that_the_model_should_have_is_missed() {
    let folder = TemporaryFolder::new();
    let shape = DecoderConfig {
        mixture: Some(Mixture {
            experts: 2,
            used: 1,
            width: 384,
            shared: None,
            dense_layers: Vec::new(),
            balance: 0.0,
            z: 0.0,
        }),
        layers: 1,
        ..DecoderConfig::tiny()
    };
    let mut initial = Initial { seed: 1, kind: WeightKind::Dense };
    let model = Decoder::<f32>::build(shape.clone(), &mut initial).unwrap();
    interop::save(&model, folder.path()).unwrap();
    let mut saved = Saved::read(folder.path(), &shape, 0.0, 1).unwrap();
    for name in ["model.layers.0.mlp.experts.2.up_proj.weight", "lm_head.weight"] {
        let error = saved.values(name).unwrap_err().to_string();
        assert!(error.contains(&format!("{name}: expected a tensor of this name")), "{error}");
    }
}

#[test]
fn a_tensor_that_the_model_to_train_does_not_have_is_not_lost_in_silence() {
    let (folder, _) = saved(&["float=true"]);
    let model = folder.path().join("model");
    let path = model.join("model.safetensors");
    let mut tensors = interop::Tensors::from_bytes(&std::fs::read(&path).unwrap()).unwrap();
    let bias = "model.layers.1.self_attn.o_proj.bias";
    tensors.insert_real(bias, &[16], vec![0.5; 16]).unwrap();
    let mut bytes = Vec::new();
    tensors.write(&mut bytes).unwrap();
    std::fs::write(&path, bytes).unwrap();
    std::fs::remove_file(model.join("manifest.json")).unwrap();
    let error = start(&folder, &["float=true"]).unwrap_err().to_string();
    assert!(
        error.contains(&format!("{bias}: expected none of this name, found a tensor")),
        "{error}"
    );
}
