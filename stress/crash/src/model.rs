//! The expected state of the journal: every acknowledged record exists once under its number, in order, and batches are
//! complete. A record that was not acknowledged is either intact or absent.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use ministore_uring::Reader;

use crate::record::{RecordId, TestRecord};

/// The acknowledgements of the writers of all rounds.
#[derive(Debug, Default)]
pub struct Model {
    acknowledged: BTreeMap<u64, RecordId>,
    /// The lowest number found by the last check.
    oldest: u64,
    newest: u64,
    /// Retention may have deleted the oldest segments.
    has_retention: bool,
}

impl Model {
    pub fn new() -> Self {
        Self { oldest: 1, ..Self::default() }
    }

    /// Registers that a writer received an acknowledgement with this number for this record.
    pub fn acknowledge(&mut self, seq: u64, id: RecordId) {
        assert_eq!(self.acknowledged.insert(seq, id), None, "number {seq} was assigned twice");
        assert!(seq > self.newest, "number {seq} was assigned after {} was found", self.newest);
    }

    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// Allows the oldest segments to disappear from now on.
    pub fn allow_retention(&mut self) {
        self.has_retention = true;
    }

    /// Checks the records written since the last check.
    pub fn check_new(&mut self, path: &Path) {
        self.check_from(path, self.newest + 1);
    }

    pub fn check_all(&mut self, path: &Path) {
        let newest = self.newest;
        self.check_from(path, 1);
        assert!(self.newest >= newest, "a reader found record {newest}, and now the last is {}", self.newest);
    }

    fn check_from(&mut self, path: &Path, from: u64) {
        let mut scan =
            OrderCheck { from, first: None, last: from.saturating_sub(1), writers: HashMap::new() };
        for record in Reader::open(path).expect("it can be opened").records_from::<TestRecord>(from) {
            let record = record.unwrap_or_else(|error| panic!("a reader failed: {error}"));
            assert!(record.value.is_intact(), "record {}: {:?}", record.seq, record.value);
            scan.add(record.seq, record.value.id);
            if let Some(&id) = self.acknowledged.get(&record.seq) {
                assert_eq!(id, record.value.id, "record {} is not the acknowledged one", record.seq);
            }
        }
        scan.check_batches_complete();
        let oldest = scan.first.unwrap_or(from);
        assert!(
            oldest == from.max(self.oldest) || self.has_retention,
            "records from {from} to {oldest} are lost"
        );
        self.newest = scan.last.max(self.newest);
        if from == 1 {
            assert!(oldest >= self.oldest, "deleted records came back");
            self.oldest = oldest;
        }
        if let Some((&seq, id)) = self.acknowledged.last_key_value() {
            assert!(
                seq <= scan.last,
                "record {seq} ({id:?}) was acknowledged; the last found is {}",
                scan.last
            );
        }
    }
}

/// Checks the order of the records of one scan.
struct OrderCheck {
    from: u64,
    first: Option<u64>,
    last: u64,
    /// The last record of each round and writer.
    writers: HashMap<(u32, u32), RecordId>,
}

impl OrderCheck {
    fn add(&mut self, seq: u64, id: RecordId) {
        if self.first.is_some() {
            assert_eq!(seq, self.last + 1, "numbers are consecutive");
        }
        self.first.get_or_insert(seq);
        self.last = seq;
        match self.writers.insert((id.round, id.writer), id) {
            Some(previous) => {
                assert_eq!(id, previous.successor(), "record {seq}: out of order, lost or repeated");
            }
            None if self.first == Some(self.from) => {
                assert_eq!(
                    (id.count, id.index),
                    (0, 0),
                    "record {seq}: the first records of the writer are lost"
                );
            }
            // Retention deleted the oldest segments, which may have contained the first records of the writer.
            None => assert_eq!(id.index, 0, "record {seq}: incomplete batch"),
        }
    }

    fn check_batches_complete(&self) {
        for id in self.writers.values() {
            assert_eq!(id.successor().index, 0, "incomplete batch: {id:?} is the last of its writer");
        }
    }
}
