//! What must be found: whatever was acknowledged, under its number, once, in order, batches whole; and of what was not
//! acknowledged, each record whole or not at all.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use ministore_uring::Reader;

use crate::entry::{Entry, Mark};

/// What writers were told, over all rounds.
#[derive(Debug, Default)]
pub struct Model {
    acknowledged: BTreeMap<u64, Mark>,
    /// The number of the oldest record that was there at the last look.
    oldest: u64,
    /// The number of the newest.
    newest: u64,
    /// Oldest segments may be gone.
    retains: bool,
}

impl Model {
    /// Nothing was written yet.
    #[must_use]
    pub fn new() -> Self {
        Self { oldest: 1, ..Self::default() }
    }

    /// A writer was told that this record is durable under this number.
    ///
    /// # Panics
    ///
    /// Where the number was given before.
    pub fn acknowledge(&mut self, seq: u64, mark: Mark) {
        assert_eq!(self.acknowledged.insert(seq, mark), None, "number {seq} was given twice");
        assert!(seq > self.newest, "number {seq} was given after {} was found", self.newest);
    }

    /// Records acknowledged so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.acknowledged.len()
    }

    /// Nothing was acknowledged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.acknowledged.is_empty()
    }

    /// The number of the newest record found.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// From here on the oldest segments may go.
    pub fn retain(&mut self) {
        self.retains = true;
    }

    /// Looks at what was written since the last look.
    ///
    /// # Panics
    ///
    /// Where a rule is broken.
    pub fn check_new(&mut self, path: &Path) {
        self.check_from(path, self.newest + 1);
    }

    /// Looks at all of it.
    ///
    /// # Panics
    ///
    /// Where a rule is broken.
    pub fn check_all(&mut self, path: &Path) {
        let newest = self.newest;
        self.check_from(path, 1);
        assert!(self.newest >= newest, "a reader saw record {newest}, and now the last is {}", self.newest);
    }

    fn check_from(&mut self, path: &Path, from: u64) {
        let mut look = Look { from, first: None, last: from.saturating_sub(1), writers: HashMap::new() };
        for record in Reader::open(path).expect("it can be opened").records_from::<Entry>(from) {
            let record = record.unwrap_or_else(|error| panic!("a reader failed: {error}"));
            assert!(record.value.is_whole(), "record {}: {:?}", record.seq, record.value);
            look.take(record.seq, record.value.mark);
            if let Some(&mark) = self.acknowledged.get(&record.seq) {
                assert_eq!(mark, record.value.mark, "record {} is another one", record.seq);
            }
        }
        look.finish();
        let oldest = look.first.unwrap_or(from);
        assert!(oldest == from.max(self.oldest) || self.retains, "records from {from} to {oldest} are gone");
        self.newest = look.last.max(self.newest);
        if from == 1 {
            assert!(oldest >= self.oldest, "deleted records came back");
            self.oldest = oldest;
        }
        if let Some((&seq, mark)) = self.acknowledged.last_key_value() {
            assert!(
                seq <= look.last,
                "record {seq} ({mark:?}) was acknowledged; the last found is {}",
                look.last
            );
        }
    }
}

/// One reading.
struct Look {
    from: u64,
    first: Option<u64>,
    last: u64,
    /// The newest of every round and writer.
    writers: HashMap<(u32, u32), Mark>,
}

impl Look {
    fn take(&mut self, seq: u64, mark: Mark) {
        if self.first.is_some() {
            assert_eq!(seq, self.last + 1, "numbers are consecutive");
        }
        self.first.get_or_insert(seq);
        self.last = seq;
        match self.writers.insert((mark.round, mark.writer), mark) {
            Some(before) => assert_eq!(mark, before.next(), "record {seq}: out of order, lost or repeated"),
            None if self.first == Some(self.from) => {
                assert_eq!(
                    (mark.count, mark.place),
                    (0, 0),
                    "record {seq}: the writer's first records are gone"
                );
            }
            // The oldest segments were deleted: a writer's first records may have been in them.
            None => assert_eq!(mark.place, 0, "record {seq}: half a batch"),
        }
    }

    fn finish(&self) {
        for mark in self.writers.values() {
            assert_eq!(mark.next().place, 0, "half a batch: {mark:?} is the last of its writer");
        }
    }
}
