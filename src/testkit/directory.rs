//! Names: what processes see, what the disk holds, and the changes that a power cut keeps or loses.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::rng::Rng;

/// A file, whatever it is called.
pub(super) type Inode = usize;

/// All names on the disk. Each belongs to the directory that is its path's parent.
#[derive(Debug, Default, Clone)]
pub(super) struct Directory {
    cached: BTreeMap<PathBuf, Inode>,
    durable: BTreeMap<PathBuf, Inode>,
    /// What was done since the directory was synced, in order.
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Create { path: PathBuf, inode: Inode },
    Rename { from: PathBuf, to: PathBuf, inode: Inode },
    Remove { path: PathBuf, inode: Inode },
}

/// What a power cut does to names that no sync covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirEntriesAfterCrash {
    /// The first of the changes are kept, the others lost: what file systems with a journal do.
    Ordered,
    /// Each is kept or lost by itself: all that is promised.
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
        self.change(Change::Create { path: path.into(), inode });
    }

    /// The file that had the name `to` before, if any, has it no more.
    pub(super) fn rename(&mut self, from: &Path, to: &Path, inode: Inode) {
        self.change(Change::Rename { from: from.into(), to: to.into(), inode });
    }

    pub(super) fn remove(&mut self, path: &Path, inode: Inode) {
        self.change(Change::Remove { path: path.into(), inode });
    }

    /// A name that is durable.
    #[cfg(any(test, feature = "_sim"))]
    pub(super) fn put(&mut self, path: &Path, inode: Inode) {
        self.cached.insert(path.into(), inode);
        self.durable.insert(path.into(), inode);
    }

    /// A name that is gone, durably.
    #[cfg(any(test, feature = "_sim"))]
    pub(super) fn erase(&mut self, path: &Path) {
        self.cached.remove(path);
        self.durable.remove(path);
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.cached);
        self.pending.push(change);
    }

    /// The names in this directory are durable.
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

    #[cfg(any(test, feature = "_sim"))]
    pub(super) fn is_dirty(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The power is cut.
    pub(super) fn cut_power(&mut self, how: DirEntriesAfterCrash, rng: &mut Rng) {
        let pending = std::mem::take(&mut self.pending);
        let kept_first = rng.below(pending.len() as u64 + 1) as usize;
        let chance = rng.pick(&[0, 20, 50, 80, 100]);
        for (at, change) in pending.iter().enumerate() {
            let kept = match how {
                DirEntriesAfterCrash::Ordered => at < kept_first,
                DirEntriesAfterCrash::Any => rng.chance(chance),
            };
            if kept {
                change.apply(&mut self.durable);
            }
        }
        self.cached.clone_from(&self.durable);
    }

    /// Whether a file has a name still, or may have one again after a power cut.
    pub(super) fn is_named(&self, inode: Inode) -> bool {
        let in_names = |names: &BTreeMap<PathBuf, Inode>| names.values().any(|named| *named == inode);
        in_names(&self.cached)
            || in_names(&self.durable)
            || self.pending.iter().any(|change| change.inode() == inode)
    }
}

impl Change {
    /// A change whose premise is gone (its file has another name by now) still does what it can: the entry it writes
    /// is one block of the directory, the one it removes another.
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
