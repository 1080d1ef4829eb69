//! `raft-log` 0.4.6, the log of a Raft node: one appender at a time, in a mutex; one log entry per record.
//!
//! Acknowledgement: the callback of `flush(true, callback)` receives `Ok`. Promise (documentation of
//! `RaftLogWriter::flush`): "the worker also calls `fsync` so the data is on stable storage"; its worker syncs what
//! several flushes wait for together. After a failed sync the worker ends (`src/wal/flush_worker.rs` of `chunked-wal`
//! 0.2.3), and later flushes return an error; neither is documented. Damage: "an incomplete trailing record is
//! truncated" (`docs/architecture.md`); records have a checksum.
//!
//! Must wait for the callback outside the mutex: otherwise each record would pay for its own sync.

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};

use raft_log::{Config, RaftLog, Types, api::raft_log_writer::RaftLogWriter};

use crate::log_under_test::{LogError, LogResult, LogUnderTest, Record, ReplayedItem};

/// The term of every entry.
const TERM: u64 = 1;

/// Entries of bytes; an identifier is the term and the index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct RecordTypes;

impl Types for RecordTypes {
    type LogId = (u64, u64);
    type LogPayload = Vec<u8>;
    type Vote = (u64, u64);
    type Callback = SyncSender<io::Result<()>>;
    type UserData = String;

    fn log_index(id: &Self::LogId) -> u64 {
        id.1
    }

    fn payload_size(payload: &Self::LogPayload) -> u64 {
        payload.len() as u64
    }
}

/// An open log.
#[derive(Debug)]
pub struct RaftLogLog {
    log: Mutex<RaftLog<RecordTypes>>,
}

impl RaftLogLog {
    /// Opens or creates the log; `flush_batch_wait` is how long its worker waits for more flushes before it syncs.
    pub fn open(dir: &Path, segment_bytes: u64, flush_batch_wait: Option<Duration>) -> LogResult<Self> {
        let mut config = Config::new(dir.display());
        config.wal.chunk_max_size = Some(usize::try_from(segment_bytes)?);
        config.wal.flush_batch_wait = flush_batch_wait;
        Ok(Self { log: Mutex::new(RaftLog::open(Arc::new(config))?) })
    }
}

impl LogUnderTest for RaftLogLog {
    fn append(&self, record: &Record) -> LogResult<()> {
        let payload = record.to_bytes()?.into_owned();
        let (sender, synced) = sync_channel(1);
        {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            let index = RecordTypes::next_log_index(log.log_state().last());
            log.append([((TERM, index), payload)])?;
            log.flush(true, Some(sender))?;
        }
        synced.recv()?.map_err(LogError::from)
    }

    fn replay(&self) -> LogResult<Vec<ReplayedItem>> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = log.read(0, u64::MAX);
        entries
            .map(|entry| entry.map(|(_, payload)| ReplayedItem::of_bytes(&payload)).map_err(LogError::from))
            .collect()
    }
}
