//! Reading a container: nothing is believed that the bytes do not bear out.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::header::{Dtype, Entry, MAX_HEADER_BYTES, METADATA};
use crate::error::Problem;
use crate::pairs::Pairs;

/// An array of a container.
#[derive(Debug, PartialEq)]
pub(crate) struct Array<'a> {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: &'a [u8],
}

/// The metadata and the arrays of a file.
#[derive(Debug, PartialEq)]
pub(crate) struct Container<'a> {
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) arrays: BTreeMap<String, Array<'a>>,
}

impl<'a> Container<'a> {
    /// Reads the bytes of a whole file. The arrays borrow from it; what is allocated is as long as its
    /// header.
    pub(crate) fn from_bytes(file: &'a [u8]) -> Result<Self, Problem> {
        let (header, data) = split(file)?;
        let header: Header = serde_json::from_slice(header)
            .map_err(|source| Problem::Json { what: "header", source })?;
        let metadata = header.metadata.unique("entry of the metadata")?;
        let entries = header.entries.unique("tensor")?;
        let mut in_order: Vec<_> = entries.iter().collect();
        in_order.sort_by_key(|(_, entry)| entry.data_offsets);
        let mut arrays = BTreeMap::new();
        let mut end = 0;
        for (name, entry) in in_order {
            let array = array(name, entry, end, data)?;
            end += array.bytes.len();
            arrays.insert(name.clone(), array);
        }
        if end != data.len() {
            return Err(Problem::mismatch("bytes of all tensors", end, data.len()));
        }
        Ok(Self { metadata, arrays })
    }
}

/// The JSON of the header, and what follows it.
fn split(file: &[u8]) -> Result<(&[u8], &[u8]), Problem> {
    let wrong = |expected: String, found: String| {
        Err(Problem::Mismatch { what: "length of the header".into(), expected, found })
    };
    let Some((length, rest)) = file.split_first_chunk::<8>() else {
        return wrong("eight bytes".into(), file.len().to_string());
    };
    let length = u64::from_le_bytes(*length);
    let limit = rest.len().min(MAX_HEADER_BYTES);
    match usize::try_from(length) {
        Ok(length) if length <= limit => {
            let (header, data) = rest.split_at(length);
            if header.first() != Some(&b'{') {
                let found = header.first().map_or("nothing".into(), |byte| format!("{byte:#04x}"));
                return Err(Problem::mismatch("first byte of the header", "'{'", found));
            }
            Ok((header, data))
        }
        _ => wrong(format!("at most {limit}"), length.to_string()),
    }
}

/// Checks an entry against the bytes there are. The arrays before it end at `start`.
fn array<'a>(
    name: &str,
    entry: &Entry,
    start: usize,
    data: &'a [u8],
) -> Result<Array<'a>, Problem> {
    let wrong = |what, expected: String, found: String| {
        Err(Problem::of_tensor(name, what, expected, found))
    };
    let Ok(dtype) = entry.dtype.parse::<Dtype>() else {
        return wrong("type", "F32, BF16 or U8".into(), entry.dtype.clone());
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
    let Some(bytes) = usize::try_from(to).ok().and_then(|to| data.get(start..to)) else {
        return wrong("end", format!("at most {}", data.len()), to.to_string());
    };
    let shape = entry.shape.iter().map(|&n| usize::try_from(n));
    match shape.collect::<Result<Vec<_>, _>>() {
        Ok(shape) => Ok(Array { dtype, shape, bytes }),
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
