//! What a path means to those who use what a run has trained.

use std::path::{Path, PathBuf};

use interop::manifest::MANIFEST;
use models::Base;

use super::base::BaseRecord;
use super::replace::{ADAPTER, LOCK, METRICS, MODEL, SETTINGS, names};
use crate::config::{self, Configuration, Layers};
use crate::error::{Error, Result};

/// The folder of the model that `path` means: that of a run, or the path itself.
///
/// # Errors
/// [`Error::NoModel`] for a run that has left none yet, with what it has; [`Error::OnlyAdapters`].
pub fn model_folder(path: &Path) -> Result<PathBuf> {
    if !is_run(path) {
        return Ok(path.to_owned());
    }
    let model = path.join(MODEL);
    if model.is_dir() {
        return Ok(model);
    }
    if path.join(ADAPTER).is_dir() {
        return Err(Error::OnlyAdapters { path: path.to_owned() });
    }
    // Of settings that cannot be read, a model is as good a guess.
    let what = if settings_of(path).is_ok_and(|settings| settings.lora.model.is_some()) {
        ADAPTER
    } else {
        MODEL
    };
    Err(not_yet(path, what)?)
}

/// The folder of the adapters that `path` means: those of a run, or the path itself.
///
/// # Errors
/// [`Error::NoModel`] for a run that has left none yet.
pub fn adapter_folder(path: &Path) -> Result<PathBuf> {
    if !is_run(path) {
        return Ok(path.to_owned());
    }
    let adapter = path.join(ADAPTER);
    if adapter.is_dir() { Ok(adapter) } else { Err(not_yet(path, ADAPTER)?) }
}

/// A model to be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// Its folder.
    pub model: PathBuf,
    /// The folder of the adapters beside it, if there are any.
    pub adapter: Option<PathBuf>,
}

impl Used {
    /// What `path` means, with the adapters of another if there is one. A run of adapters, and each folder of adapters in
    /// it, means the model that it was given, with what it has trained beside it.
    ///
    /// # Errors
    /// As [`model_folder`] and [`adapter_folder`]; settings of a run that cannot be read, and a model of theirs that is
    /// gone or another one by now.
    pub fn open(path: &Path, adapter: Option<&Path>) -> Result<Self> {
        let own = path.join(ADAPTER);
        let is_of_adapters = is_run(path) && own.is_dir() && !path.join(MODEL).is_dir();
        if adapter.is_none() && is_of_adapters {
            return Ok(Self { model: base_of(path)?, adapter: Some(own) });
        }
        if adapter.is_none() && is_adapter(path) {
            return match run_of(path)? {
                Some(run) => Ok(Self { model: base_of(&run)?, adapter: Some(path.to_owned()) }),
                None => Err(Error::Adapters { path: path.to_owned() }),
            };
        }
        let adapter = adapter.map(adapter_folder).transpose()?;
        Ok(Self { model: model_folder(path)?, adapter })
    }

    /// Whether the adapters are known to have been trained beside another model. That is not asked of a model without a
    /// manifest, all of which would have to be read.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn is_odd(&self) -> Result<bool> {
        let Some(adapter) = &self.adapter else { return Ok(false) };
        if !self.model.join(MANIFEST).is_file() {
            return Ok(false);
        }
        match BaseRecord::of_adapters(adapter, run_of(adapter)?.as_deref())? {
            Some(record) => Ok(!record.is_of(&self.model)?),
            None => Ok(false),
        }
    }
}

/// Whether a folder has adapters, and no model.
fn is_adapter(path: &Path) -> bool {
    let has = |name: &str| path.join(name).is_file();
    (has("adapter_config.json") || has("adapters.safetensors")) && !has("config.json")
}

/// How the model was kept that adapters in a folder have trained beside: what they learnt makes up for what it lost, and
/// for nothing else. Of adapters that no run has left that is not known, and the model is as it is.
///
/// # Errors
/// Settings of a run that cannot be read.
pub(crate) fn trained_beside(adapter: &Path) -> Result<Base> {
    let run = run_of(adapter)?;
    // Settings may have been edited since.
    match (BaseRecord::of_adapters(adapter, run.as_deref())?, run) {
        (Some(record), _) => Ok(record.kept()),
        (None, Some(run)) => Ok(settings_of(&run)?.lora.base),
        (None, None) => Ok(Base::F32),
    }
}

