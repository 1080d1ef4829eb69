//! The state of each file that a power cut would leave: its content at its last sync. Names are not part of it:
//! creations, renames and deletions count as durable at once.

use std::{
    collections::{HashMap, hash_map::Entry},
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

/// A change of the content of a file.
#[derive(Debug)]
pub(crate) enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

#[derive(Debug)]
struct TrackedFile {
    durable: Vec<u8>,
    /// Changes since the last sync, oldest first.
    changes: Vec<Change>,
}

/// Tracked files by inode. A file that was never changed through this mount is durable as it is.
#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    files: HashMap<u64, TrackedFile>,
}

impl Unsynced {
    /// Applies a change, which a power cut loses until the file is synced.
    pub(crate) fn apply(&mut self, file: &File, inode: u64, change: Change) -> io::Result<()> {
        let content = match self.files.entry(inode) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let mut durable = vec![0; file.metadata()?.len() as usize];
                file.read_exact_at(&mut durable, 0)?;
                unknown.insert(TrackedFile { durable, changes: Vec::new() })
            }
        };
        match &change {
            Change::Write { offset, bytes } => file.write_all_at(bytes, *offset)?,
            Change::SetLen(len) => file.set_len(*len)?,
        }
        content.changes.push(change);
        Ok(())
    }

    /// Makes all changes of the file durable.
    pub(crate) fn sync(&mut self, inode: u64) {
        if let Some(TrackedFile { durable, changes }) = self.files.get_mut(&inode) {
            changes.drain(..).for_each(|change| change.apply_to(durable));
        }
    }

    /// Drops a deleted file.
    pub(crate) fn forget(&mut self, inode: u64) {
        self.files.remove(&inode);
    }

    /// Makes the unsynced changes never durable; they stay readable.
    pub(crate) fn forget_changes(&mut self, inode: u64) {
        if let Some(content) = self.files.get_mut(&inode) {
            content.changes.clear();
        }
    }

    /// Drops the unsynced changes from the file.
    pub(crate) fn revert(&mut self, file: &File, inode: u64) -> io::Result<()> {
        self.forget_changes(inode);
        self.files.get(&inode).map_or(Ok(()), |content| content.write_to(file))
    }

    /// Copies a directory in the state that a power cut would leave.
    pub(crate) fn copy_durable(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let copy = to.join(entry.file_name());
            let meta = entry.metadata()?;
            if meta.is_dir() {
                self.copy_durable(&entry.path(), &copy)?;
            } else if meta.is_file() {
                match self.files.get(&meta.ino()) {
                    Some(content) => content.write_to(&File::create(&copy)?)?,
                    None => drop(fs::copy(entry.path(), &copy)?),
                }
            }
        }
        Ok(())
    }
}

impl TrackedFile {
    fn write_to(&self, file: &File) -> io::Result<()> {
        file.write_all_at(&self.durable, 0)?;
        file.set_len(self.durable.len() as u64)
    }
}

impl Change {
    fn apply_to(self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let (start, end) = (offset as usize, offset as usize + bytes.len());
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[start..end].copy_from_slice(&bytes);
            }
            Self::SetLen(len) => content.resize(len as usize, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply_test_changes(unsynced: &mut Unsynced, file: &File, inode: u64) {
        for (offset, bytes) in [(8, "abcd"), (2, "xy"), (3, "z"), (20, "far")] {
            unsynced.apply(file, inode, Change::Write { offset, bytes: bytes.into() }).unwrap();
        }
        for len in [5, 7] {
            unsynced.apply(file, inode, Change::SetLen(len)).unwrap();
        }
    }

    #[test]
    fn power_cut_keeps_only_synced_data() {
        let dir = tempfile::tempdir().unwrap();
        let (here, copies) = (dir.path().join("here"), dir.path().join("copies"));
        fs::create_dir(&here).unwrap();
        let path = here.join("f");
        fs::write(&path, "0123456789").unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let mut unsynced = Unsynced::default();
        let inode = file.metadata().unwrap().ino();
        let after = |unsynced: &Unsynced| {
            unsynced.copy_durable(&here, &copies).unwrap();
            fs::read_to_string(copies.join("f")).unwrap()
        };
        apply_test_changes(&mut unsynced, &file, inode);
        assert_eq!(fs::read_to_string(&path).unwrap(), "01xz4\0\0");
        assert_eq!(after(&unsynced), "0123456789");
        unsynced.sync(inode);
        assert_eq!(after(&unsynced), "01xz4\0\0");
        unsynced.apply(&file, inode, Change::Write { offset: 0, bytes: b"lost".into() }).unwrap();
        unsynced.forget_changes(inode);
        unsynced.sync(inode);
        assert_eq!(
            (fs::read_to_string(&path).unwrap(), after(&unsynced)),
            ("lost4\0\0".into(), "01xz4\0\0".into())
        );
        unsynced.revert(&file, inode).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "01xz4\0\0");
    }
}
