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
//!
//! What is public here is for arrays that are too large to be in memory twice: [`write_header`], after which the
//! bytes are written as they come, and [`Arrays`], which are read one at a time.

mod header;
mod mapped;
mod one_by_one;
mod read;
mod write;

pub use header::Dtype;
pub(crate) use header::METADATA;
pub use mapped::MappedFile;
pub use one_by_one::Arrays;
pub(crate) use read::{Array, Container};
pub use write::write_header;
pub(crate) use write::{Part, write};
