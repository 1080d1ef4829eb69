//! The one error type of the crate.
//!
//! `kind.rs` classifies its variants by what a caller can do; `os.rs` classifies the errors of system calls.

mod kind;
mod os;

use std::{io, path::PathBuf, sync::Arc};

pub use kind::{ErrorKind, WriteOutcome};
pub(crate) use os::{clone_io_error, is_shortage, is_storage_full, left_names_unchanged};

/// A specialised [`Result`](std::result::Result) for everything in this crate.
pub type Result<T> = std::result::Result<T, MiniStoreError>;

/// Every error of this crate. [`kind`](Self::kind) and [`is_retryable`](Self::is_retryable) say what a caller can do,
/// [`path`](Self::path) names the file.
///
/// The first six variants are those of `ministore` 0.1.7, unchanged. The others are new, and more may be added: the
/// enum is `non_exhaustive`.
///
/// # The record of a failed append
///
/// [`write_outcome`](Self::write_outcome) returns whether it was written. After [`Poisoned`](Self::Poisoned) and
/// [`WriterPanicked`](Self::WriterPanicked) that is *unknown*: the next open may find the record, whole, or not at all.
/// After every other error of an append the record was *not* written. ([`Forked`](Self::Forked) describes its own
/// case.)
///
/// # `From` conversions
///
/// `MiniStoreError` implements `From<io::Error>` and `From<serde_json::Error>`, because 0.1.7 does. **A program's own
/// `?` on a `serde_json` result in a function that returns this error type becomes [`Serialize`](Self::Serialize)**,
/// also where the program *parsed* something: map such errors yourself before returning them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MiniStoreError {
    /// The operating system refused a call. The message names the file and the action.
    #[error("IO error: {source}")]
    Io {
        /// Its error, with its kind.
        #[from]
        source: io::Error,
    },

    /// A record could not be serialized as JSON. Nothing was written.
    #[error("Serialization error: {source}")]
    Serialize {
        /// The serializer's error.
        #[from]
        source: serde_json::Error,
    },

    /// A line of the journal is not a record of the type asked for.
    #[error("Deserialization error at line {line}: {source}")]
    Deserialize {
        /// The line, counted from 1 (the header of the first segment is line 1; the headers of later segments
        /// are not counted).
        line: usize,
        /// The deserializer's error.
        #[source]
        source: serde_json::Error,
    },

    /// The file does not begin with the header of a journal.
    #[error("Invalid journal file: missing initial state marker")]
    MissingInitialState,

    /// The path of the journal names something that is not a regular file.
    #[error("Path must be a file, got: {path:?}")]
    PathIsNotFile {
        /// The path.
        path: PathBuf,
    },

    /// An option or an argument is out of range.
    #[error("Invalid argument: {0}")]
    InvalidArgument(String),

    /// Acknowledged data is damaged. Nothing was changed; `ministore verify` lists every fault, and
    /// `ministore salvage` copies what still verifies.
    #[error("{}: damaged at byte {offset} (line {line}{}): {reason}", segment.display(), seq_note(*seq))]
    Corrupt {
        /// The file.
        segment: PathBuf,
        /// Where the first unverifiable commit group begins, in bytes from the start of the file.
        offset: u64,
        /// The line that begins there, counted from 1 within the file.
        line: u64,
        /// The sequence number that line would have, where it is known.
        seq: Option<u64>,
        /// The check that failed.
        reason: String,
    },

    /// A record that was read back (by [`records`](crate::Reader::records), `follow` or `get`) is not of the requested
    /// type.
    #[error("{}: record {seq} at byte {offset} (line {line}) does not fit the type: {source}", segment.display())]
    Record {
        /// The file.
        segment: PathBuf,
        /// Where the line begins, in bytes from the start of the file.
        offset: u64,
        /// The line, counted from 1 within the file.
        line: u64,
        /// The record's sequence number.
        seq: u64,
        /// The deserializer's error.
        #[source]
        source: serde_json::Error,
    },

    /// A record is not JSON that every reader of the journal can parse: `docs/reference/format.md`, "Accepted records".
    /// It was given as JSON (`append_json`, `Append::json`, `JsonBatch`), or its serialization contains a
    /// [`RawValue`](serde_json::value::RawValue), nests too deep or is empty. Nothing was written.
    #[error("invalid JSON record: {reason} at line {line} column {column}")]
    InvalidJson {
        /// The byte of the record at which it fails, counted from 0; the last byte if the record ends too early. It
        /// counts the white space before the value, if the record was given as JSON.
        offset: usize,
        /// The record in its batch, counted from 1; 1 without a batch.
        line: u64,
        /// The same place as `offset`, in bytes counted from 1.
        column: usize,
        /// What is wrong.
        reason: String,
    },

    /// A record or a batch is larger than the limit set for it. Nothing was written.
    #[error("{what} of {bytes} bytes is larger than the limit of {bytes_max}")]
    TooLarge {
        /// `"a record"` or `"a batch"`.
        what: &'static str,
        /// Its size as JSON, in bytes.
        bytes: u64,
        /// The limit: `max_record_bytes` or `max_batch_bytes`.
        bytes_max: u64,
    },

    /// Another writer has the journal open.
    #[error("{}: open for writing{}", path.display(), pid_note(*pid))]
    Locked {
        /// The journal.
        path: PathBuf,
        /// The process that holds it, where that is known.
        pid: Option<u32>,
    },

    /// A file is in the way that does not belong to the journal, or the path names a file of another journal. It was
    /// not changed; the message names it and says what to do.
    #[error("{}: {reason}", path.display())]
    NotOwned {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        reason: String,
    },

    /// The disk, a quota, or the process's file size limit has no space for the record, or for what an open writes. It was
    /// not written, nothing acknowledged is lost, and the call works again once space is free.
    #[error("{}: disk full: {source}", path.display())]
    StorageFull {
        /// The file that could not grow.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: Arc<io::Error>,
    },

    /// A system call failed before it changed anything, for example because of missing memory or a permission. The
    /// record was not written, nothing acknowledged is lost, and the store works again once the call succeeds: try
    /// again later.
    #[error("{}: cannot {action} now: {source}", path.display())]
    Unavailable {
        /// The file that the call was about.
        path: PathBuf,
        /// The action.
        action: &'static str,
        /// The operating system's error.
        #[source]
        source: Arc<io::Error>,
    },

    /// A write or a sync failed earlier, so the state of the disk is unknown: no append is acknowledged until the
    /// journal is opened again.
    #[error("{}: poisoned by an earlier write or sync failure: {source}", path.display())]
    Poisoned {
        /// The journal.
        path: PathBuf,
        /// The first failure.
        #[source]
        source: Arc<io::Error>,
    },

    /// The queue has no capacity now, and the call does not wait. The record was not written.
    #[error("the queue is full")]
    QueueFull,

    /// The record was appended with an expected sequence number, and another append took it. It was not written.
    #[error("expected sequence number {expected}, but the next is {actual}")]
    SeqMismatch {
        /// The expected number.
        expected: u64,
        /// The number that is next.
        actual: u64,
    },

    /// The records asked for were deleted by retention.
    #[error("{}: records before {first_seq} were trimmed", path.display())]
    Trimmed {
        /// The journal.
        path: PathBuf,
        /// The oldest record that exists, or the next one where none does.
        first_seq: u64,
    },

    /// The store has been closed. The record was not written.
    #[error("the journal is closed")]
    Closed,

    /// The writer thread panicked: a bug of this crate.
    #[error("writer thread panicked")]
    WriterPanicked,

    /// This process is a fork of the one that opened the journal. A fork has no writer thread: only the process that
    /// opened the journal can write it, and it continues undisturbed. A record appended here was not written; one that
    /// was accepted before the fork is written by the other process, which knows its outcome.
    #[error("{}: opened by process {pid}, and this is a fork of it: only that process can write", path.display())]
    Forked {
        /// The journal.
        path: PathBuf,
        /// The process that opened it.
        pid: u32,
    },

    /// The requested backend cannot run here.
    #[error("the requested backend is not available: {source}; {hint}")]
    BackendUnavailable {
        /// The likely cause, and what to do.
        hint: &'static str,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
}

/// The file and the action of an I/O error; contained in the [`io::Error`] of [`MiniStoreError::Io`].
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot {action}: {source}", path.display())]
struct FileError {
    path: PathBuf,
    action: &'static str,
    source: io::Error,
}

impl MiniStoreError {
    /// Returns a function for `map_err` that adds the file and the action to an I/O error and keeps its kind.
    pub(crate) fn file(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| {
            if is_storage_full(&source) {
                return Self::StorageFull { path, source: Arc::new(source) };
            }
            let kind = source.kind();
            Self::Io { source: io::Error::new(kind, FileError { path, action, source }) }
        }
    }
}

fn file_error(error: &io::Error) -> Option<&FileError> {
    error.get_ref()?.downcast_ref()
}

fn seq_note(seq: Option<u64>) -> String {
    seq.map_or_else(String::new, |seq| format!(", record {seq}"))
}

fn pid_note(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" by process {pid}"))
}
