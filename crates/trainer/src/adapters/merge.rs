//! [`merge`]: one model of a model and its adapters.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use interop::Kind;
use interop::manifest::MANIFEST;
use serde_json::{Map, Value};

use super::open;
use crate::error::{Error, Result};
use crate::run::{adapter_folder, names};

/// Files that go with a model: what its tokens are, and how it is talked with.
const OTHERS: [&str; 3] = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"];
/// The file that says when it ends a text.
const GENERATION: &str = "generation_config.json";
const ENDS: &str = "eos_token_id";
/// The configuration of a model.
const CONFIG: &str = "config.json";
/// The weights of a model that is written, and how names of weights in several files begin and go on.
const WEIGHTS: &str = "model.safetensors";
const OF_WEIGHTS: [&str; 2] = ["model", ".safetensors"];

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
/// on, of whatever kind they were; the others are as the adapters have trained beside them.
///
/// # Errors
/// Folders that cannot be read, adapters for another model, a model in the way of the new one, files that cannot be
/// written: what was there is as it was then. Files of the model that was replaced that cannot be removed: then the new
/// one is there with them.
pub fn merge(request: &MergeRequest) -> Result<Merged> {
    let MergeRequest { model, adapter, out, .. } = request;
    check_place(request)?;
    let decoder = open(model, Some(adapter))?;
    let mut others = Vec::new();
    for name in OTHERS {
        others.extend(read_if_there(&model.join(name))?.map(|bytes| (name, bytes)));
    }
    others.extend(generation(model)?.map(|bytes| (GENERATION, bytes)));
    interop::save_merged(&decoder, out, &others)?;
    remove_old(out, |name| others.iter().any(|(written, _)| *written == name))?;
    Ok(Merged { modules: decoder.adapters().len(), out: out.clone() })
}

/// What says when the merged model ends a text, if the model says so anywhere: the file that it has for that, with the
/// tokens that otherwise only its configuration has, which the merged model has another one in the place of.
fn generation(model: &Path) -> Result<Option<Vec<u8>>> {
    let path = model.join(GENERATION);
    let ends = interop::end_tokens(model)?;
    let there = read_if_there(&path)?;
    let mut fields: Map<String, Value> = match &there {
        Some(bytes) => serde_json::from_slice(bytes).map_err(|error| Error::RunFile {
            path,
            expected: "a JSON object".to_owned(),
            found: error.to_string(),
        })?,
        None => Map::new(),
    };
    if ends.is_empty() || fields.get(ENDS).is_some_and(|ends| !ends.is_null()) {
        return Ok(there);
    }
    fields.insert(ENDS.to_owned(), ends.into());
    Ok(Some(format!("{:#}\n", Value::Object(fields)).into_bytes()))
}

/// Removes the files of the model that was replaced which would be taken for those of the new one.
fn remove_old(out: &Path, is_written: impl Fn(&str) -> bool) -> Result<()> {
    let [first, then] = OF_WEIGHTS;
    let is_of_weights = |name: &str| name.starts_with(first) && name.contains(then);
    let is_of_model = |name: &str| {
        OTHERS.contains(&name) || name == GENERATION || name != WEIGHTS && is_of_weights(name)
    };
    for entry in fs::read_dir(out).map_err(Error::file("read the folder", out))? {
        let entry = entry.map_err(Error::file("read the folder", out))?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| is_of_model(name) && !is_written(name)) {
            let path = entry.path();
            fs::remove_file(&path).map_err(Error::file("remove", &path))?;
        }
    }
    Ok(())
}

/// The bytes of a file, if it is there.
fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("read", path)(error)),
    }
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
    // Another's model has files that are not known here, and adapters have a manifest too.
    if out.join(MANIFEST).is_file() && Kind::of(out).is_ok_and(|kind| kind == Kind::Packed) {
        return if *force { Ok(()) } else { Err(Error::WouldReplace { path: out.clone() }) };
    }
    // What a command that was killed has not finished is nothing yet.
    let is_unfinished = |name: &str| {
        let name = name.strip_suffix(".new");
        let of_model = [CONFIG, WEIGHTS, MANIFEST, GENERATION];
        name.is_some_and(|name| of_model.contains(&name) || OTHERS.contains(&name))
    };
    let names = names(out)?;
    let Some(found) = names.into_iter().find(|name| !is_unfinished(name)) else { return Ok(()) };
    let expected =
        "a new or empty folder, or with --force that of a model as runs and merge leave it"
            .to_owned();
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
    fn a_merged_model_ends_texts_where_the_model_does() {
        let folder = prepared(WeightKind::Dense);
        let request = request(&folder, "merged");
        let config = fs::read_to_string(request.model.join("config.json")).unwrap();
        // As models of Hugging Face have it, nothing of which is in the configuration of a merged one.
        fs::remove_file(request.model.join(MANIFEST)).unwrap();
        let with_ends = config.replacen('{', r#"{"eos_token_id": [7, 9],"#, 1);
        let ends = |folder: &Path| interop::end_tokens(folder).unwrap();
        for (generation, expected) in [
            (None, r#"{"eos_token_id":[7,9]}"#),
            (Some(r#"{"top_k": 3}"#), r#"{"eos_token_id":[7,9],"top_k":3}"#),
            (Some(r#"{"eos_token_id": 5}"#), r#"{"eos_token_id":5}"#),
        ] {
            let path = request.model.join(GENERATION);
            let _ = fs::remove_file(&path);
            if let Some(text) = generation {
                fs::write(&path, text).unwrap();
            }
            // The configuration of a model of ours takes no other keys.
            fs::write(request.model.join("config.json"), &with_ends).unwrap();
            let found = super::generation(&request.model).unwrap().unwrap();
            let found: Value = serde_json::from_slice(&found).unwrap();
            assert_eq!(found.to_string(), expected);
            let expected = ends(&request.model);
            fs::write(request.model.join("config.json"), &config).unwrap();
            fs::write(&path, found.to_string()).unwrap();
            merge(&MergeRequest { force: true, ..request.clone() }).unwrap();
            assert_eq!(ends(&request.out), expected);
        }
        fs::remove_file(request.model.join(GENERATION)).unwrap();
        assert_eq!(super::generation(&request.model).unwrap(), None);
    }

    #[test]
    fn nothing_of_a_model_that_is_replaced_is_taken_for_the_new_one() {
        let folder = prepared(WeightKind::Dense);
        let mut request = request(&folder, "merged");
        merge(&request).unwrap();
        let old = [
            "tokenizer.json",
            "tokenizer_config.json",
            "generation_config.json",
            "model.safetensors.index.json",
            "model-00001-of-00002.safetensors",
        ];
        for name in old.iter().chain(&["notes.txt", "adapter_model.safetensors"]) {
            folder.file(&format!("merged/{name}"), "{}");
        }
        request.force = true;
        merge(&request).unwrap();
        assert!(old.iter().all(|name| !request.out.join(name).exists()));
        for name in ["notes.txt", "adapter_model.safetensors", "chat_template.jinja", WEIGHTS] {
            assert!(request.out.join(name).exists(), "{name}");
        }
        // The same without a manifest could be a model of somebody else.
        fs::remove_file(request.out.join(MANIFEST)).unwrap();
        let said = merge(&request).unwrap_err().to_string();
        assert!(said.contains("that of a model as runs and merge leave it"), "{said}");
        assert!(request.out.join("notes.txt").exists());
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
