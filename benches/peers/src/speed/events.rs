//! The records: made before the clock starts, the same for everybody, each exactly as long as asked for.

use std::sync::Arc;

use crate::contestant::{Answer, Record, Refusal};

/// How many bytes of records are made; they are handed over again and again.
const POOL_BYTES: usize = 32 << 20;

/// How many records at most, however short.
const POOL_RECORDS_MAX: usize = 8192;

/// Keeps the number's digits, and so the record's length, the same.
const FIRST_NUMBER: u64 = 1_000_000;

/// Records for any number of callers.
#[derive(Debug, Clone)]
pub struct Events {
    pool: Arc<[Record]>,
    /// Of each, as JSON.
    pub bytes: usize,
}

impl Events {
    /// Records of exactly `bytes` bytes as JSON.
    ///
    /// # Errors
    ///
    /// Where so short a record cannot be made.
    pub fn new(bytes: usize) -> Answer<Self> {
        let bare = Record::new(0, FIRST_NUMBER, 0).to_bytes()?.len();
        let fill = bytes
            .checked_sub(bare)
            .ok_or_else(|| Refusal(format!("a record of {bytes} bytes: the shortest has {bare}")))?;
        let count = (POOL_BYTES / bytes).clamp(64, POOL_RECORDS_MAX) as u64;
        let pool = (0..count).map(|number| Record::new(0, FIRST_NUMBER + number, fill)).collect();
        Ok(Self { pool, bytes })
    }

    /// One caller's walk over the records, which never ends. Every caller begins elsewhere.
    #[must_use]
    pub fn walk(&self, caller: usize) -> Walk {
        let start = caller.wrapping_mul(7919) % self.pool.len();
        Walk { pool: Arc::clone(&self.pool), next: start }
    }
}

/// One caller's walk over the records.
#[derive(Debug)]
pub struct Walk {
    pool: Arc<[Record]>,
    next: usize,
}

impl Walk {
    /// The next record.
    pub fn next_record(&mut self) -> &Record {
        let record = &self.pool[self.next];
        self.next = (self.next + 1) % self.pool.len();
        record
    }

    /// The next `count` records, or as many as there are before the walk begins anew.
    pub fn next_records(&mut self, count: usize) -> &[Record] {
        let end = (self.next + count.max(1)).min(self.pool.len());
        let records = &self.pool[self.next..end];
        self.next = end % self.pool.len();
        records
    }

    /// All records, once.
    #[must_use]
    pub fn all(&self) -> &[Record] {
        &self.pool
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::Events;

    #[test]
    fn every_record_has_exactly_the_length_asked_for() {
        for bytes in [100, 300, 4096, 65_536] {
            let events = Events::new(bytes).unwrap();
            let walk = events.walk(3);
            assert!(walk.all().len() >= 64);
            for record in walk.all().iter().take(70) {
                assert_eq!(record.to_bytes().unwrap().len(), bytes);
            }
        }
    }

    #[test]
    fn a_record_too_short_to_make_is_refused() {
        assert!(Events::new(10).is_err());
    }

    #[test]
    fn walk_restarts_at_its_end() {
        let events = Events::new(65_536).unwrap();
        let mut walk = events.walk(0);
        let all = walk.all().len();
        let first = walk.next_records(all).to_vec();
        assert_eq!(first.len(), all);
        assert_eq!(*walk.next_record(), first[0]);
    }
}
