use super::*;
use crate::config::Layers;
use crate::run::build;
use crate::temporary::TemporaryFolder;

fn saved(folder: &Path, settings: &[&str]) {
    let mut layers = Layers::default();
    layers.add_assignments(["model.width=32", "model.layers=1", "model.feed_forward=48"]).unwrap();
    layers.add_assignments(settings.iter().copied()).unwrap();
    interop::save(&build(&layers.resolve().unwrap(), crate::data::VOCABULARY).unwrap(), folder)
        .unwrap();
}

#[test]
fn every_tensor_of_a_model_is_told_with_its_trits_and_the_totals_are_their_sums() {
    let folder = TemporaryFolder::new();
    saved(&folder.path().join("model"), &["ternary.granularity=row"]);
    folder.file("config.toml", "");
    // The folder of the run is as good as that of the model.
    let inspection = Inspection::open(folder.path()).unwrap();
    assert_eq!(inspection.model, folder.path().join("model"));
    let up =
        inspection.tensors.iter().find(|tensor| tensor.name.ends_with("up_proj.weight")).unwrap();
    let trits = up.trits.as_ref().unwrap();
    assert_eq!((&up.shape[..], trits.groups), (&[48, 32][..], 48));
    assert_eq!(trits.negative + trits.zero + trits.positive, 48 * 32);
    assert_eq!(trits.scale_histogram.iter().sum::<usize>(), 48);
    let bytes: usize = inspection.tensors.iter().map(|tensor| tensor.bytes).sum();
    assert_eq!(inspection.ternary.bytes + inspection.real.bytes, bytes);
    assert!(inspection.real.sparsity.is_none() && inspection.ternary.sparsity.unwrap() > 0.2);
    let table = inspection.to_string();
    assert!(
        table.contains("48×32") && table.contains("0000++++") && table.contains("times less"),
        "{table}"
    );
    let json = serde_json::to_value(&inspection).unwrap();
    let up = json["tensors"].as_array().unwrap().iter().find(|tensor| tensor["name"] == up.name);
    assert!(up.unwrap()["scale"]["mean"].as_f64().unwrap() > 0.0, "{json}");
}

#[test]
fn a_model_of_floats_has_no_trits() {
    let folder = TemporaryFolder::new();
    saved(folder.path(), &["float=true"]);
    let inspection = Inspection::open(folder.path()).unwrap();
    assert_eq!(inspection.ternary, Total::default());
    assert!(inspection.tensors.iter().all(|tensor| tensor.trits.is_none()));
    assert!(inspection.to_string().contains("1.0 times less"));
}

#[test]
fn a_folder_without_a_model_says_what_is_missing() {
    let folder = TemporaryFolder::new();
    let said = Inspection::open(folder.path()).unwrap_err().to_string();
    assert!(said.contains("config.json"), "{said}");
    folder.file("config.toml", "");
    let said = Inspection::open(folder.path()).unwrap_err().to_string();
    assert_eq!(said, crate::run::model_folder(folder.path()).unwrap_err().to_string());
    assert!(said.contains("found config.toml"), "{said}");
    assert!(Inspection::open(&folder.path().join("no")).is_err());
}
