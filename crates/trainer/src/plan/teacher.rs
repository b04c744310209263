//! The model that a run learns from, as large as its files say.

use std::fs;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::config::Configuration;
use crate::run::model_folder;

/// The sizes of a teacher; a folder that cannot be read is an error of the run, not of its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TeacherSize {
    /// Bytes of its weights.
    pub(super) weights: u128,
    /// Numbers of a row that are in work at once.
    pub(super) working: u128,
}

/// Bytes of a `config.json` that are read.
const LONGEST: u64 = 1 << 20;

impl TeacherSize {
    /// Those of the teacher that a configuration names, if it does.
    pub(super) fn of(configuration: &Configuration) -> Option<Self> {
        let folder = model_folder(configuration.run.teacher.as_deref()?).ok()?;
        let weights = interop::weight_bytes(&folder).ok()?.into();
        let [width, inner] = sizes(&folder.join("config.json")).unwrap_or_default();
        Some(Self { weights, working: 4 * inner + 6 * width })
    }
}

/// The width of a model, and that within its feed-forward nets.
fn sizes(path: &Path) -> Option<[u128; 2]> {
    let mut text = String::new();
    fs::File::open(path).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
    let document: Value = serde_json::from_str(&text).ok()?;
    let size = |name: &str| document.get(name).and_then(Value::as_u64).map(u128::from);
    Some([size("hidden_size")?, size("intermediate_size")?])
}
