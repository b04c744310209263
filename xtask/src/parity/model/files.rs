//! The files of a case of a whole model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use interop::adapters::peft;
use lora_backward::Adapters;
use nn::Compute;
use serde_json::Value;

use crate::fixtures::Result;
use crate::fixtures::layer::same_shapes;
use crate::fixtures::model::{
    ADAPTER, ADAPTER_PREFIX, BASE, Batch, EXPECTED, Expected, REFERENCE, TOKENS, TRAINED, batches,
};
use crate::parity::folder::{Folder, Read};
use crate::parity::{Outcome, library};

/// What names of a text model begin with, and those of one that also sees.
const TEXT: &str = "model.";
const NESTED: &str = "model.language_model.";

/// All that a case is made of.
#[derive(Debug)]
pub(super) struct Files {
    folder: Folder,
    pub(super) reference: Read,
    pub(super) expected: Expected,
    pub(super) batches: Vec<Batch>,
    pub(super) adapters: Adapters<f64>,
    /// The names of the adapter's tensors in its file, by those of the parameters that they are.
    names: BTreeMap<String, String>,
}

impl Files {
    /// Reads a case, but for the base, which is for the reader of models, and for what training leads to.
    pub(super) fn open(path: &Path) -> Outcome<Self> {
        let mut folder = Folder::open(path)?;
        mark_base(&mut folder)?;
        folder.file(TRAINED);
        let mut expected: Expected = folder.json(EXPECTED)?;
        let reference = folder.tensors(REFERENCE)?;
        same_shapes(&expected.shapes.ref_f64, reference.all())?;
        let recorded = serde_json::to_value(&expected.f32_vs_f64_rel_err)?;
        expected.f32_vs_f64_rel_err = library::checked(&mut folder, &recorded, &reference)?;

        let mut tokens = folder.tensors(TOKENS)?;
        let batches = batches(tokens.all())?;
        for name in ["input_ids", "labels"] {
            tokens.get(name)?;
        }
        tokens.finish()?;

        folder.file(Path::new(ADAPTER).join("adapter_config.json"));
        let adapters = peft::read::<f64>(&path.join(ADAPTER))?;
        if adapters.is_empty() {
            return Err("the adapter is on no module".into());
        }
        for (module, adapter) in adapters.iter() {
            let (found, expected) = (expected.lora_scale, adapter.factor());
            if (found - expected).abs() > 1e-12 * expected.abs() {
                return Err(format!("lora_scale is {found}, not {expected}: {module}").into());
            }
        }
        let tensors = folder.tensors(&format!("{ADAPTER}/adapter_model.safetensors"))?;
        let names = tensors.all().keys().map(|name| (parameter(name), name.clone())).collect();
        Ok(Self { folder, reference, expected, batches, adapters, names })
    }

    /// The directory of the model.
    pub(super) fn base(&self) -> PathBuf {
        self.folder.path().join(BASE)
    }

    /// The adapters in numbers of some type, as PEFT's directories are read.
    pub(super) fn adapters<T: Compute>(&self) -> Outcome<Adapters<T>> {
        Ok(peft::read(&self.folder.path().join(ADAPTER))?)
    }

    /// What training leads to.
    pub(super) fn trained(&mut self) -> Result<Read> {
        self.folder.tensors(TRAINED)
    }

    /// The name that a parameter of the adapter has in its file.
    pub(super) fn in_file(&self, parameter: &str) -> Outcome<&str> {
        let name = self.names.get(parameter).map(String::as_str);
        Ok(name.ok_or_else(|| format!("the adapter has no tensor for the parameter {parameter}"))?)
    }

    /// Refuses what nobody read.
    pub(super) fn finish(self) -> Result<()> {
        self.reference.finish()?;
        self.folder.finish()
    }
}

/// Marks the files that a reader of models opens: the configuration and the weights, in one file or in those that the index names.
fn mark_base(folder: &mut Folder) -> Result<()> {
    let base = Path::new(BASE);
    folder.file(base.join("config.json"));
    let index = "model.safetensors.index.json";
    if !folder.has(&format!("{BASE}/{index}")) {
        folder.file(base.join("model.safetensors"));
        return Ok(());
    }
    let index: Value = folder.json(base.join(index))?;
    let places = index["weight_map"].as_object().into_iter().flatten();
    let files: BTreeSet<&str> = places.filter_map(|(_, file)| file.as_str()).collect();
    for file in files {
        folder.file(base.join(file));
    }
    Ok(())
}

/// The parameter that a tensor of the adapter is: both prefixes are in use for the layers of a model of text.
fn parameter(in_file: &str) -> String {
    let path = in_file.strip_prefix(ADAPTER_PREFIX).unwrap_or(in_file);
    match path.strip_prefix(NESTED) {
        Some(rest) => format!("{TEXT}{rest}"),
        None => path.to_owned(),
    }
}
