//! Directories as transformers writes them.

mod directory;
mod hostile;
mod kept;
mod reading;
#[path = "../watching/mod.rs"]
mod watching;
