//! The followed file is replaced by a longer copy of it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{JournalOptions, MiniStoreError, Reader};

/// A journal of ten records, the last of which is a string.
struct ReplacedJournal {
    dir: TempDir,
}

impl ReplacedJournal {
    fn new() -> Self {
        let journal = Self { dir: TempDir::new().unwrap() };
        append(&journal.path(), 1..=9);
        let store = JournalOptions::new().open_blocking(journal.path()).unwrap();
        store.blocking().append("text").unwrap();
        store.blocking().close().unwrap();
        journal
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
    let journal = ReplacedJournal::new();
    let mut follow = Reader::open(journal.path()).unwrap().follow_stream::<u64>(1);
    let mut next = || match pollster::block_on(follow.next()).unwrap() {
        Ok(record) => record.seq,
        Err(MiniStoreError::Record { seq, .. }) => seq,
        Err(error) => panic!("{error}"),
    };
    assert_eq!((0..10).map(|_| next()).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    journal.replace();
    assert_eq!((0..5).map(|_| next()).collect::<Vec<_>>(), (11..=15).collect::<Vec<_>>());
}

#[test]
fn replaced_file_yields_no_raw_record_twice() {
    let journal = ReplacedJournal::new();
    let mut records = Reader::open(journal.path()).unwrap().follow_raw(1).unwrap();
    let mut next = || records.next_record().unwrap().unwrap().seq;
    assert_eq!((0..10).map(|_| next()).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    journal.replace();
    assert_eq!((0..5).map(|_| next()).collect::<Vec<_>>(), (11..=15).collect::<Vec<_>>());
}
