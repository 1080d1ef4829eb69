//! The class of each error, by what a caller can do about it, and whether the record of a failed append was written.

use std::{io, path::Path};

use serde::Serialize;

use super::{MiniStoreError, file_error, is_shortage, is_storage_full};

/// Whether the record of a failed append was written. See [`MiniStoreError::write_outcome`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteOutcome {
    /// It was not written, and never will be: it may be appended again.
    NotWritten,
    /// The next open may find it, whole, or not at all.
    Unknown,
}

/// The class of an error, by what a caller can do about it. See [`MiniStoreError::kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call was wrong: an option, an argument, a record that is not JSON or too large. Change the call.
    InvalidInput,
    /// Stored data is damaged, not a journal, or does not fit the type. `ministore verify` lists the damage.
    InvalidData,
    /// The records asked for were deleted by retention. Continue with the oldest one that exists.
    Trimmed,
    /// Another writer was first: another process holds the journal, the queue is full, or another append took the
    /// sequence number.
    Contention,
    /// The disk, a quota or a file size limit is full. Free space and try again.
    StorageFull,
    /// The store accepts nothing more: closed, poisoned, its writer panicked, or this is a forked child. Open the
    /// journal again.
    Closed,
    /// A system call failed before it changed anything. Try again later.
    Unavailable,
    /// The requested backend is not available here.
    Unsupported,
    /// The operating system refused something else.
    Io,
}

impl MiniStoreError {
    /// Returns the class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Serialize { .. }
            | Self::InvalidArgument(_)
            | Self::PathIsNotFile { .. }
            | Self::NotOwned { .. }
            | Self::InvalidJson { .. }
            | Self::TooLarge { .. } => ErrorKind::InvalidInput,
            Self::Deserialize { .. }
            | Self::MissingInitialState
            | Self::Corrupt { .. }
            | Self::Record { .. } => ErrorKind::InvalidData,
            Self::Trimmed { .. } => ErrorKind::Trimmed,
            Self::Locked { .. } | Self::QueueFull | Self::SeqMismatch { .. } => ErrorKind::Contention,
            Self::StorageFull { .. } => ErrorKind::StorageFull,
            Self::Poisoned { .. } | Self::Closed | Self::WriterPanicked | Self::Forked { .. } => {
                ErrorKind::Closed
            }
            Self::Unavailable { .. } => ErrorKind::Unavailable,
            Self::BackendUnavailable { .. } => ErrorKind::Unsupported,
            Self::Io { .. } => ErrorKind::Io,
        }
    }

    /// Returns whether the same call may succeed later, without any other change to the program or the journal:
    /// [`QueueFull`](Self::QueueFull), [`StorageFull`](Self::StorageFull), [`Unavailable`](Self::Unavailable),
    /// [`Locked`](Self::Locked), and an [`Io`](Self::Io) error that is a temporary shortage (descriptors, memory, disk
    /// space, an interrupted or timed-out call).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::QueueFull | Self::StorageFull { .. } | Self::Unavailable { .. } | Self::Locked { .. } => {
                true
            }
            Self::Io { source } => {
                let cause = file_error(source).map_or(source, |file| &file.source);
                is_shortage(cause) || is_storage_full(cause) || cause.kind() == io::ErrorKind::TimedOut
            }
            _ => false,
        }
    }

    /// Returns the file or the journal that the error is about, where it is about one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Corrupt { segment: path, .. }
            | Self::Record { segment: path, .. }
            | Self::PathIsNotFile { path }
            | Self::NotOwned { path, .. }
            | Self::Locked { path, .. }
            | Self::StorageFull { path, .. }
            | Self::Unavailable { path, .. }
            | Self::Poisoned { path, .. }
            | Self::Trimmed { path, .. }
            | Self::Forked { path, .. } => Some(path),
            Self::Io { source } => Some(&file_error(source)?.path),
            _ => None,
        }
    }

    /// Returns whether the record (or all records of the batch) was written, where an append returned this error.
    ///
    /// Where that depends on when the append failed, it returns [`Unknown`](WriteOutcome::Unknown).
    #[must_use]
    pub fn write_outcome(&self) -> WriteOutcome {
        match self {
            Self::Serialize { .. }
            | Self::InvalidArgument(_)
            | Self::InvalidJson { .. }
            | Self::TooLarge { .. }
            | Self::StorageFull { .. }
            | Self::Unavailable { .. }
            | Self::QueueFull
            | Self::SeqMismatch { .. }
            | Self::Closed => WriteOutcome::NotWritten,
            Self::Poisoned { .. } | Self::WriterPanicked | Self::Forked { .. } => WriteOutcome::Unknown,
            // No append returns these.
            Self::Io { .. }
            | Self::Deserialize { .. }
            | Self::MissingInitialState
            | Self::PathIsNotFile { .. }
            | Self::NotOwned { .. }
            | Self::Corrupt { .. }
            | Self::Record { .. }
            | Self::Locked { .. }
            | Self::Trimmed { .. }
            | Self::BackendUnavailable { .. } => WriteOutcome::Unknown,
        }
    }
}
