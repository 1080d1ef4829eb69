//! What a power cut would leave of each file: its content as it was last synced. Names are not part of it:
//! creations, renames and deletions count as durable at once.

use std::{
    collections::{HashMap, hash_map::Entry},
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

/// What is done to the content of a file.
#[derive(Debug)]
pub(crate) enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

#[derive(Debug)]
struct Content {
    durable: Vec<u8>,
    /// Made since the last sync, oldest first.
    changes: Vec<Change>,
}

/// By inode. A file that was never changed here is durable as it is.
#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    files: HashMap<u64, Content>,
}

impl Unsynced {
    /// Makes a change, which is lost by a power cut until the file is synced.
    pub(crate) fn make(&mut self, file: &File, inode: u64, change: Change) -> io::Result<()> {
        let content = match self.files.entry(inode) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let mut durable = vec![0; file.metadata()?.len() as usize];
                file.read_exact_at(&mut durable, 0)?;
                unknown.insert(Content { durable, changes: Vec::new() })
            }
        };
        match &change {
            Change::Write { offset, bytes } => file.write_all_at(bytes, *offset)?,
            Change::SetLen(len) => file.set_len(*len)?,
        }
        content.changes.push(change);
        Ok(())
    }

    /// The file was synced.
    pub(crate) fn sync(&mut self, inode: u64) {
        if let Some(Content { durable, changes }) = self.files.get_mut(&inode) {
            changes.drain(..).for_each(|change| change.apply(durable));
        }
    }

    /// The file is gone.
    pub(crate) fn forget(&mut self, inode: u64) {
        self.files.remove(&inode);
    }

    /// What was not synced never will be, though it can be read still.
    pub(crate) fn lose(&mut self, inode: u64) {
        if let Some(content) = self.files.get_mut(&inode) {
            content.changes.clear();
        }
    }

    /// What was not synced is gone.
    pub(crate) fn revert(&mut self, file: &File, inode: u64) -> io::Result<()> {
        self.lose(inode);
        self.files.get(&inode).map_or(Ok(()), |content| content.write_to(file))
    }

    /// Copies a directory as a power cut would leave it.
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

impl Content {
    fn write_to(&self, file: &File) -> io::Result<()> {
        file.write_all_at(&self.durable, 0)?;
        file.set_len(self.durable.len() as u64)
    }
}

impl Change {
    fn apply(self, content: &mut Vec<u8>) {
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

    fn change(unsynced: &mut Unsynced, file: &File, inode: u64) {
        for (offset, bytes) in [(8, "abcd"), (2, "xy"), (3, "z"), (20, "far")] {
            unsynced.make(file, inode, Change::Write { offset, bytes: bytes.into() }).unwrap();
        }
        for len in [5, 7] {
            unsynced.make(file, inode, Change::SetLen(len)).unwrap();
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
        change(&mut unsynced, &file, inode);
        assert_eq!(fs::read_to_string(&path).unwrap(), "01xz4\0\0");
        assert_eq!(after(&unsynced), "0123456789");
        unsynced.sync(inode);
        assert_eq!(after(&unsynced), "01xz4\0\0");
        unsynced.make(&file, inode, Change::Write { offset: 0, bytes: b"lost".into() }).unwrap();
        unsynced.lose(inode);
        unsynced.sync(inode);
        assert_eq!(
            (fs::read_to_string(&path).unwrap(), after(&unsynced)),
            ("lost4\0\0".into(), "01xz4\0\0".into())
        );
        unsynced.revert(&file, inode).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "01xz4\0\0");
    }
}
