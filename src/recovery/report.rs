//! The report of a recovery.

use std::path::PathBuf;

use serde::Serialize;

/// What recovery found and did when a store was opened. See [`MiniStore::open_report`](crate::MiniStore::open_report).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OpenReport {
    /// There was no journal: a new one was created.
    pub created: bool,
    /// The sequence number that the next record gets.
    pub next_seq: u64,
    /// Bytes that were truncated from the end of the active segment.
    pub truncated: Option<TruncatedTail>,
    /// An interrupted rotation was completed.
    pub rotation_completed: bool,
    /// The active segment had no checksums, as `ministore` 0.1.7 writes it, and its lines got a seal.
    pub legacy_upgraded: bool,
}

/// Bytes that recovery truncated, and the file they were saved to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TruncatedTail {
    /// The file they were truncated from.
    #[serde(serialize_with = "crate::serialize::path")]
    pub segment: PathBuf,
    /// Their offset, in bytes from the start of the file.
    pub offset: u64,
    /// Their number.
    pub bytes: u64,
    /// The file that contains them now.
    #[serde(serialize_with = "crate::serialize::optional_path")]
    pub saved_to: Option<PathBuf>,
    /// The check that failed.
    pub reason: String,
}
