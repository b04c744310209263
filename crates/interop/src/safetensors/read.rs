//! Reading a container: nothing is believed that the bytes do not bear out.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::header::{Dtype, Entry, MAX_HEADER_BYTES, METADATA};
use crate::error::Problem;
use crate::pairs::Pairs;

/// An array of a container: where in the file it lies, and what it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Array {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(super) range: Range<usize>,
}

/// The metadata and the arrays of a file, which is in memory or mapped into it. Only the header has been
/// read.
#[derive(Debug, PartialEq)]
pub(crate) struct Container<F> {
    file: F,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) arrays: BTreeMap<String, Array>,
}

impl<F: AsRef<[u8]>> Container<F> {
    /// Reads the header of a whole file. What is allocated is as long as that.
    pub(crate) fn new(file: F) -> Result<Self, Problem> {
        let (header, data) = split(file.as_ref())?;
        let start = file.as_ref().len() - data.len();
        // A copy: text that was found to be UTF-8 must stay so, and a mapped file may change.
        let header = header.to_vec();
        let Contents { metadata, arrays } = Contents::parse(&header, start, data.len())?;
        Ok(Self { file, metadata, arrays })
    }

    /// Bytes that all arrays have in memory where each real number is an `f32` there.
    pub(crate) fn bytes_in_f32(&self) -> u64 {
        let bytes = self.arrays.values().map(|array| {
            let bytes = array.range.len() as u64;
            match array.dtype {
                Dtype::F16 | Dtype::Bf16 => 2 * bytes,
                Dtype::F64 => bytes / 2,
                _ => bytes,
            }
        });
        bytes.sum()
    }

    /// The file that it is in.
    pub(crate) fn file(&self) -> &F {
        &self.file
    }

    /// The bytes of an array of this container.
    pub(crate) fn bytes(&self, array: &Array) -> &[u8] {
        &self.file.as_ref()[array.range.clone()]
    }
}

/// What a header says.
pub(super) struct Contents {
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) arrays: BTreeMap<String, Array>,
}

impl Contents {
    /// Reads a header, which `length` bytes follow from `origin` on.
    pub(super) fn parse(header: &[u8], origin: usize, length: usize) -> Result<Self, Problem> {
        if header.first() != Some(&b'{') {
            let found = header.first().map_or("nothing".into(), |byte| format!("{byte:#04x}"));
            return Err(Problem::mismatch("first byte of the header", "'{'", found));
        }
        let header: Header = serde_json::from_slice(header)
            .map_err(|source| Problem::Json { what: "header", source })?;
        let metadata = header.metadata.unique("entry of the metadata")?;
        let entries = header.entries.unique("tensor")?;
        let mut in_order: Vec<_> = entries.into_iter().collect();
        in_order.sort_by_key(|(_, entry)| entry.data_offsets);
        let mut arrays = BTreeMap::new();
        let mut end = 0;
        for (name, entry) in in_order {
            let array = array(&name, &entry, origin, end, length)?;
            end = array.range.end - origin;
            arrays.insert(name, array);
        }
        if end != length {
            return Err(Problem::mismatch("bytes of all tensors", end, length));
        }
        Ok(Self { metadata, arrays })
    }
}

/// The JSON of the header, and what follows it.
fn split(file: &[u8]) -> Result<(&[u8], &[u8]), Problem> {
    let Some((length, rest)) = file.split_first_chunk::<8>() else {
        return Err(wrong_length("eight bytes", file.len()));
    };
    Ok(rest.split_at(header_length(*length, rest.len())?))
}

/// The length of the header by the first bytes of a file, which `rest` bytes follow.
pub(super) fn header_length(length: [u8; 8], rest: usize) -> Result<usize, Problem> {
    let (length, limit) = (u64::from_le_bytes(length), rest.min(MAX_HEADER_BYTES));
    match usize::try_from(length) {
        Ok(length) if length <= limit => Ok(length),
        _ => Err(wrong_length(format!("at most {limit}"), length)),
    }
}

pub(super) fn wrong_length(expected: impl ToString, found: impl ToString) -> Problem {
    Problem::mismatch("length of the header", expected, found)
}

/// Checks an entry against the bytes there are: `length` of them from `origin` on. The arrays before it
/// end at `start`.
fn array(
    name: &str,
    entry: &Entry,
    origin: usize,
    start: usize,
    length: usize,
) -> Result<Array, Problem> {
    let wrong = |what, expected: String, found: String| {
        Err(Problem::of_tensor(name, what, expected, found))
    };
    let Ok(dtype) = entry.dtype.parse::<Dtype>() else {
        return wrong("type", "one of whole bytes".into(), entry.dtype.clone());
    };
    let [from, to] = entry.data_offsets;
    // A gap or an overlap shows as a start elsewhere than at the end of the array before.
    if from != start as u64 {
        return wrong("start", start.to_string(), from.to_string());
    }
    let size = entry.shape.iter().try_fold(dtype.bytes() as u64, |size, &n| size.checked_mul(n));
    if size != to.checked_sub(from) {
        let expected = size.map_or("what fits 64 bits".into(), |size| size.to_string());
        return wrong("bytes of its shape", expected, format!("{from} to {to}"));
    }
    let Some(end) = usize::try_from(to).ok().filter(|&end| end <= length) else {
        return wrong("end", format!("at most {length}"), to.to_string());
    };
    let shape = entry.shape.iter().map(|&n| usize::try_from(n));
    match shape.collect::<Result<Vec<_>, _>>() {
        Ok(shape) => Ok(Array { dtype, shape, range: origin + start..origin + end }),
        Err(_) => wrong("shape", "sizes of this machine".into(), format!("{:?}", entry.shape)),
    }
}

struct Header {
    metadata: Pairs<String>,
    entries: Pairs<Entry>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut metadata = None;
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name != METADATA {
                        entries.push((name, map.next_value()?));
                    } else if metadata.replace(map.next_value()?).is_some() {
                        return Err(serde::de::Error::duplicate_field(METADATA));
                    }
                }
                let metadata = metadata.unwrap_or(Pairs(Vec::new()));
                Ok(Header { metadata, entries: Pairs(entries) })
            }
        }

        deserializer.deserialize_map(Collect)
    }
}
