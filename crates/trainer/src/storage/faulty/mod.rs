//! [`Faulty`]: a file system in memory that fails where it is told to, and forgets what was not synced.

mod crash;

use std::collections::BTreeMap;
use std::io::{self, Cursor, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Entry, Input, Output, Storage};

/// What goes wrong, and at which operation: each call counts as one, each write of a file too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The power is cut: from this operation on, nothing happens any more.
    PowerCut(usize),
    /// This operation fails; a write half-way. Of a file whose sync failed nothing is certain ever after.
    Error(usize),
    /// From this operation on there is no room for more files and bytes.
    DiskFull(usize),
}

#[derive(Debug, Clone)]
enum Node {
    File {
        /// What has been synced.
        durable: Vec<u8>,
        /// What has been written since, at the end.
        pending: Vec<u8>,
        /// Whether a sync of it failed.
        is_doomed: bool,
    },
    Directory {
        durable: BTreeMap<String, usize>,
        pending: Vec<Change>,
        /// The names as they are seen.
        current: BTreeMap<String, usize>,
    },
}

/// A change of the names in a directory.
#[derive(Debug, Clone)]
enum Change {
    Add(String, usize),
    Remove(String),
    Rename(String, String, usize),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Add(name, node) => {
                names.insert(name.clone(), *node);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
            Self::Rename(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Machine {
    /// The first is the root.
    nodes: Vec<Node>,
    fault: Fault,
    operations: usize,
}

/// A handle of a machine; its clones are of the same one.
#[derive(Debug, Clone)]
pub(crate) struct Faulty(Arc<Mutex<Machine>>);

impl Faulty {
    /// An empty root.
    pub(crate) fn new() -> Self {
        Self::of(vec![directory(BTreeMap::new())])
    }

    fn of(nodes: Vec<Node>) -> Self {
        Self(Arc::new(Mutex::new(Machine { nodes, fault: Fault::None, operations: 0 })))
    }

    /// The same content on another machine, where `fault` is to happen; operations count from here.
    pub(crate) fn copy(&self, fault: Fault) -> Self {
        let nodes = self.machine().nodes.clone();
        Self(Arc::new(Mutex::new(Machine { nodes, fault, operations: 0 })))
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> usize {
        self.machine().operations
    }

    /// Nothing more goes wrong.
    pub(crate) fn repair(&self) {
        self.machine().fault = Fault::None;
    }

    /// The bytes of a file, to be changed by hand.
    pub(crate) fn edit(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut machine = self.machine();
        let node = machine.find(path).unwrap();
        let Node::File { durable, pending, .. } = &mut machine.nodes[node] else { panic!() };
        durable.append(pending);
        change(durable);
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.lock().unwrap()
    }

    /// One operation that changes something.
    fn operate(&self, grows: bool) -> io::Result<MutexGuard<'_, Machine>> {
        let mut machine = self.machine();
        machine.count(grows)?;
        Ok(machine)
    }
}

fn directory(names: BTreeMap<String, usize>) -> Node {
    Node::Directory { durable: names.clone(), pending: Vec::new(), current: names }
}

impl Machine {
    /// Counts an operation, and fails where it is to fail.
    fn count(&mut self, grows: bool) -> io::Result<()> {
        let now = self.operations;
        self.operations += 1;
        match self.fault {
            Fault::PowerCut(at) if now >= at => Err(io::Error::other("the power is off")),
            Fault::Error(at) if now == at => Err(io::Error::other("input/output error")),
            Fault::DiskFull(at) if now >= at && grows => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn names(&self, node: usize) -> io::Result<&BTreeMap<String, usize>> {
        match &self.nodes[node] {
            Node::Directory { current, .. } => Ok(current),
            Node::File { .. } => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        let mut node = 0;
        for component in path.components() {
            if let Component::Normal(name) = component {
                let name = name.to_str().unwrap();
                node = *self.names(node)?.get(name).ok_or(io::ErrorKind::NotFound)?;
            }
        }
        Ok(node)
    }

    /// The directory that a path lies in, and its name there.
    fn place(&self, path: &Path) -> io::Result<(usize, String)> {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        Ok((self.find(path.parent().unwrap())?, name))
    }

    fn change(&mut self, directory: usize, change: Change) {
        let Node::Directory { pending, current, .. } = &mut self.nodes[directory] else { panic!() };
        change.apply(current);
        pending.push(change);
    }

    fn add(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        let (parent, name) = self.place(path)?;
        if self.names(parent)?.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.nodes.push(node);
        let node = self.nodes.len() - 1;
        self.change(parent, Change::Add(name, node));
        Ok(node)
    }
}

impl Storage for Faulty {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        let file = Node::File { durable: Vec::new(), pending: Vec::new(), is_doomed: false };
        let node = self.operate(true)?.add(path, file)?;
        Ok(Box::new(Written { storage: self.clone(), node }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Input>> {
        let machine = self.operate(false)?;
        match &machine.nodes[machine.find(path)?] {
            Node::File { durable, pending, .. } => {
                Ok(Box::new(Cursor::new([&durable[..], pending].concat())))
            }
            Node::Directory { .. } => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.operate(true)?.add(path, directory(BTreeMap::new())).map(|_| ())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut machine = self.operate(false)?;
        let ((parent, from), (other, to)) = (machine.place(from)?, machine.place(to)?);
        assert_eq!(parent, other, "names move within a directory");
        let names = machine.names(parent)?;
        if names.contains_key(&to) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let node = *names.get(&from).ok_or(io::ErrorKind::NotFound)?;
        machine.change(parent, Change::Rename(from, to, node));
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut machine = self.operate(false)?;
        let node = machine.find(path)?;
        let Node::Directory { durable, pending, current } = &mut machine.nodes[node] else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        durable.clone_from(current);
        pending.clear();
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let machine = self.operate(false)?;
        let names = machine.names(machine.find(path)?)?;
        let entry = |(name, &node): (&String, &usize)| Entry {
            path: path.join(name),
            is_directory: machine.names(node).is_ok(),
        };
        Ok(names.iter().map(entry).collect())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut machine = self.operate(false)?;
        let (node, (parent, name)) = (machine.find(path)?, machine.place(path)?);
        if machine.names(node).is_ok() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        machine.change(parent, Change::Remove(name));
        Ok(())
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let mut machine = self.operate(false)?;
        let (node, (parent, name)) = (machine.find(path)?, machine.place(path)?);
        if !machine.names(node)?.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        machine.change(parent, Change::Remove(name));
        Ok(())
    }
}

struct Written {
    storage: Faulty,
    node: usize,
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut machine = self.storage.machine();
        let counted = machine.count(true);
        let is_off = matches!(machine.fault, Fault::PowerCut(_));
        let Node::File { pending, .. } = &mut machine.nodes[self.node] else { panic!() };
        match counted {
            Ok(()) => pending.extend_from_slice(bytes),
            // As much as there was room for.
            Err(_) if !is_off => pending.extend_from_slice(&bytes[..bytes.len() / 2]),
            Err(_) => {}
        }
        counted.map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Written {
    fn sync(&mut self) -> io::Result<()> {
        let mut machine = self.storage.machine();
        let counted = machine.count(true);
        let Node::File { durable, pending, is_doomed } = &mut machine.nodes[self.node] else {
            panic!()
        };
        *is_doomed |= counted.is_err();
        if !*is_doomed {
            durable.append(pending);
        }
        counted
    }
}

/// Every path there is, for messages of tests.
pub(crate) fn tree(storage: &dyn Storage, path: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in storage.list(path).unwrap() {
        all.push(entry.path.clone());
        if entry.is_directory {
            all.extend(tree(storage, &entry.path));
        }
    }
    all
}
