//! Writing a container.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde::Serializer;
use serde::ser::SerializeMap;

use super::header::{Dtype, Entry, HEADER_ALIGNMENT, MAX_HEADER_BYTES, METADATA};

/// An array to write. Its bytes are asked for when it is its turn.
pub(crate) struct Part<'a> {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Box<dyn Fn() -> Cow<'a, [u8]> + 'a>,
}

impl Part<'_> {
    fn size(&self) -> u64 {
        self.shape.iter().product::<usize>() as u64 * self.dtype.bytes() as u64
    }
}

/// Writes arrays, whose names differ, in the order of their types and then of their names.
pub(crate) fn write(
    out: &mut dyn Write,
    metadata: &BTreeMap<String, String>,
    mut parts: Vec<Part<'_>>,
) -> io::Result<()> {
    parts.sort_by(|a, b| a.dtype.cmp(&b.dtype).then_with(|| a.name.cmp(&b.name)));
    let entries = parts.iter().map(|part| (part.name.as_str(), part.dtype, &part.shape[..]));
    write_header(out, metadata, entries)?;
    for part in &parts {
        let bytes = (part.bytes)();
        debug_assert_eq!(bytes.len() as u64, part.size(), "{}", part.name);
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// Writes the part of a file that is before the arrays, with names, types and shapes of them. Their bytes are
/// to follow in the order of `arrays`, little-endian and without gaps.
///
/// # Errors
/// Those of the writer; names that are there twice, and more of them than a reader takes.
pub fn write_header<'a>(
    out: &mut dyn Write,
    metadata: &BTreeMap<String, String>,
    arrays: impl IntoIterator<Item = (&'a str, Dtype, &'a [usize])>,
) -> io::Result<()> {
    let refused = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    let (mut json, mut names, mut start) = (Vec::new(), BTreeSet::from([METADATA]), 0);
    let mut serializer = serde_json::Serializer::new(&mut json);
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry(METADATA, metadata)?;
    for (name, dtype, shape) in arrays {
        if !names.insert(name) {
            return refused(format!("the array {name:?} is there twice"));
        }
        let shape: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
        let end = start + shape.iter().product::<u64>() * dtype.bytes() as u64;
        let dtype = dtype.name().to_owned();
        map.serialize_entry(name, &Entry { dtype, shape, data_offsets: [start, end] })?;
        start = end;
    }
    map.end()?;
    json.resize(json.len().next_multiple_of(HEADER_ALIGNMENT), b' ');
    if json.len() > MAX_HEADER_BYTES {
        return refused("the header is too long to be read".to_owned());
    }
    out.write_all(&(json.len() as u64).to_le_bytes())?;
    out.write_all(&json)
}
