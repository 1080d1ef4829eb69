//! The records: generated before the clock starts, the same for all cases, each exactly of the requested length.

use std::{fmt, str::FromStr, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::log_under_test::{LogError, LogResult, Record};

/// The total size of the generated records; they are appended repeatedly.
const POOL_BYTES: usize = 32 << 20;

/// The largest number of generated records, for short ones.
const MAX_POOL_RECORDS: usize = 8192;

/// Keeps the number of digits, and thus the length of records, constant.
const FIRST_NUMBER: u64 = 1_000_000;

/// The records of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordKind {
    /// The size of each as JSON.
    #[serde(rename = "record_bytes")]
    pub bytes: usize,
    /// Whether the logs get bytes that were serialized before the clock started, and none serializes them itself.
    pub ready_json: bool,
}

/// Precedes the size of records of ready JSON on the command line.
const READY_JSON: &str = "json:";

impl RecordKind {
    /// Returns records that each log serializes itself.
    pub const fn of_bytes(bytes: usize) -> Self {
        Self { bytes, ready_json: false }
    }

    /// Returns records whose JSON is made beforehand.
    pub const fn ready(bytes: usize) -> Self {
        Self { bytes, ready_json: true }
    }
}

impl FromStr for RecordKind {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix(READY_JSON) {
            Some(bytes) => bytes.parse().map(Self::ready),
            None => text.parse().map(Self::of_bytes),
        }
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, ready_json } = *self;
        if bytes >= 1024 && bytes.is_multiple_of(1024) {
            write!(f, "{} KiB", bytes / 1024)?;
        } else {
            write!(f, "{bytes} B")?;
        }
        if ready_json { f.write_str(", ready JSON") } else { Ok(()) }
    }
}

#[derive(Debug, Clone)]
pub struct RecordPool {
    pool: Arc<[Record]>,
    /// The size of each as JSON.
    pub bytes: usize,
}

impl RecordPool {
    /// Generates records of exactly `kind.bytes` bytes as JSON.
    pub fn new(kind: RecordKind) -> LogResult<Self> {
        let bytes = kind.bytes;
        let bare = Record::new(0, FIRST_NUMBER, 0).to_bytes()?.len();
        let fill = bytes
            .checked_sub(bare)
            .ok_or_else(|| LogError(format!("a record of {bytes} bytes: the shortest has {bare}")))?;
        let count = (POOL_BYTES / bytes).clamp(64, MAX_POOL_RECORDS) as u64;
        let pool = (0..count).map(|number| {
            let mut record = Record::new(0, FIRST_NUMBER + number, fill);
            if kind.ready_json {
                record.json = Some(Bytes::from(record.to_bytes()?.into_owned()));
            }
            Ok(record)
        });
        Ok(Self { pool: pool.collect::<LogResult<_>>()?, bytes })
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
    use super::{RecordKind, RecordPool};

    #[test]
    fn record_has_exactly_the_requested_length() {
        for bytes in [100, 300, 4096, 65_536] {
            let events = RecordPool::new(RecordKind::of_bytes(bytes)).unwrap();
            let cursor = events.cursor(3);
            assert!(cursor.all().len() >= 64);
            for record in cursor.all().iter().take(70) {
                assert_eq!(record.to_bytes().unwrap().len(), bytes);
            }
        }
    }

    #[test]
    fn ready_json_is_what_a_log_would_serialize() {
        let own = RecordPool::new(RecordKind::of_bytes(300)).unwrap();
        let ready = RecordPool::new(RecordKind::ready(300)).unwrap();
        for (own, ready) in own.cursor(0).all().iter().zip(ready.cursor(0).all()) {
            assert!(own.json.is_none() && ready.json.is_some());
            assert_eq!(own.to_bytes().unwrap(), ready.to_bytes().unwrap());
        }
    }

    #[test]
    fn kind_is_parsed_and_named() {
        for (text, kind, name) in [
            ("300", RecordKind::of_bytes(300), "300 B"),
            ("json:65536", RecordKind::ready(65_536), "64 KiB, ready JSON"),
        ] {
            assert_eq!(text.parse(), Ok(kind));
            assert_eq!(kind.to_string(), name);
        }
        assert!("json:".parse::<RecordKind>().is_err());
    }

    #[test]
    fn too_short_record_is_rejected() {
        assert!(RecordPool::new(RecordKind::of_bytes(10)).is_err());
    }

    #[test]
    fn cursor_restarts_at_its_end() {
        let events = RecordPool::new(RecordKind::of_bytes(65_536)).unwrap();
        let mut cursor = events.cursor(0);
        let all = cursor.all().len();
        let first = cursor.next_records(all).to_vec();
        assert_eq!(first.len(), all);
        assert_eq!(*cursor.next_record(), first[0]);
    }
}
