//! The files in two states: as programs see them, and as they are on the medium.
//!
//! Written data is *volatile* until a sync of its file succeeds: sectors of 512 bytes, and the file's size. A
//! created, renamed or removed name is volatile until its directory is synced; changes of names keep their order
//! across the whole file system, as on a journaling file system. A failed sync leaves the volatile data readable and
//! marks it as clean, as Linux does: no later sync writes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
};

use crate::faults::random::Random;

/// The unit that is written whole or not at all.
pub const SECTOR_BYTES: u64 = 512;

/// The node number of the root directory.
pub const ROOT: u64 = 1;

type Sector = [u8; SECTOR_BYTES as usize];

/// Whether a sync of a file also makes its name durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameDurability {
    /// It does, as on ext4, xfs and btrfs.
    WithFile,
    /// It does not: only a sync of the directory does, as `fsync(2)` says.
    WithDirectory,
}

/// Which unsynced data survives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepPolicy {
    /// Nothing.
    Nothing,
    /// Everything.
    All,
    /// Any sectors and sizes, and any number of the first changes of names.
    Any,
}

/// The bytes of a file, by sector; a missing sector is zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct FileContent {
    size: u64,
    sectors: BTreeMap<u64, Box<Sector>>,
}

impl FileContent {
    fn sector(&self, index: u64) -> Sector {
        self.sectors.get(&index).map_or([0; SECTOR_BYTES as usize], |sector| **sector)
    }

    fn set(&mut self, index: u64, sector: Option<Box<Sector>>) {
        match sector {
            Some(sector) => self.sectors.insert(index, sector),
            None => self.sectors.remove(&index),
        };
    }
}

#[derive(Debug, Clone, Default)]
struct SimFile {
    volatile: FileContent,
    durable: FileContent,
    /// The sectors that the next sync writes.
    dirty: BTreeSet<u64>,
}

#[derive(Debug, Clone)]
enum Node {
    File(SimFile),
    Directory,
}

/// A change of a name.
#[derive(Debug, Clone)]
struct NameChange {
    /// The directory whose sync makes it durable; for a rename between directories, the target.
    directory: u64,
    steps: Vec<(u64, OsString, Option<u64>)>,
}

type Entries = BTreeMap<(u64, OsString), u64>;

/// The kind of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A file and its size in bytes.
    File(u64),
    /// A directory.
    Directory,
}

/// A simulated disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    nodes: BTreeMap<u64, Node>,
    entries: Entries,
    durable_entries: Entries,
    changes: Vec<NameChange>,
    next: u64,
}

impl Default for SimDisk {
    fn default() -> Self {
        Self {
            nodes: BTreeMap::from([(ROOT, Node::Directory)]),
            entries: Entries::new(),
            durable_entries: Entries::new(),
            changes: Vec::new(),
            next: ROOT + 1,
        }
    }
}

impl SimDisk {
    /// Returns the kind of a node.
    #[must_use]
    pub fn kind(&self, node: u64) -> Option<NodeKind> {
        Some(match self.nodes.get(&node)? {
            Node::File(file) => NodeKind::File(file.volatile.size),
            Node::Directory => NodeKind::Directory,
        })
    }

    /// Returns the node of `name` in `directory`.
    #[must_use]
    pub fn lookup(&self, directory: u64, name: &OsStr) -> Option<u64> {
        self.entries.get(&(directory, name.to_os_string())).copied()
    }

    /// Returns the names in `directory`.
    #[must_use]
    pub fn list(&self, directory: u64) -> Vec<(OsString, u64)> {
        let inside = self.entries.iter().filter(|((parent, _), _)| *parent == directory);
        inside.map(|((_, name), node)| (name.clone(), *node)).collect()
    }

    /// Creates a file or directory; its name must not exist.
    pub fn create(&mut self, directory: u64, name: &OsStr, is_directory: bool) -> u64 {
        let node = self.next;
        self.next += 1;
        self.nodes.insert(node, if is_directory { Node::Directory } else { Node::File(SimFile::default()) });
        self.change(NameChange { directory, steps: vec![(directory, name.to_os_string(), Some(node))] });
        node
    }

    /// Removes a name.
    pub fn unlink(&mut self, directory: u64, name: &OsStr) {
        self.change(NameChange { directory, steps: vec![(directory, name.to_os_string(), None)] });
    }

