//! `walrus-rust` 0.2.0, one topic, `FsyncSchedule::SyncEach`.
//!
//! Acknowledgement: `append_for_topic` returns `Ok`. Promise (crate documentation, "Fsync Scheduling"): "Fsync after every
//! single write (maximum durability, lower throughput)"; "files are opened with the `O_SYNC` flag, making every write
//! synchronous". Batches: "Atomic batch write (all-or-nothing)". Reading: "Checksums are verified for every entry prior to
//! emitting them to the caller" (`docs/batch-reader.md`); what recovery does with damage is not documented.
//!
//! The log itself stores the read position; with `AtLeastOnce` and a huge `persist_every` it is never persisted, so
//! that reading starts at the beginning after every open.

use std::path::Path;

use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus};

use crate::log_under_test::{LogError, LogResult, LogUnderTest, Record, ReplayedItem};

/// The topic of the records, and the name of the log.
const TOPIC: &str = "log";

pub struct WalrusLog {
    wal: Walrus,
}

impl WalrusLog {
    /// Opens or creates the log in `dir`, which must be the value of `WALRUS_DATA_DIR`.
    ///
    /// # Errors
    ///
    /// The crate's error, or that the environment names another directory.
    pub fn open(dir: &Path) -> LogResult<Self> {
        if std::env::var_os("WALRUS_DATA_DIR").as_deref() != Some(dir.as_os_str()) {
            return Err(LogError(format!("WALRUS_DATA_DIR must be {}", dir.display())));
        }
        let reads = ReadConsistency::AtLeastOnce { persist_every: u32::MAX };
        let wal = Walrus::with_consistency_and_schedule_for_key(TOPIC, reads, FsyncSchedule::SyncEach);
        Ok(Self { wal: wal? })
    }
}

impl LogUnderTest for WalrusLog {
    fn append(&self, record: &Record) -> LogResult<()> {
        self.wal.append_for_topic(TOPIC, &record.to_bytes()?).map_err(LogError::from)
    }

    fn replay(&self) -> LogResult<Vec<ReplayedItem>> {
        let mut found = Vec::new();
        while let Some(entry) = self.wal.read_next(TOPIC, true)? {
            found.push(ReplayedItem::of_bytes(&entry.data));
        }
        Ok(found)
    }
}
