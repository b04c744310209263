//! The files of a case of a whole model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::fixtures::layer::same_shapes;
use crate::fixtures::model::{
    ADAPTER, ADAPTER_PREFIX, BASE, Batch, EXPECTED, Expected, REFERENCE, TOKENS, TRAINED, batches,
    scale,
};
use crate::fixtures::tensors::Tensor;
use crate::fixtures::{Error, Result};
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
    pub(super) scale: f64,
    /// A and B of each module, by its name in a text model.
    pub(super) modules: Modules,
    /// What the names in the file of the adapter begin with where those of a text model begin with `model.`.
    prefix: String,
}

type Modules = BTreeMap<String, (Tensor, Tensor)>;

impl Files {
    /// Reads a case, but for the base, which is for the reader of models.
    pub(super) fn open(path: &Path) -> Outcome<Self> {
        let mut folder = Folder::open(path)?;
        mark_base(&mut folder)?;
        // What training leads to is for the training of adapters.
        folder.file(TRAINED);
        let expected: Expected = folder.json(EXPECTED)?;
        let reference = folder.tensors(REFERENCE)?;
        same_shapes(&expected.shapes.ref_f64, reference.all())?;
        let recorded = serde_json::to_value(&expected.f32_vs_f64_rel_err)?;
        library::check(&mut folder, &recorded, &reference)?;

        let mut tokens = folder.tensors(TOKENS)?;
        let batches = batches(tokens.all())?;
        for name in ["input_ids", "labels"] {
            tokens.get(name)?;
        }
        tokens.finish()?;
        let scale = scale(folder.json(Path::new(ADAPTER).join("adapter_config.json"))?);
        if (scale - expected.lora_scale).abs() > 1e-12 * scale {
            let (found, expected) = (expected.lora_scale, scale);
            return Err(format!("lora_scale is {found}, not {expected}").into());
        }
        let (modules, prefix) = modules(&mut folder)?;
        if modules.is_empty() {
            return Err("the adapter is on no module".into());
        }
        Ok(Self { folder, reference, expected, batches, scale, modules, prefix })
    }

    /// The directory of the model.
    pub(super) fn base(&self) -> PathBuf {
        self.folder.path().join(BASE)
    }

    /// The name in the file of a matrix of the adapter.
    pub(super) fn in_file(&self, module: &str, matrix: &str) -> String {
        let rest = module.strip_prefix(TEXT).unwrap_or(module);
        format!("{}{rest}.{matrix}.weight", self.prefix)
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

/// The pairs of matrices of an adapter by the modules that they are on, and what their names begin with.
fn modules(folder: &mut Folder) -> Outcome<(Modules, String)> {
    let mut tensors = folder.tensors(&format!("{ADAPTER}/adapter_model.safetensors"))?;
    let [nested, text] = [NESTED, TEXT].map(|prefix| format!("{ADAPTER_PREFIX}{prefix}"));
    let is_nested = tensors.all().keys().all(|name| name.starts_with(&nested));
    let prefix = if is_nested { nested } else { text };
    let names: Vec<String> = tensors.all().keys().cloned().collect();
    let mut modules = Modules::new();
    for name in names {
        let Some(path) = name.strip_suffix(".lora_A.weight") else { continue };
        let rest = path.strip_prefix(&prefix).ok_or(format!("{name} has no known prefix"))?;
        let a = tensors.get(&name)?.clone();
        let b = tensors.get(&format!("{path}.lora_B.weight"))?.clone();
        let (&[rank, _], &[outputs, of_b]) = (&*a.shape, &*b.shape) else {
            return Err(format!("{path}: an adapter of {:?} and {:?}", a.shape, b.shape).into());
        };
        if rank != of_b || rank == 0 {
            let (name, found) = (format!("{path}.lora_B.weight"), b.shape);
            return Err(Error::Shape { name, expected: vec![outputs, rank], found }.into());
        }
        modules.insert(format!("{TEXT}{rest}"), (a, b));
    }
    tensors.finish()?;
    Ok((modules, prefix))
}
