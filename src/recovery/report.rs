//! What opening a journal found and did.

use std::path::PathBuf;

/// What was found and done when a store was opened. See [`MiniStore::open_report`](crate::MiniStore::open_report).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenReport {
    /// There was no journal: a new one was created.
    pub created: bool,
    /// The sequence number that the next record gets.
    pub next_seq: u64,
    /// Bytes that were cut from the end of the active segment.
    pub cut: Option<CutTail>,
    /// A rotation that had been cut off was completed.
    pub rotation_completed: bool,
    /// The active segment was plain, as `ministore` 0.1.7 writes it, and its lines were put under a seal.
    pub plain_sealed: bool,
}

/// Bytes that recovery cut, and where they were kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CutTail {
    /// The file they were cut from.
    pub segment: PathBuf,
    /// Where they stood, in bytes from the start of the file.
    pub offset: u64,
    /// How many they were.
    pub bytes: u64,
    /// The file that holds them now.
    pub kept_in: Option<PathBuf>,
    /// Why they were cut.
    pub reason: String,
}
