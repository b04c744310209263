//! What the header says of an array.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The key of the header that is no array.
pub(crate) const METADATA: &str = "__metadata__";
/// The longest header that is read, as in the format's own implementation.
pub(super) const MAX_HEADER_BYTES: usize = 100_000_000;
/// The number of bytes that the header is filled up to.
pub(super) const HEADER_ALIGNMENT: usize = 8;

/// A type of numbers that this project reads. The larger ones come first in a file, so that all are
/// aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dtype {
    F32,
    Bf16,
    U8,
}

impl Dtype {
    const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::U8];

    /// Its name in the header.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::Bf16 => "BF16",
            Self::U8 => "U8",
        }
    }

    /// Bytes of a number.
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
            Self::U8 => 1,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Dtype {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name).ok_or(())
    }
}

/// An entry of the header as it stands there.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) dtype: String,
    pub(super) shape: Vec<u64>,
    pub(super) data_offsets: [u64; 2],
}
