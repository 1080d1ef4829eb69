//! What every log must be able to do to be compared, and the records it is given.
//!
//! Must never favour one of them: the records, the order of calls and the judgement are the same for all.

use std::{fmt, future::Future, path::Path, pin::Pin};

use serde::{Deserialize, Serialize};

use crate::contestants::{ministore, okaywal, ours, raft_engine, wal_db, walrus};

/// What a call to a contestant failed with, in the contestant's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub String);

impl Refusal {
    /// In the words of `error`.
    pub fn of(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// What a contestant answers.
pub type Answer<T> = Result<T, Refusal>;

/// More than a record has beside its filling, as JSON.
pub const FRAME_BYTES: usize = 80;

/// A record that can be recognised: its filling follows from its numbers, so that anything else is known to be invented.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Which of several concurrent callers appended it.
    pub appender: u32,
    /// Counts from 1 within an appender.
    pub number: u64,
    /// Letters and digits that follow from the two numbers and from their own length.
    pub fill: String,
}

impl Record {
    /// The record `number` of `appender`, with `fill_bytes` bytes of filling.
    #[must_use]
    pub fn new(appender: u32, number: u64, fill_bytes: usize) -> Self {
        Self { appender, number, fill: fill(appender, number, fill_bytes) }
    }

    /// Whether exactly this record can have been handed over: nothing in it was changed.
    #[must_use]
    pub fn is_genuine(&self) -> bool {
        self.fill == fill(self.appender, self.number, self.fill.len())
    }

    /// The bytes that a log of bytes is given: the same JSON that a log of values writes.
    ///
    /// # Errors
    ///
    /// None in practice: numbers and a string always serialize.
    pub fn to_bytes(&self) -> Answer<Vec<u8>> {
        // Room for all of it at once: what a log takes is to be measured, not how a buffer grows.
        let mut bytes = Vec::with_capacity(self.fill.len() + FRAME_BYTES);
        serde_json::to_writer(&mut bytes, self).map_err(Refusal::of)?;
        Ok(bytes)
    }
}

fn fill(appender: u32, number: u64, bytes: usize) -> String {
    const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    let mut state = (u64::from(appender) << 48) ^ number ^ ((bytes as u64) << 32) ^ 0x9E37_79B9_7F4A_7C15;
    let mut letters = String::with_capacity(bytes);
    for _ in 0..bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        letters.push(char::from(LETTERS[(state >> 58) as usize]));
    }
    letters
}

/// What a log gave back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Something of the form of a record.
    Record(Record),
    /// Bytes that are no record.
    Garbage(usize),
}

impl Found {
    /// What `bytes` are.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).map_or(Self::Garbage(bytes.len()), Self::Record)
    }
}

/// A future that a contestant made.
pub type Eventually<'a> = Pin<Box<dyn Future<Output = Answer<()>> + Send + 'a>>;

/// A log open for writing.
pub trait Contestant: Send + Sync {
    /// Appends one record. It is *acknowledged* when this returns `Ok`: the contestant then says that it is durable.
    ///
    /// # Errors
    ///
    /// Whatever the contestant says.
    fn append(&self, record: &Record) -> Answer<()>;

    /// Appends records in the way that the contestant offers for many at once; all are acknowledged by `Ok`.
    ///
    /// # Errors
    ///
    /// Whatever the contestant says.
    fn append_many(&self, records: &[Record]) -> Answer<()>;

    /// Every record that is in the log. To be called before the first append.
    ///
    /// # Errors
    ///
    /// Whatever the contestant says.
    fn replay(&self) -> Answer<Vec<Found>>;

    /// What opening reported, through the API, of data that it cut away or passed over.
    fn told(&self) -> Option<String> {
        None
    }

    /// [`append`](Self::append) for a caller on an async runtime; nothing where the contestant has no such call.
    fn append_async(&self, _record: Record) -> Option<Eventually<'_>> {
        None
    }

    /// Closes the log in the contestant's own way.
    ///
    /// # Errors
    ///
    /// Whatever the contestant says.
    fn close(self: Box<Self>) -> Answer<()>;
}

/// What is the same for every contestant.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How large a file of the log may grow before the next is begun, where the contestant lets one choose.
    pub segment_bytes: u64,
}

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// This crate.
    Ours,
    /// The crate that this one replaces.
    Ministore,
    /// `okaywal`.
    Okaywal,
    /// `wal-db` as it opens by default.
    WalDb,
    /// `wal-db` with `OpenPolicy::Strict`.
    WalDbStrict,
    /// `walrus-rust`.
    Walrus,
    /// `raft-engine`.
    RaftEngine,
}

impl Kind {
    /// Everybody, in the order of the tables.
    pub const ALL: [Self; 7] = [
        Self::Ours,
        Self::Ministore,
        Self::Okaywal,
        Self::WalDb,
        Self::WalDbStrict,
        Self::Walrus,
        Self::RaftEngine,
    ];

    /// The crate.
    #[must_use]
    pub fn package(self) -> &'static str {
        match self {
            Self::Ours => "ministore-uring",
            Self::Ministore => "ministore",
            Self::Okaywal => "okaywal",
            Self::WalDb | Self::WalDbStrict => "wal-db",
            Self::Walrus => "walrus-rust",
            Self::RaftEngine => "raft-engine",
        }
    }

    /// The name on the command line and in the tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WalDbStrict => "wal-db-strict",
            other => other.package(),
        }
    }

    /// Who is called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Opens the log in `dir`, creating it where it is missing.
    ///
    /// `walrus-rust` takes its directory from the environment: `WALRUS_DATA_DIR` must be `dir`.
    ///
    /// # Errors
    ///
    /// Whatever the contestant says.
    pub fn open(self, dir: &Path, settings: Settings) -> Answer<Box<dyn Contestant>> {
        Ok(match self {
            Self::Ours => Box::new(ours::Log::open(dir, settings)?),
            Self::Ministore => Box::new(ministore::Log::open(dir, settings)?),
            Self::Okaywal => Box::new(okaywal::Log::open(dir)?),
            Self::WalDb => Box::new(wal_db::Log::open(dir, settings, wal_db::Policy::Default)?),
            Self::WalDbStrict => Box::new(wal_db::Log::open(dir, settings, wal_db::Policy::Strict)?),
            Self::Walrus => Box::new(walrus::Log::open(dir)?),
            Self::RaftEngine => Box::new(raft_engine::Log::open(dir, settings)?),
        })
    }
}
