//! [`Shards`]: the safetensors files of a directory, one or several with an index.
//!
//! ```json
//! {
//!   "metadata": { "total_size": 890528 },
//!   "weight_map": { "lm_head.weight": "model-00001-of-00004.safetensors" }
//! }
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::decoder::WEIGHTS;
use crate::error::{Problem, Result, io_error};
use crate::manifest::is_in_directory;
use crate::pairs::Pairs;
use crate::safetensors::{Array, Container, MappedFile};
use crate::text::read_text;

const INDEX: &str = "model.safetensors.index.json";

/// The files of a directory; of each only the header has been read.
#[derive(Debug)]
pub(super) struct Shards {
    /// The file that says what tensors there are.
    path: PathBuf,
    shards: Vec<Shard>,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    container: Container<MappedFile>,
}

/// A tensor in its file.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) path: &'a Path,
    pub(super) array: &'a Array,
    pub(super) bytes: &'a [u8],
    file: &'a MappedFile,
}

#[derive(Deserialize)]
struct Index {
    weight_map: Pairs<String>,
}

impl Shards {
    /// Opens the one file, which may have an index of its own, or the files that the index names.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let (single, index) = (directory.join(WEIGHTS), directory.join(INDEX));
        let is_there = |path: &Path| path.try_exists().map_err(io_error(path, "find the file"));
        match (is_there(&single)?, is_there(&index)?) {
            (true, true) => {
                let shards = Self::of_index(directory, index.clone())?;
                // Some software writes an index of the one file as well.
                if shards.shards.iter().all(|shard| shard.path == single) {
                    return Ok(shards);
                }
                let expected = format!("one of {WEIGHTS} and {INDEX}");
                Err(Problem::mismatch("weights", expected, "both").in_file(&index))
            }
            (false, true) => Self::of_index(directory, index),
            _ => Ok(Self { shards: vec![Shard::open(single.clone())?], path: single }),
        }
    }

    fn of_index(directory: &Path, path: PathBuf) -> Result<Self> {
        let in_index = |problem: Problem| problem.in_file(&path);
        let map = weight_map(&read_text(&path)?).map_err(in_index)?;
        let files: BTreeSet<&String> = map.values().collect();
        let mut shards = Vec::new();
        for file in files {
            let shard = Shard::open(directory.join(file))?;
            for name in shard.container.arrays.keys() {
                if map.get(name) != Some(file) {
                    let found = map.get(name).map_or("no file", String::as_str);
                    let what = format!("tensor {name:?}: file by {INDEX}");
                    return Err(Problem::mismatch(what, file, found).in_file(&shard.path));
                }
            }
            shards.push(shard);
        }
        let shards = Self { path, shards };
        // Every tensor of the files is in the map, so what is more in the map is in no file.
        match map.iter().find(|(name, _)| shards.get(name).is_none()) {
            None => Ok(shards),
            Some((name, file)) => {
                let problem = Problem::Missing { what: "tensor", name: name.clone() };
                Err(problem.in_file(&directory.join(file)))
            }
        }
    }

    /// The file that says what tensors there are, for errors about what is missing.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the files.
    pub(super) fn files(&self) -> Vec<String> {
        let names = self.shards.iter().filter_map(|shard| shard.path.file_name());
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    /// The tensor of a name.
    pub(super) fn get(&self, name: &str) -> Option<View<'_>> {
        self.shards.iter().find_map(|Shard { path, container }| {
            let array = container.arrays.get(name)?;
            Some(View { path, array, bytes: container.bytes(array), file: container.file() })
        })
    }

    /// The names of all tensors.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.shards.iter().flat_map(|shard| shard.container.arrays.keys().map(String::as_str))
    }
}

impl View<'_> {
    /// Lets go of the pages of its file, once it was read.
    pub(super) fn release(self) {
        self.file.release();
    }
}

impl Shard {
    fn open(path: PathBuf) -> Result<Self> {
        let file = MappedFile::open(&path).map_err(io_error(&path, "map the file"))?;
        match Container::new(file) {
            Ok(container) => Ok(Self { path, container }),
            Err(problem) => Err(problem.in_file(&path)),
        }
    }
}

/// The file of each tensor, by an index.
fn weight_map(json: &[u8]) -> Result<BTreeMap<String, String>, Problem> {
    let index: Index =
        serde_json::from_slice(json).map_err(|source| Problem::Json { what: "index", source })?;
    let map = index.weight_map.unique("tensor")?;
    match map.iter().find(|(_, file)| !is_in_directory(file)) {
        None => Ok(map),
        Some((name, file)) => {
            let what = format!("tensor {name:?}: file");
            Err(Problem::mismatch(what, "a name in this directory", format!("{file:?}")))
        }
    }
}