/// The run that adapters are in, or that they are the folder of.
fn run_of(adapter: &Path) -> Result<Option<PathBuf>> {
    let adapter = adapter.canonicalize().map_err(Error::file("find", adapter))?;
    // Many a folder has a config.toml.
    let is_run =
        |folder: &&Path| [SETTINGS, METRICS].iter().all(|name| folder.join(name).is_file());
    let mut folders = [Some(&*adapter), adapter.parent()].into_iter().flatten();
    Ok(folders.find(is_run).map(Path::to_owned))
}

fn is_run(path: &Path) -> bool {
    [SETTINGS, METRICS].iter().any(|name| path.join(name).exists())
}

/// The model that the adapters of a run are for.
fn base_of(run: &Path) -> Result<PathBuf> {
    let path = run.join(SETTINGS);
    let unfit = |found: String| {
        let expected = "the model of the adapters as lora.model (where it is elsewhere by now, give it with --model, and \
                        this run with --adapter)";
        Error::RunFile { path: path.clone(), expected: expected.to_owned(), found }
    };
    match settings_of(run)?.lora.model {
        Some(base) if base.exists() => {
            let folder = model_folder(&base)?;
            if let Some(record) = BaseRecord::read(run)? {
                record.check(run, &folder)?;
            }
            Ok(folder)
        }
        Some(base) => Err(unfit(format!("{}, where there is nothing", base.display()))),
        None => Err(unfit("none".to_owned())),
    }
}

/// The settings of a run.
fn settings_of(run: &Path) -> Result<Configuration, config::Error> {
    let mut layers = Layers::default();
    layers.add_file(&run.join(SETTINGS))?;
    layers.resolve()
}

/// The error of a run that has not left yet what it trains.
fn not_yet(run: &Path, what: &'static str) -> Result<Error> {
    let mut found = names(run)?;
    found.retain(|name| name != LOCK);
    Ok(Error::NoModel { path: run.to_owned(), what, found: found.join(", ") })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::temporary::TemporaryFolder;

    fn run(settings: &str) -> TemporaryFolder {
        let folder = TemporaryFolder::new();
        folder.file(SETTINGS, settings);
        folder.file(METRICS, "");
        folder
    }

    #[test]
    fn a_run_means_its_model_and_one_without_says_what_it_has() {
        let folder = run("");
        let error = model_folder(folder.path()).unwrap_err().to_string();
        assert!(error.contains("no model/ yet") && error.contains("config.toml, metrics.jsonl"));
        let model = folder.path().join(MODEL);
        fs::create_dir(&model).unwrap();
        assert_eq!(model_folder(folder.path()).unwrap(), model);
        assert_eq!(model_folder(&model).unwrap(), model);
        assert_eq!(model_folder("no such".as_ref()).unwrap(), Path::new("no such"));
        let adapter = Some("no such".as_ref());
        let used = Used { model, adapter: adapter.map(Path::to_owned) };
        assert_eq!(Used::open(folder.path(), adapter).unwrap(), used);
    }

    #[test]
    fn a_run_of_adapters_means_their_model_with_them_beside_it_but_is_no_model_itself() {
        let elsewhere = TemporaryFolder::new();
        let base = elsewhere.path().join("base");
        let settings = format!("data = \"d\"\n[lora]\nmodel = {:?}\n", base.to_str().unwrap());
        let folder = run(&settings);
        let adapter = folder.path().join(ADAPTER);
        for found in [model_folder(folder.path()), adapter_folder(folder.path())] {
            let said = found.unwrap_err().to_string();
            assert!(said.contains("no adapter/ yet"), "{said}");
        }
        fs::create_dir(&adapter).unwrap();
        assert_eq!(adapter_folder(folder.path()).unwrap(), adapter);
        let said = model_folder(folder.path()).unwrap_err().to_string();
        assert!(said.contains("adapters and no model") && said.contains("ternary merge"), "{said}");
        let said = Used::open(folder.path(), None).unwrap_err().to_string();
        assert!(said.contains("config.toml") && said.contains("where there is nothing"), "{said}");
        fs::create_dir(&base).unwrap();
        let used = Used { model: base.clone(), adapter: Some(adapter.clone()) };
        assert_eq!(Used::open(folder.path(), None).unwrap(), used);
        assert_eq!(Used::open(&base, Some(folder.path())).unwrap(), used);
        // Whose adapters should those be?
        assert!(Used::open(folder.path(), Some(&adapter)).is_err());
    }
}
