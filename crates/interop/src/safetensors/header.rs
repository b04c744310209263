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

/// A type of numbers. The larger ones come first in a file that is written, so that all are aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dtype {
    /// 64-bit floats.
    F64,
    /// 64-bit integers.
    I64,
    /// 64-bit integers of at least 0.
    U64,
    /// 32-bit floats.
    F32,
    /// 32-bit integers.
    I32,
    /// 32-bit integers of at least 0.
    U32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// 16-bit integers.
    I16,
    /// 16-bit integers of at least 0.
    U16,
    /// 8-bit floats, five bits of them exponent.
    F8E5M2,
    /// 8-bit floats, four bits of them exponent.
    F8E4M3,
    /// 8-bit integers.
    I8,
    /// Bytes.
    U8,
    /// Truth values.
    Bool,
}

impl Dtype {
    const ALL: [Self; 15] = [
        Self::F64,
        Self::I64,
        Self::U64,
        Self::F32,
        Self::I32,
        Self::U32,
        Self::F16,
        Self::Bf16,
        Self::I16,
        Self::U16,
        Self::F8E5M2,
        Self::F8E4M3,
        Self::I8,
        Self::U8,
        Self::Bool,
    ];

    /// Its name in the header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::I64 => "I64",
            Self::U64 => "U64",
            Self::F32 => "F32",
            Self::I32 => "I32",
            Self::U32 => "U32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::I16 => "I16",
            Self::U16 => "U16",
            Self::F8E5M2 => "F8_E5M2",
            Self::F8E4M3 => "F8_E4M3",
            Self::I8 => "I8",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
        }
    }

    /// Bytes of a number.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F8E5M2 | Self::F8E4M3 | Self::I8 | Self::U8 | Self::Bool => 1,
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
