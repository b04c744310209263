//! The container: named arrays of bytes with a type and a shape.
//!
//! ```text
//! ┌──────────────┬────────────────────────────────────────┬───────────────────────────────┐
//! │ n: u64, LE   │ n bytes of JSON, spaces at its end     │ the arrays, without gaps      │
//! └──────────────┴────────────────────────────────────────┴───────────────────────────────┘
//! {"__metadata__": {"key": "value"},
//!  "NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …}
//! ```
//!
//! Offsets count from the end of the JSON. This is a reader and writer of its own, because names that
//! are there twice must be refused (the format's own crate keeps the last), and an error must name the
//! tensor with what was expected and found. The tests compare it with that crate.

mod header;
mod mapped;
mod read;
mod write;

pub(crate) use header::{Dtype, METADATA};
pub use mapped::MappedFile;
pub(crate) use read::{Array, Container};
pub(crate) use write::{Part, write};
