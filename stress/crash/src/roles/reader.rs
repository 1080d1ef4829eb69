//! Reads over and over while others write, die and recover.

use std::{
    collections::HashMap,
    io::{ErrorKind::NotFound, Read, stdin},
};

use ministore_crash::{child::tell, entry::Entry, entry::Mark};
use ministore_uring::{MiniStore, MiniStoreError, Reader};

/// Reads whenever it is asked to (once for all that was asked meanwhile), until its standard input ends: never an
/// error, never half a record, never another record under a number that it has seen, and never fewer than before.
pub(crate) fn run(path: &str) {
    let (mut readings, mut records) = (0, 0);
    let mut seen = Seen::default();
    while stdin().lock().read(&mut [0; 4096]).expect("it can be read") > 0 {
        // All of it now and then, else the end: reading all of it would take ever longer.
        let from = if readings % 100 == 0 { 1 } else { seen.newest.saturating_sub(30).max(1) };
        records += seen.read(path, from);
        readings += 1;
    }
    tell(&format!("read {readings} {records}"));
}

#[derive(Debug, Default)]
struct Seen {
    newest: u64,
    marks: HashMap<u64, Mark>,
}

impl Seen {
    fn read(&mut self, path: &str, from: u64) -> u64 {
        let (mut count, mut last) = (0, None);
        for record in Reader::open(path).expect("it can be opened").records_from::<Entry>(from) {
            let record = match record {
                Ok(record) => record,
                // Retention has overtaken this reading, and says so: the next one begins behind what is gone.
                Err(MiniStoreError::Io { source }) if source.kind() == NotFound => return count,
                Err(error) => panic!("a reader failed from {from}: {error}"),
            };
            assert!(record.value.is_whole(), "record {}: {:?}", record.seq, record.value);
            assert!(last.is_none_or(|last| record.seq == last + 1), "record {} follows {last:?}", record.seq);
            let mark = *self.marks.entry(record.seq).or_insert(record.value.mark);
            assert_eq!(record.value.mark, mark, "record {} is another one than before", record.seq);
            last = Some(record.seq);
            count += 1;
        }
        let last = last.unwrap_or(0);
        assert!(last >= self.newest, "record {} was read, and now the last is {last}", self.newest);
        self.newest = last;
        count
    }
}

/// Tries to open the journal for writing, and tells what came of it.
pub(crate) fn try_to_open(path: &str) {
    match MiniStore::open_blocking(path) {
        Ok(store) => {
            store.blocking().close().expect("it can be closed");
            tell("free");
        }
        Err(MiniStoreError::Locked { pid, .. }) => tell(&format!("locked {}", pid.unwrap_or(0))),
        Err(error) => panic!("{error}"),
    }
}
