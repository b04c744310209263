//! Adapters on disk: as PEFT and as MLX-LM keep them.
//!
//! ```
//! use interop::adapters::{self, Options, peft};
//! use lora_backward::{Adapter, Adapters, Scaling};
//!
//! let module = "model.layers.0.self_attn.q_proj";
//! let scaling = Scaling { alpha: 8.0, rank_stabilised: false };
//! let mut adapters = Adapters::<f32>::default();
//! adapters.insert(module, Adapter::kaiming(module, [6, 4], 2, scaling, 1)?)?;
//!
//! let directory = tempfile::tempdir()?;
//! peft::write(directory.path(), &adapters, &Options::default())?;
//! assert_eq!(adapters::read::<f32>(directory.path())?, adapters);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The files are described in `docs/formats/adapters.md`. What would make an adapter another one without a word, were it
//! passed over, is refused by its name. What is written is read back before any file is touched.
//!
//! | item | is |
//! |---|---|
//! | [`read`] | adapters out of a directory of either format |
//! | [`peft`], [`mlx`] | one format each, read and written |
//! | [`Options`], [`Prefix`] | what adapters do not say themselves of the model they are for |
//! | [`resolve`], [`Target`] | the adapters that a model is to have |
//! | [`Selection`], [`Modules`], [`Ranks`] | which modules those are, and how large; in PEFT's words, for new adapters and for those of a file |

use std::path::Path;

use lora_backward::Adapters;
use ternary_core::Real;

mod ending;
mod expression;
mod factors;
mod files;
mod format;
pub mod mlx;
pub mod peft;
mod prefix;
mod ranks;
mod resolve;
mod selection;
mod work;

pub use files::{Files, Options};
pub use prefix::Prefix;
pub use ranks::Ranks;
pub use resolve::{Target, resolve};
pub use selection::{Modules, Selection};

use self::files::{CONFIG, WHAT, document};
use crate::directory::Reader;
use crate::error::{Problem, Result};

/// Reads the adapters of a directory that PEFT or MLX-LM wrote, or that was written here for either.
///
/// # Errors
/// As [`peft::read`] and [`mlx::read`], and [`Error::File`](crate::Error::File) for a configuration that is neither's.
pub fn read<T: Real>(directory: &Path) -> Result<Adapters<T>> {
    let reader = Reader::open(directory)?;
    let config = reader.read(CONFIG)?;
    let kind = || {
        let json = document(&config)?;
        let root = json.object(WHAT)?;
        let is_mlx = root.get(mlx::PARAMETERS).is_some() || root.get(mlx::KIND).is_some();
        Ok((root.get(peft::KIND).is_some(), is_mlx))
    };
    match kind().map_err(|problem: Problem| problem.in_file(&reader.path(CONFIG)))? {
        (true, _) => peft::read(directory),
        (false, true) => mlx::read(directory),
        (false, false) => {
            let expected = format!("{} of PEFT, or {} of MLX-LM", peft::KIND, mlx::PARAMETERS);
            let problem = Problem::mismatch("keys", expected, "neither");
            Err(problem.in_file(&reader.path(CONFIG)))
        }
    }
}

#[cfg(test)]
mod tests;
