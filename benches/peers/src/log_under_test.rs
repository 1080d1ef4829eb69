//! The interface of a compared log, and the records appended to it.
//!
//! Must never favour one log: the records, the order of calls and the checks are the same for all.

use std::{borrow::Cow, future::Future, path::Path, pin::Pin};

use ::wal_db::OpenPolicy;
use bytes::Bytes;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::logs::{ministore, ministore_uring, okaywal, raft_engine, raft_log, wal_db, walrus};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogError(pub String);

impl<E: std::error::Error> From<E> for LogError {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

pub type LogResult<T> = Result<T, LogError>;

/// At least the size of a record as JSON without its filling.
pub const FRAME_BYTES: usize = 80;

/// A recognizable record: its filling follows from its numbers, so that any other filling is known to be invented.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Identifies the caller that appended it among several concurrent ones.
    pub appender: u32,
    /// Counts from 1 within an appender.
    pub number: u64,
    /// Letters and digits that follow from the two numbers and the length.
    pub fill: String,
    /// Its JSON, if the logs get bytes that were serialized beforehand.
    #[serde(skip)]
    pub json: Option<Bytes>,
}

impl Record {
    pub fn new(appender: u32, number: u64, fill_bytes: usize) -> Self {
        Self { appender, number, fill: fill(appender, number, fill_bytes), json: None }
    }

    /// Returns whether exactly this record can have been submitted: nothing in it was changed.
    pub fn is_genuine(&self) -> bool {
        self.fill == fill(self.appender, self.number, self.fill.len())
    }

    /// Returns the record for a log of bytes: the same JSON that a log of values writes.
    pub fn to_bytes(&self) -> LogResult<Cow<'_, [u8]>> {
        if let Some(json) = &self.json {
            return Ok(Cow::Borrowed(json));
        }
        // Allocate all of it at once: the benchmark must not measure the growth of a buffer.
        let mut bytes = Vec::with_capacity(self.fill.len() + FRAME_BYTES);
        serde_json::to_writer(&mut bytes, self)?;
        Ok(Cow::Owned(bytes))
    }
}

fn fill(appender: u32, number: u64, bytes: usize) -> String {
    let mut random = Rng::with_seed((u64::from(appender) << 48) ^ number ^ ((bytes as u64) << 32));
    (0..bytes).map(|_| random.alphanumeric()).collect()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayedItem {
    Record(Record),
    /// Bytes that are not a record; their length.
    Garbage(usize),
}

impl ReplayedItem {
    pub fn of_bytes(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).map_or(Self::Garbage(bytes.len()), Self::Record)
    }
}

pub type BoxFuture<'a> = Pin<Box<dyn Future<Output = LogResult<()>> + Send + 'a>>;

pub trait LogUnderTest: Send + Sync {
    /// Appends one record. The record is *acknowledged* when this returns `Ok`: the log then claims that it is
    /// durable.
    fn append(&self, record: &Record) -> LogResult<()>;

    /// Returns all records of the log. Must be called before the first append.
    fn replay(&self) -> LogResult<Vec<ReplayedItem>>;

    /// Returns the message with which opening reported, through the API, truncated or skipped data.
    fn recovery_message(&self) -> Option<String> {
        None
    }

    /// Appends as [`append`](Self::append) does, for a caller on an async runtime. Returns `None` if the log has no
    /// such call.
    fn append_async(&self, _record: Record) -> Option<BoxFuture<'_>> {
        None
    }

    /// Closes the log with its own call, if it has one.
    fn close(self: Box<Self>) -> LogResult<()> {
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogKind {
    Ours,
    /// The crate that this one can replace.
    Ministore,
    Okaywal,
    /// `wal-db` as it opens by default.
    WalDb,
    WalDbStrict,
    Walrus,
    RaftEngine,
    RaftLog,
}

impl LogKind {
    /// All logs in the order of the tables.
    pub const ALL: [Self; 8] = [
        Self::Ours,
        Self::Ministore,
        Self::Okaywal,
        Self::WalDb,
        Self::WalDbStrict,
        Self::Walrus,
        Self::RaftEngine,
        Self::RaftLog,
    ];

    pub fn package(self) -> &'static str {
        match self {
            Self::Ours => "ministore-uring",
            Self::Ministore => "ministore",
            Self::Okaywal => "okaywal",
            Self::WalDb | Self::WalDbStrict => "wal-db",
            Self::Walrus => "walrus-rust",
            Self::RaftEngine => "raft-engine",
            Self::RaftLog => "raft-log",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::WalDbStrict => "wal-db-strict",
            other => other.package(),
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Opens the log in `dir`, and creates it if it is missing.
    ///
    /// `walrus-rust` takes its directory from the environment: `WALRUS_DATA_DIR` must be `dir`. A log that has such a
    /// setting starts another file at `segment_bytes`.
    pub fn open(self, dir: &Path, segment_bytes: u64) -> LogResult<Box<dyn LogUnderTest>> {
        Ok(match self {
            Self::Ours => Box::new(ministore_uring::UringLog::open(dir, segment_bytes)?),
            Self::Ministore => Box::new(ministore::MinistoreLog::open(dir, segment_bytes)?),
            Self::Okaywal => Box::new(okaywal::OkaywalLog::open(dir)?),
            Self::WalDb => Box::new(wal_db::WalDbLog::open(dir, segment_bytes, OpenPolicy::TruncateTail)?),
            Self::WalDbStrict => Box::new(wal_db::WalDbLog::open(dir, segment_bytes, OpenPolicy::Strict)?),
            Self::Walrus => Box::new(walrus::WalrusLog::open(dir)?),
            Self::RaftEngine => Box::new(raft_engine::RaftEngineLog::open(dir, segment_bytes)?),
            Self::RaftLog => Box::new(raft_log::RaftLogLog::open(dir, segment_bytes, None)?),
        })
    }
}
