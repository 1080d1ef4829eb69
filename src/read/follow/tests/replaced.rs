//! The file is replaced by a copy of it, which has grown.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{JournalOptions, MiniStoreError, Reader};

/// Ten records, the last of them a text.
struct Rig {
    dir: TempDir,
}

impl Rig {
    fn new() -> Self {
        let rig = Self { dir: TempDir::new().unwrap() };
        append(&rig.path(), 1..=9);
        let store = JournalOptions::new().open_blocking(rig.path()).unwrap();
        store.blocking().append("text").unwrap();
        store.blocking().close().unwrap();
        rig
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("j")
    }

    fn replace(&self) {
        let copy = self.dir.path().join("copy");
        fs::copy(self.path(), &copy).unwrap();
        append(&copy, 11..=15);
        fs::rename(copy, self.path()).unwrap();
    }
}

fn append(path: &Path, values: impl Iterator<Item = u64>) {
    let store = JournalOptions::new().open_blocking(path).unwrap();
    for value in values {
        store.blocking().append(&value).unwrap();
    }
    store.blocking().close().unwrap();
}

#[test]
fn replaced_file_yields_no_record_twice() {
    let rig = Rig::new();
    let mut follow = Reader::open(rig.path()).unwrap().follow_stream::<u64>(1);
    let mut next = || match pollster::block_on(follow.next()).unwrap() {
        Ok(record) => record.seq,
        Err(MiniStoreError::Record { seq, .. }) => seq,
        Err(error) => panic!("{error}"),
    };
    assert_eq!((0..10).map(|_| next()).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    rig.replace();
    assert_eq!((0..5).map(|_| next()).collect::<Vec<_>>(), (11..=15).collect::<Vec<_>>());
}

#[test]
fn replaced_file_yields_no_raw_record_twice() {
    let rig = Rig::new();
    let mut lines = Reader::open(rig.path()).unwrap().follow_raw(1).unwrap();
    let mut next = || lines.next_record().unwrap().unwrap().seq;
    assert_eq!((0..10).map(|_| next()).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    rig.replace();
    assert_eq!((0..5).map(|_| next()).collect::<Vec<_>>(), (11..=15).collect::<Vec<_>>());
}
