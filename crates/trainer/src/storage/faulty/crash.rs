//! What a disk may hold after the power was cut.

use std::collections::BTreeMap;

use ternary_core::noise::Noise;

use super::{Faulty, Node, directory};

/// What became of the bytes of a file that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bytes {
    Dropped,
    Kept,
    /// The first half of them.
    Torn,
    /// The file has its length, and zeros for them.
    Zeroed,
    /// The second half came first: zeros, then that.
    Reordered,
}

const BYTES: [Bytes; 5] =
    [Bytes::Dropped, Bytes::Kept, Bytes::Torn, Bytes::Zeroed, Bytes::Reordered];

/// Changes of names of which every subset is tried.
const FEW: usize = 6;
/// Subsets that are tried of more, beside those in which the changes come in order.
const DRAWN: u64 = 32;

impl Faulty {
    /// Every disk that may be found after a power cut now: each of the names that were not synced is there or not,
    /// in any combination, and what was not synced of files is dropped, kept, torn, zeroed or reordered.
    pub(crate) fn crashed(&self) -> Vec<Self> {
        let machine = self.machine();
        let changes = machine.nodes.iter().map(|node| match node {
            Node::Directory { pending, .. } => pending.len(),
            Node::File { .. } => 0,
        });
        let subsets = subsets(changes.sum());
        let is_pending =
            |node: &Node| matches!(node, Node::File { pending, .. } if !pending.is_empty());
        let files = machine.nodes.iter().filter(|node| is_pending(node)).count();
        let mut disks = Vec::new();
        for (draw, subset) in subsets.iter().enumerate() {
            for bytes in fates(files, draw as u32) {
                let (mut subset, mut bytes) = (subset.iter(), bytes.into_iter());
                let settle = |node: &Node| match node {
                    Node::Directory { durable, pending, .. } => {
                        let mut names: BTreeMap<_, _> = durable.clone();
                        for change in pending {
                            if subset.next() == Some(&true) {
                                change.apply(&mut names);
                            }
                        }
                        directory(names)
                    }
                    Node::File { durable, pending, .. } => {
                        let fate = if pending.is_empty() { None } else { bytes.next() };
                        let mut durable = durable.clone();
                        durable.extend(fate.map_or(Vec::new(), |fate| remains(pending, fate)));
                        Node::File { durable, pending: Vec::new(), is_doomed: false }
                    }
                };
                disks.push(Self::of(machine.nodes.iter().map(settle).collect()));
            }
        }
        disks
    }
}

/// Which of some changes lasted.
fn subsets(changes: usize) -> Vec<Vec<bool>> {
    if changes <= FEW {
        let subset = |bits: u32| (0..changes).map(|change| bits >> change & 1 == 1).collect();
        return (0..1 << changes).map(subset).collect();
    }
    let in_order = (0..=changes).map(|kept| (0..changes).map(|change| change < kept).collect());
    let drawn = (0..DRAWN).map(|draw| {
        let noise = Noise::new(draw, 0, 0);
        (0..changes).map(|change| noise.bits(change as u64) & 1 == 1).collect()
    });
    in_order.chain(drawn).collect()
}

/// What became of each of some files: the same of all, and other things of each.
fn fates(files: usize, draw: u32) -> Vec<Vec<Bytes>> {
    if files == 0 {
        return vec![Vec::new()];
    }
    let mut fates: Vec<_> = BYTES.iter().map(|&bytes| vec![bytes; files]).collect();
    if files > 1 {
        let noise = Noise::new(0, 1, draw);
        let fate = |file| BYTES[noise.bits(file as u64) as usize % BYTES.len()];
        fates.push((0..files).map(fate).collect());
    }
    fates
}

fn remains(pending: &[u8], fate: Bytes) -> Vec<u8> {
    let (first, second) = pending.split_at(pending.len() / 2);
    match fate {
        Bytes::Dropped => Vec::new(),
        Bytes::Kept => pending.to_vec(),
        Bytes::Torn => first.to_vec(),
        Bytes::Zeroed => vec![0; pending.len()],
        Bytes::Reordered => [&vec![0; first.len()][..], second].concat(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::{Read, Write};
    use std::path::Path;

    use super::*;
    use crate::storage::Storage;
    use crate::storage::faulty::Fault;

    fn read(storage: &Faulty, path: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        storage.open(Path::new(path)).ok()?.read_to_end(&mut bytes).unwrap();
        Some(bytes)
    }

    #[test]
    fn what_is_synced_stays_and_of_the_rest_anything_may() {
        let storage = Faulty::new();
        let mut file = storage.create(Path::new("/file")).unwrap();
        file.write_all(b"ab").unwrap();
        file.sync().unwrap();
        let found = |path: &str| {
            storage.crashed().iter().map(|disk| read(disk, path)).collect::<BTreeSet<_>>()
        };
        // Synced bytes of a file without a name are not found.
        assert_eq!(found("/file"), [None, Some(b"ab".to_vec())].into());
        storage.sync_directory(Path::new("/")).unwrap();
        file.write_all(b"cdef").unwrap();
        let expected = [&b"ab"[..], b"abcdef", b"abcd", b"ab\0\0\0\0", b"ab\0\0ef"];
        assert_eq!(found("/file"), expected.map(|bytes| Some(bytes.to_vec())).into());
        file.sync().unwrap();
        storage.rename(Path::new("/file"), Path::new("/other")).unwrap();
        for disk in storage.crashed() {
            let both = ["/file", "/other"].map(|path| read(&disk, path).is_some());
            assert!(both[0] != both[1], "a rename is one change");
        }
        storage.sync_directory(Path::new("/")).unwrap();
        assert_eq!(found("/other"), [Some(b"abcdef".to_vec())].into());
    }

    #[test]
    fn operations_fail_where_they_are_to_fail() {
        let whole = Faulty::new();
        let path = Path::new("/file");
        let write = |storage: &Faulty| -> std::io::Result<()> {
            let mut file = storage.create(path)?;
            file.write_all(b"abcd")?;
            file.sync()?;
            storage.sync_directory(Path::new("/"))
        };
        write(&whole).unwrap();
        assert_eq!(whole.operations(), 4);
        for at in 0..4 {
            for fault in [Fault::PowerCut(at), Fault::Error(at)] {
                let storage = Faulty::new().copy(fault);
                assert!(write(&storage).is_err());
                assert_eq!(storage.open(path).is_err(), at == 0 || fault == Fault::PowerCut(at));
            }
        }
        let full = Faulty::new().copy(Fault::DiskFull(1));
        assert!(write(&full).is_err());
        assert_eq!(read(&full, "/file").unwrap(), b"ab");
        full.remove_file(path).unwrap();
        // What was written before a sync that failed may be lost, whatever later syncs say.
        let doomed = Faulty::new().copy(Fault::Error(2));
        let mut file = doomed.create(path).unwrap();
        file.write_all(b"abcd").unwrap();
        assert!(file.sync().is_err());
        file.sync().unwrap();
        doomed.sync_directory(Path::new("/")).unwrap();
        assert!(doomed.crashed().iter().any(|disk| read(disk, "/file").unwrap().is_empty()));
    }
}
