//! The records: generated before the clock starts, the same for all cases, each exactly of the requested length.

use std::sync::Arc;

use crate::log_under_test::{LogError, LogResult, Record};

/// The total size of the generated records; they are appended repeatedly.
const POOL_BYTES: usize = 32 << 20;

/// The largest number of generated records, for short ones.
const MAX_POOL_RECORDS: usize = 8192;

/// Keeps the number of digits, and thus the length of records, constant.
const FIRST_NUMBER: u64 = 1_000_000;

#[derive(Debug, Clone)]
pub struct RecordPool {
    pool: Arc<[Record]>,
    /// The size of each as JSON.
    pub bytes: usize,
}

impl RecordPool {
    /// Generates records of exactly `bytes` bytes as JSON.
    pub fn new(bytes: usize) -> LogResult<Self> {
        let bare = Record::new(0, FIRST_NUMBER, 0).to_bytes()?.len();
        let fill = bytes
            .checked_sub(bare)
            .ok_or_else(|| LogError(format!("a record of {bytes} bytes: the shortest has {bare}")))?;
        let count = (POOL_BYTES / bytes).clamp(64, MAX_POOL_RECORDS) as u64;
        let pool = (0..count).map(|number| Record::new(0, FIRST_NUMBER + number, fill)).collect();
        Ok(Self { pool, bytes })
    }

    /// Returns a cursor over the records, which never ends. Each caller starts at another record.
    pub fn cursor(&self, caller: usize) -> RecordCursor {
        let start = caller.wrapping_mul(7919) % self.pool.len();
        RecordCursor { pool: Arc::clone(&self.pool), next: start }
    }
}

#[derive(Debug)]
pub struct RecordCursor {
    pool: Arc<[Record]>,
    next: usize,
}

impl RecordCursor {
    pub fn next_record(&mut self) -> &Record {
        let record = &self.pool[self.next];
        self.next = (self.next + 1) % self.pool.len();
        record
    }

    /// Returns the next `count` records, or fewer at the end of the pool.
    pub fn next_records(&mut self, count: usize) -> &[Record] {
        let end = (self.next + count.max(1)).min(self.pool.len());
        let records = &self.pool[self.next..end];
        self.next = end % self.pool.len();
        records
    }

    pub fn all(&self) -> &[Record] {
        &self.pool
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::RecordPool;

    #[test]
    fn record_has_exactly_the_requested_length() {
        for bytes in [100, 300, 4096, 65_536] {
            let events = RecordPool::new(bytes).unwrap();
            let cursor = events.cursor(3);
            assert!(cursor.all().len() >= 64);
            for record in cursor.all().iter().take(70) {
                assert_eq!(record.to_bytes().unwrap().len(), bytes);
            }
        }
    }

    #[test]
    fn too_short_record_is_rejected() {
        assert!(RecordPool::new(10).is_err());
    }

    #[test]
    fn cursor_restarts_at_its_end() {
        let events = RecordPool::new(65_536).unwrap();
        let mut cursor = events.cursor(0);
        let all = cursor.all().len();
        let first = cursor.next_records(all).to_vec();
        assert_eq!(first.len(), all);
        assert_eq!(*cursor.next_record(), first[0]);
    }
}