    /// Renames; replaces an existing target. Returns `false` if the source does not exist.
    pub fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr)) -> bool {
        let Some(node) = self.lookup(from.0, from.1) else { return false };
        let away = (from.0, from.1.to_os_string(), None);
        let there = (to.0, to.1.to_os_string(), Some(node));
        self.change(NameChange { directory: to.0, steps: vec![away, there] });
        true
    }

    fn change(&mut self, change: NameChange) {
        apply(&mut self.entries, &change);
        self.changes.push(change);
    }

    /// Reads from a file.
    #[must_use]
    pub fn read(&self, node: u64, offset: u64, bytes: usize) -> Option<Vec<u8>> {
        let Node::File(file) = self.nodes.get(&node)? else { return None };
        let end = file.volatile.size.min(offset + bytes as u64);
        let mut data = Vec::with_capacity(bytes);
        let mut at = offset;
        while at < end {
            let (index, within) = (at / SECTOR_BYTES, at % SECTOR_BYTES);
            let count = (SECTOR_BYTES - within).min(end - at);
            data.extend_from_slice(&file.volatile.sector(index)[within as usize..(within + count) as usize]);
            at += count;
        }
        Some(data)
    }

    /// Writes to a file. Returns `false` if the file does not exist.
    pub fn write(&mut self, node: u64, offset: u64, data: &[u8]) -> bool {
        let Some(Node::File(file)) = self.nodes.get_mut(&node) else { return false };
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            let (index, within) = (at / SECTOR_BYTES, (at % SECTOR_BYTES) as usize);
            let count = (SECTOR_BYTES as usize - within).min(rest.len());
            let sector =
                file.volatile.sectors.entry(index).or_insert_with(|| Box::new([0; SECTOR_BYTES as usize]));
            sector[within..within + count].copy_from_slice(&rest[..count]);
            file.dirty.insert(index);
            rest = &rest[count..];
            at += count as u64;
        }
        file.volatile.size = file.volatile.size.max(offset + data.len() as u64);
        true
    }

    /// Sets the size of a file. Returns `false` if the file does not exist.
    pub fn resize(&mut self, node: u64, size: u64) -> bool {
        let Some(Node::File(file)) = self.nodes.get_mut(&node) else { return false };
        if size < file.volatile.size {
            let gone: Vec<u64> =
                file.volatile.sectors.range(size.div_ceil(SECTOR_BYTES)..).map(|(index, _)| *index).collect();
            for index in gone {
                file.volatile.sectors.remove(&index);
                file.dirty.insert(index);
            }
            if let Some(last) = file.volatile.sectors.get_mut(&(size / SECTOR_BYTES)) {
                last[(size % SECTOR_BYTES) as usize..].fill(0);
                file.dirty.insert(size / SECTOR_BYTES);
            }
        }
        file.volatile.size = size;
        true
    }

    /// Performs a successful sync of a file.
    pub fn sync(&mut self, node: u64, names: NameDurability) {
        if let Some(Node::File(file)) = self.nodes.get_mut(&node) {
            for index in std::mem::take(&mut file.dirty) {
                file.durable.set(index, file.volatile.sectors.get(&index).cloned());
            }
            file.durable.size = file.volatile.size;
        }
        if names == NameDurability::WithFile {
            self.make_names_durable(|change| change.steps.iter().any(|(_, _, named)| *named == Some(node)));
        }
    }

    /// Performs a failed sync of a file: the dirty sectors are marked as clean.
    pub fn fail_sync(&mut self, node: u64) {
        if let Some(Node::File(file)) = self.nodes.get_mut(&node) {
            file.dirty.clear();
        }
    }

    /// Performs a sync of a directory.
    pub fn sync_directory(&mut self, directory: u64) {
        self.make_names_durable(|change| change.directory == directory);
    }

    /// Makes the changes of names durable, up to the last one that `is_affected` selects.
    fn make_names_durable(&mut self, is_affected: impl Fn(&NameChange) -> bool) {
        let Some(last) = self.changes.iter().rposition(is_affected) else { return };
        for change in self.changes.drain(..=last) {
            apply(&mut self.durable_entries, &change);
        }
    }

    /// Returns the disk in the state after a power cut now.
    #[must_use]
    pub fn power_cut(&self, keep: KeepPolicy, random: &mut Random) -> Self {
        let mut kept = |count: u64| match keep {
            KeepPolicy::Nothing => 0,
            KeepPolicy::All => count,
            KeepPolicy::Any => random.below(count + 1),
        };
        let mut entries = self.durable_entries.clone();
        let changes = kept(self.changes.len() as u64);
        for change in &self.changes[..usize::try_from(changes).unwrap_or(usize::MAX)] {
            apply(&mut entries, change);
        }
        let mut nodes = BTreeMap::new();
        for (number, node) in &self.nodes {
            let left = match node {
                Node::Directory => Node::Directory,
                Node::File(file) => {
                    let mut content = file.durable.clone();
                    if kept(1) == 1 {
                        content.size = file.volatile.size;
                    }
                    for index in &file.dirty {
                        if kept(1) == 1 {
                            content.set(*index, file.volatile.sectors.get(index).cloned());
                        }
                    }
                    let end = content.size.div_ceil(SECTOR_BYTES);
                    content.sectors.retain(|index, _| *index < end);
                    Node::File(SimFile {
                        volatile: content.clone(),
                        durable: content,
                        dirty: BTreeSet::new(),
                    })
                }
            };
            nodes.insert(*number, left);
        }
        Self { nodes, durable_entries: entries.clone(), entries, changes: Vec::new(), next: self.next }
    }
}

fn apply(entries: &mut Entries, change: &NameChange) {
    for (directory, name, node) in &change.steps {
        match node {
            Some(node) => entries.insert((*directory, name.clone()), *node),
            None => entries.remove(&(*directory, name.clone())),
        };
    }
}

#[cfg(test)]
mod tests;
