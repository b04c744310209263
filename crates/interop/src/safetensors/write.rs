//! Writing a container.

use std::borrow::Cow;
use std::collections::BTreeMap;
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
    let mut header = header(metadata, &parts)?;
    header.resize(header.len().next_multiple_of(HEADER_ALIGNMENT), b' ');
    if header.len() > MAX_HEADER_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the header is too long to be read",
        ));
    }
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for part in &parts {
        let bytes = (part.bytes)();
        debug_assert_eq!(bytes.len() as u64, part.size(), "{}", part.name);
        out.write_all(&bytes)?;
    }
    Ok(())
}

fn header(metadata: &BTreeMap<String, String>, parts: &[Part<'_>]) -> io::Result<Vec<u8>> {
    let mut json = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut json);
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry(METADATA, metadata)?;
    let mut start = 0;
    for part in parts {
        let end = start + part.size();
        let shape = part.shape.iter().map(|&n| n as u64).collect();
        let dtype = part.dtype.name().to_owned();
        map.serialize_entry(&part.name, &Entry { dtype, shape, data_offsets: [start, end] })?;
        start = end;
    }
    map.end()?;
    Ok(json)
}
