//! Beside models that are kept in less memory.

use nn::{Module, Values};

use super::*;

/// How each tensor of a model is kept.
fn kinds(model: &Decoder<f32>) -> Vec<(String, &'static str)> {
    let mut kinds = Vec::new();
    model.visit(&mut |tensor| {
        let kind = match tensor.values {
            Values::Ternary { .. } => "ternary",
            Values::Bf16 { .. } => "bf16",
            _ => "f32",
        };
        kinds.push((tensor.name.to_owned(), kind));
    });
    kinds
}

#[test]
fn adapters_learn_beside_a_model_in_less_memory_and_find_it_so_again() {
    let folder = prepared();
    let model = folder.path().join("model");
    let before = fs::read(model.join("model.safetensors")).unwrap();
    for base in ["bf16", "ternary"] {
        let setting = format!("lora.base={base}");
        let configuration = configuration(&folder, base, &[&setting]);
        let kept = kinds(&build_adapted(&configuration));
        let name = "model.layers.0.mlp.up_proj.weight";
        assert!(kept.contains(&(name.to_owned(), base)), "{kept:?}");
        assert_eq!(train(&configuration, &Disk).unwrap().steps, STEPS);
        let run = folder.path().join(base);
        for place in [run.clone(), run.join("adapter")] {
            let adapted = crate::adapters::open(&model, Some(&place)).unwrap();
            assert_eq!(kinds(&adapted), kept, "{}", place.display());
        }
        // Of adapters alone it is not known what they trained beside.
        let alone = TemporaryFolder::new();
        for name in ["adapter_config.json", "adapter_model.safetensors"] {
            fs::copy(run.join("adapter").join(name), alone.path().join(name)).unwrap();
        }
        let adapted = crate::adapters::open(&model, Some(alone.path())).unwrap();
        assert!(kinds(&adapted).iter().all(|(_, kind)| *kind == "f32"));
    }
    assert!(fs::read(model.join("model.safetensors")).unwrap() == before);
}

#[test]
fn how_a_model_is_kept_is_one_of_three_names() {
    let mut layers = Layers::default();
    let error =
        layers.add_assignments(["lora.base=int8"]).and_then(|()| layers.resolve().map(drop));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("how a model is kept: f32, bf16, ternary"), "{error}");
}
