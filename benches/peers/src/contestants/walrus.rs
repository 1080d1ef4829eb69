//! `walrus-rust` 0.2.0, one topic, `FsyncSchedule::SyncEach`.
//!
//! Acknowledgement: `append_for_topic` returns `Ok`. Promise (crate documentation, "Fsync Scheduling"): "Fsync after every
//! single write (maximum durability, lower throughput)"; "files are opened with the `O_SYNC` flag, making every write
//! synchronous". Batches: "Atomic batch write (all-or-nothing)". Reading: "Checksums are verified for every entry prior to
//! emitting them to the caller" (`docs/batch-reader.md`); what recovery does with damage is not documented.
//!
//! The read position is kept by the reader in the log itself; with `AtLeastOnce` and a huge `persist_every` it is never
//! persisted, so that every opening reads from the beginning.

use std::{fmt, path::Path};

use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus};

use crate::contestant::{Answer, Contestant, Found, Record, Refusal};

/// The topic that the records go to, and the name of the log.
const TOPIC: &str = "log";

/// How many entries a batch may have (crate documentation, "Limits").
const BATCH_MAX: usize = 2000;

/// An open log.
pub struct Log {
    wal: Walrus,
}

impl Log {
    /// Opens or creates it below `dir`, which must be what `WALRUS_DATA_DIR` says.
    ///
    /// # Errors
    ///
    /// What the crate says, or that the environment names another directory.
    pub fn open(dir: &Path) -> Answer<Self> {
        if std::env::var_os("WALRUS_DATA_DIR").as_deref() != Some(dir.as_os_str()) {
            return Err(Refusal(format!("WALRUS_DATA_DIR must be {}", dir.display())));
        }
        let reads = ReadConsistency::AtLeastOnce { persist_every: u32::MAX };
        let wal = Walrus::with_consistency_and_schedule_for_key(TOPIC, reads, FsyncSchedule::SyncEach);
        Ok(Self { wal: wal.map_err(Refusal::of)? })
    }
}

impl Contestant for Log {
    fn append(&self, record: &Record) -> Answer<()> {
        self.wal.append_for_topic(TOPIC, &record.to_bytes()?).map_err(Refusal::of)
    }

    fn append_many(&self, records: &[Record]) -> Answer<()> {
        for batch in records.chunks(BATCH_MAX) {
            let lines = batch.iter().map(Record::to_bytes).collect::<Answer<Vec<_>>>()?;
            let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
            self.wal.batch_append_for_topic(TOPIC, &lines).map_err(Refusal::of)?;
        }
        Ok(())
    }

    fn replay(&self) -> Answer<Vec<Found>> {
        let mut found = Vec::new();
        while let Some(entry) = self.wal.read_next(TOPIC, true).map_err(Refusal::of)? {
            found.push(Found::of_bytes(&entry.data));
        }
        Ok(found)
    }

    fn close(self: Box<Self>) -> Answer<()> {
        Ok(())
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}
