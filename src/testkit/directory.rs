//! Names of files: those in the page cache, those on the disk, and the changes that a power cut keeps or loses.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::rng::Rng;

/// A file, whatever its names.
pub(super) type Inode = usize;

/// All names on the disk. Each belongs to the directory that is its path's parent.
#[derive(Debug, Default, Clone)]
pub(super) struct Directory {
    /// The names that every process lists.
    cached: BTreeMap<PathBuf, Inode>,
    /// The names as of the last sync of each directory.
    durable: BTreeMap<PathBuf, Inode>,
    /// The changes since, in order.
    pending: Vec<DirChange>,
}

#[derive(Debug, Clone)]
enum DirChange {
    Create { path: PathBuf, inode: Inode },
    Rename { from: PathBuf, to: PathBuf, inode: Inode },
    Remove { path: PathBuf, inode: Inode },
}

/// The effect of a power cut on names that no sync covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirEntriesAfterCrash {
    /// A prefix of the changes is kept, the others are lost: what file systems with a journal do.
    Ordered,
    /// Each is kept or lost independently: POSIX guarantees no more.
    Any,
}

impl Directory {
    pub(super) fn find(&self, path: &Path) -> Option<Inode> {
        self.cached.get(path).copied()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = (&PathBuf, Inode)> {
        self.cached.iter().map(|(path, inode)| (path, *inode))
    }

    pub(super) fn create(&mut self, path: &Path, inode: Inode) {
        self.change(DirChange::Create { path: path.into(), inode });
    }

    /// Renames a file. Another file with the name `to` loses it.
    pub(super) fn rename(&mut self, from: &Path, to: &Path, inode: Inode) {
        self.change(DirChange::Rename { from: from.into(), to: to.into(), inode });
    }

    pub(super) fn remove(&mut self, path: &Path, inode: Inode) {
        self.change(DirChange::Remove { path: path.into(), inode });
    }

    /// Creates a name that is durable.
    pub(super) fn create_durable(&mut self, path: &Path, inode: Inode) {
        self.cached.insert(path.into(), inode);
        self.durable.insert(path.into(), inode);
    }

    /// Removes a name durably.
    pub(super) fn remove_durable(&mut self, path: &Path) {
        self.cached.remove(path);
        self.durable.remove(path);
    }

    fn change(&mut self, change: DirChange) {
        change.apply(&mut self.cached);
        self.pending.push(change);
    }

    /// Makes the names in this directory durable.
    pub(super) fn sync(&mut self, dir: &Path) {
        let durable = &mut self.durable;
        self.pending.retain(|change| {
            let covered = change.path().parent() == Some(dir);
            if covered {
                change.apply(durable);
            }
            !covered
        });
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Cuts the power.
    pub(super) fn power_cut(&mut self, how: DirEntriesAfterCrash, rng: &mut Rng) {
        let pending = std::mem::take(&mut self.pending);
        let kept_prefix = rng.below(pending.len() as u64 + 1) as usize;
        let chance = rng.pick(&[0, 20, 50, 80, 100]);
        for (at, change) in pending.iter().enumerate() {
            let kept = match how {
                DirEntriesAfterCrash::Ordered => at < kept_prefix,
                DirEntriesAfterCrash::Any => rng.chance(chance),
            };
            if kept {
                change.apply(&mut self.durable);
            }
        }
        self.cached.clone_from(&self.durable);
    }

    /// Returns whether a file has a name, or may have one again after a power cut.
    pub(super) fn is_named(&self, inode: Inode) -> bool {
        let in_names = |names: &BTreeMap<PathBuf, Inode>| names.values().any(|named| *named == inode);
        in_names(&self.cached)
            || in_names(&self.durable)
            || self.pending.iter().any(|change| change.inode() == inode)
    }
}

impl DirChange {
    /// Applies the change. If its file has another name since, the entry that it writes still changes, and the one that
    /// it removes stays: they are in different blocks of the directory.
    fn apply(&self, names: &mut BTreeMap<PathBuf, Inode>) {
        match self {
            Self::Create { path, inode } => drop(names.insert(path.clone(), *inode)),
            Self::Rename { from, to, inode } => {
                if names.get(from) == Some(inode) {
                    names.remove(from);
                }
                names.insert(to.clone(), *inode);
            }
            Self::Remove { path, inode } => {
                if names.get(path) == Some(inode) {
                    names.remove(path);
                }
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Create { path, .. } | Self::Remove { path, .. } => path,
            Self::Rename { to, .. } => to,
        }
    }

    fn inode(&self) -> Inode {
        match self {
            Self::Create { inode, .. } | Self::Rename { inode, .. } | Self::Remove { inode, .. } => *inode,
        }
    }
}
