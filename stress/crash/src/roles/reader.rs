//! A process that reads repeatedly while other processes write, die and recover.

use std::{
    collections::HashMap,
    io::{ErrorKind::NotFound, Read, stdin},
};

use ministore_crash::{
    child::report,
    record::{RecordId, TestRecord},
};
use ministore_uring::{MiniStore, MiniStoreError, Reader};

/// Scans the journal on each request on standard input, until standard input ends. Requests that arrive during a scan
/// are answered by one scan. A scan must not fail, return a damaged record, return another record under a known number,
/// or find fewer records than the previous one.
pub(crate) fn run(path: &str) {
    let (mut scans, mut records) = (0, 0);
    let mut history = ReadHistory::default();
    while stdin().lock().read(&mut [0; 4096]).expect("it can be read") > 0 {
        // Most scans read only the end, because a full scan takes longer as the journal grows.
        let from = if scans % 100 == 0 { 1 } else { history.newest.saturating_sub(30).max(1) };
        records += history.scan(path, from);
        scans += 1;
    }
    report(&format!("read {scans} {records}"));
}

/// The records that earlier scans returned.
#[derive(Debug, Default)]
struct ReadHistory {
    newest: u64,
    ids: HashMap<u64, RecordId>,
}

impl ReadHistory {
    fn scan(&mut self, path: &str, from: u64) -> u64 {
        let (mut count, mut last) = (0, None);
        for record in Reader::open(path).expect("it can be opened").records_from::<TestRecord>(from) {
            let record = match record {
                Ok(record) => record,
                // Retention has deleted the segment before this scan reached it. The next scan starts after the
                // deleted records.
                Err(MiniStoreError::Io { source }) if source.kind() == NotFound => return count,
                Err(error) => panic!("a reader failed from {from}: {error}"),
            };
            assert!(record.value.is_intact(), "record {}: {:?}", record.seq, record.value);
            assert!(last.is_none_or(|last| record.seq == last + 1), "record {} follows {last:?}", record.seq);
            let id = *self.ids.entry(record.seq).or_insert(record.value.id);
            assert_eq!(record.value.id, id, "record {} differs from an earlier scan", record.seq);
            last = Some(record.seq);
            count += 1;
        }
        let last = last.unwrap_or(0);
        assert!(last >= self.newest, "record {} was read, and now the last is {last}", self.newest);
        self.newest = last;
        count
    }
}

/// Tries to open the journal for writing and reports the result.
pub(crate) fn try_to_open(path: &str) {
    match MiniStore::open_blocking(path) {
        Ok(store) => {
            store.blocking().close().expect("it can be closed");
            report("free");
        }
        Err(MiniStoreError::Locked { pid, .. }) => report(&format!("locked {}", pid.unwrap_or(0))),
        Err(error) => panic!("{error}"),
    }
}
