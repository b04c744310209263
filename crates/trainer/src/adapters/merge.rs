//! [`merge`]: one model of a model and its adapters.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use super::open;
use crate::error::{Error, Result};
use crate::run::adapter_folder;

/// Files that go with a model: what its tokens are, when it ends a text, and how it is talked with.
const OTHERS: [&str; 4] =
    ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"];

/// What `ternary merge` is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeRequest {
    /// The folder of the model.
    pub model: PathBuf,
    /// The folder of its adapters, or of the run that has trained them.
    pub adapter: PathBuf,
    /// Where the merged model goes.
    pub out: PathBuf,
    /// Whether a model that is there is replaced.
    pub force: bool,
}

/// A model that was merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// Projections that had an adapter.
    pub modules: usize,
    /// Where the model is.
    pub out: PathBuf,
}

impl Merged {
    /// The same as a JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "modules": self.modules, "out": self.out })
    }
}

impl fmt::Display for Merged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "merged {} adapters into the model {}", self.modules, self.out.display())
    }
}

/// Writes a model with its adapters merged into it, as runs leave theirs. Adapted projections are real numbers from then
/// on, of whatever kind they were.
///
/// # Errors
/// Folders that cannot be read, adapters for another model, a model in the way of the new one, files that cannot be
/// written. Nothing is left then.
pub fn merge(request: &MergeRequest) -> Result<Merged> {
    let MergeRequest { model, adapter, out, .. } = request;
    check_place(request)?;
    let decoder = open(model, Some(adapter))?;
    let mut others = Vec::new();
    for name in OTHERS {
        let path = model.join(name);
        match fs::read(&path) {
            Ok(bytes) => others.push((name, bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::file("read", &path)(error)),
        }
    }
    interop::save_merged(&decoder, out, &others)?;
    Ok(Merged { modules: decoder.adapters().len(), out: out.clone() })
}

/// Checks that the merged model takes the place of nothing but a model, where that is asked for, and of none that is read.
fn check_place(request: &MergeRequest) -> Result<()> {
    let MergeRequest { model, adapter, out, force } = request;
    let Ok(place) = out.canonicalize() else { return Ok(()) };
    for (read, flag) in [(model, "model"), (&adapter_folder(adapter)?, "adapter")] {
        if read.canonicalize().is_ok_and(|read| read == place) {
            return Err(Error::Needed { path: out.clone(), flag });
        }
    }
    if out.join("config.json").exists() {
        return if *force { Ok(()) } else { Err(Error::WouldReplace { path: out.clone() }) };
    }
    let mut entries = fs::read_dir(out).map_err(Error::file("read the folder", out))?;
    let Some(entry) = entries.next() else { return Ok(()) };
    let entry = entry.map_err(Error::file("read the folder", out))?;
    let found = entry.file_name().to_string_lossy().into_owned();
    let expected = "a new or empty folder, or with --force that of a model".to_owned();
    Err(Error::RunFile { path: out.clone(), expected, found })
}

#[cfg(test)]
mod tests {
    use interop::adapters::{Options, peft};
    use interop::lora_backward::{Adapter, Adapters, Scaling};
    use models::{Decoder, DecoderConfig, Initial, WeightKind};
    use nn::{BitLinearOptions, Sequences, Tape};

    use super::*;
    use crate::temporary::TemporaryFolder;

    /// A model and adapters of all of its projections, in folders.
    fn prepared(kind: WeightKind) -> TemporaryFolder {
        let folder = TemporaryFolder::new();
        let config = DecoderConfig { layers: 4, ..DecoderConfig::hybrid() };
        let model = Decoder::build(config, &mut Initial { seed: 1, kind }).unwrap();
        interop::save(&model, &folder.path().join("model")).unwrap();
        let scaling = Scaling { alpha: 4.0, rank_stabilised: false };
        let mut adapters = Adapters::<f32>::default();
        for place in model.places() {
            let shape = [place.outputs, place.inputs];
            let mut adapter = Adapter::kaiming(&place.name, shape, 2, scaling, 1).unwrap();
            let b = (0..adapter.b.len()).map(|i| ((i * 37 % 19) as f32 - 9.0) * 1e-3);
            adapter.b = b.collect();
            adapters.insert(place.name, adapter).unwrap();
        }
        peft::write(&folder.path().join("adapter"), &adapters, &Options::default()).unwrap();
        folder.file("model/chat_template.jinja", "{{ messages }}");
        folder
    }

    fn request(folder: &TemporaryFolder, out: &str) -> MergeRequest {
        let path = |name: &str| folder.path().join(name);
        let (model, adapter, out) = (path("model"), path("adapter"), path(out));
        MergeRequest { model, adapter, out, force: false }
    }

    fn scores(model: &Decoder<f32>) -> Vec<f32> {
        let sequences = Sequences { count: 1, length: 5 };
        model.scores(&[72, 101, 108, 108, 111], sequences, &mut Tape::inference()).unwrap()
    }

    #[test]
    fn a_merged_model_computes_what_the_model_does_with_its_adapters_merged() {
        let options = BitLinearOptions::default();
        let ternary = WeightKind::Ternary {
            options,
            shadow: models::Shadow::F32,
            embedding: false,
            head: true,
            sync: nn::ScaleSync::PerMatrix,
        };
        for kind in [WeightKind::Dense, ternary] {
            let folder = prepared(kind);
            let request = request(&folder, "merged");
            let merged = merge(&request).unwrap();
            let mut adapted = open(&request.model, Some(&request.adapter)).unwrap();
            let (plain, beside) = (interop::open(&request.model).unwrap(), scores(&adapted));
            assert_eq!(merged.modules, adapted.adapters().len());
            adapted.merge().unwrap();
            let (expected, found) =
                (scores(&adapted), scores(&interop::open(&request.out).unwrap()));
            let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            let distance = |a: &[f32], b: &[f32]| {
                a.iter().zip(b).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs())) / largest
            };
            assert!(distance(&found, &expected) < 1e-5, "{}", distance(&found, &expected));
            assert!(distance(&scores(&plain), &expected) > 1e-3);
            assert!(distance(&beside, &expected) < 0.1);
            assert!(request.out.join("chat_template.jinja").exists());
        }
    }

    #[test]
    fn a_model_is_not_replaced_unless_that_is_asked_for_and_never_that_which_is_read() {
        let folder = prepared(WeightKind::Dense);
        let mut request = request(&folder, "merged");
        merge(&request).unwrap();
        assert!(merge(&request).unwrap_err().to_string().contains("--force"));
        request.force = true;
        merge(&request).unwrap();
        request.out.clone_from(&request.model);
        assert!(merge(&request).unwrap_err().to_string().contains("--model reads from it"));
        request.out.clone_from(&request.adapter);
        assert!(merge(&request).unwrap_err().to_string().contains("--adapter reads from it"));
        request.out = folder.path().to_owned();
        let said = merge(&request).unwrap_err().to_string();
        assert!(said.contains("expected a new or empty folder"), "{said}");
        request.out = folder.path().join("other");
        request.adapter = folder.path().join("model");
        assert!(merge(&request).is_err() && !request.out.exists());
    }
}
