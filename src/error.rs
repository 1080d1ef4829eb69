//! The one error type of the crate, and what each variant asks of the caller.

use std::{io, path::PathBuf, sync::Arc};

/// A specialised [`Result`](std::result::Result) for everything in this crate.
pub type Result<T> = std::result::Result<T, MiniStoreError>;

/// What went wrong, told so that a program can decide what to do next.
///
/// The first six variants are those of `ministore` 0.1.7, unchanged. The others are new, and more may
/// come: the enum is `non_exhaustive`.
///
/// # What became of the record
///
/// [`record_fate`](Self::record_fate) says it. After [`Poisoned`](Self::Poisoned) and [`WriterGone`](Self::WriterGone)
/// the fate of a record whose append returned it is *unknown*: it may be found at the next open, whole, or not at all.
/// After every other error of an append the record was *not* written. ([`Forked`](Self::Forked) has a case of its own:
/// see there.)
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MiniStoreError {
    /// The operating system refused something. The message names the file and what was being done with it.
    #[error("IO error: {source}")]
    Io {
        /// What it said, with its kind.
        #[from]
        source: io::Error,
    },

    /// A record could not be turned into JSON. Nothing was written.
    #[error("Serialization error: {source}")]
    Serialize {
        /// What the serializer said.
        #[from]
        source: serde_json::Error,
    },

    /// A line of the journal is not a record of the type asked for.
    #[error("Deserialization error at line {line}: {source}")]
    Deserialize {
        /// The line, counted from 1 (the header of the first segment is line 1; the headers of later segments
        /// are not counted).
        line: usize,
        /// What the deserializer said.
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

    /// An option or an argument is out of its range.
    #[error("Invalid argument: {0}")]
    InvalidArgument(String),

    /// Acknowledged data is damaged. Nothing was changed; `ministore verify` lists every fault, and
    /// `ministore repair` or `salvage` keep what still verifies.
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
        /// What does not hold.
        reason: String,
    },

    /// A record that was read back (by [`records`](crate::MiniStore::records), say, `follow` or `get`) is not of the type
    /// asked for.
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
        /// What the deserializer said.
        #[source]
        source: serde_json::Error,
    },

    /// A record is not JSON that every reader of the journal can parse: `docs/format.md`, "Accepted records". It was given
    /// as JSON (`append_json`, `submit_json`, `Entry::json`, `JsonBatch`), or its serialization contains a
    /// [`RawValue`](serde_json::value::RawValue), nests too deep or is empty. Nothing was written.
    #[error("invalid JSON record: {reason} at line {line} column {column}")]
    InvalidJson {
        /// The byte of the record at which it fails, counted from 0; the last byte if the record ends too early. It counts
        /// the white space before the value, if the record was given as JSON.
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
        /// The process that holds it, where that can be known.
        pid: Option<u32>,
    },

    /// A file is in the way that does not belong to the journal, or the path asked for is a file of another journal. It was
    /// not changed; the message names it and says what to do.
    #[error("{}: {reason}", path.display())]
    NotOwned {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        reason: String,
    },

    /// The disk (or a quota, or the process's file size limit) has no room for the record. It was not written,
    /// nothing acknowledged is lost, and appends work again once there is room.
    #[error("{}: no room: {source}", path.display())]
    StorageFull {
        /// The file that could not grow.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: Arc<io::Error>,
    },

    /// A system call failed before it changed anything, for want of memory, say, or of a permission. The record was not
    /// written, nothing acknowledged is lost, and the store works again once the call succeeds: try again later.
    #[error("{}: cannot {action} now: {source}", path.display())]
    Unavailable {
        /// The file that the call was about.
        path: PathBuf,
        /// What was being done with it.
        action: &'static str,
        /// The error of the operating system.
        #[source]
        source: Arc<io::Error>,
    },

    /// A write or a sync failed earlier, so that the state of the disk is not known any more: nothing is
    /// acknowledged until the journal is opened anew.
    #[error("{}: stopped after a failed write or sync: {source}", path.display())]
    Poisoned {
        /// The journal.
        path: PathBuf,
        /// The first failure.
        #[source]
        source: Arc<io::Error>,
    },

    /// There is no room in the queue just now, and the caller did not want to wait. The record was not written.
    #[error("the queue is full")]
    Busy,

    /// The record was to get a certain sequence number, and somebody else was first. It was not written.
    #[error("record {expected} was to be next, but {actual} is")]
    Conflict {
        /// The number asked for.
        expected: u64,
        /// The number that the record would have got.
        actual: u64,
    },

    /// The records asked for were deleted by retention.
    #[error("{}: the records before {first_seq} were released", path.display())]
    Released {
        /// The journal.
        path: PathBuf,
        /// The oldest record that is still there, or the next one where none is.
        first_seq: u64,
    },

    /// The store has been closed. The record was not written.
    #[error("the journal is closed")]
    Closed,

    /// The writer thread ended without an answer (it panicked): a fault of this crate.
    #[error("the writer thread is gone")]
    WriterGone,

    /// This process is a fork of the one that opened the journal. A fork has no writer thread: only the process that
    /// opened the journal can write it, and it goes on undisturbed. A record handed over here was not written; one
    /// that was handed over before the fork is written by the other process, and its outcome is known there.
    #[error("{}: opened by process {pid}, and this is a fork of it: only that process can write", path.display())]
    Forked {
        /// The journal.
        path: PathBuf,
        /// The process that opened it.
        pid: u32,
    },

    /// The backend that was asked for cannot run here.
    #[error("io_uring is not available: {source}; {hint}")]
    BackendUnavailable {
        /// The likely cause, and what can be done.
        hint: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// What an I/O error was about; stands inside the [`io::Error`] of [`MiniStoreError::Io`].
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot {action}: {source}", path.display())]
struct FileError {
    path: PathBuf,
    action: &'static str,
    source: io::Error,
}

/// What became of a record whose append failed. See [`MiniStoreError::record_fate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordFate {
    /// It was not written, and never will be: it may be appended again.
    NotWritten,
    /// It may be found at the next open, whole, or not at all.
    Unknown,
}

impl MiniStoreError {
    /// What became of the record (or of all records of the batch), where an append gave this error.
    ///
    /// Where that depends on when the append failed, it is taken to be [`Unknown`](RecordFate::Unknown).
    #[must_use]
    pub fn record_fate(&self) -> RecordFate {
        match self {
            Self::Serialize { .. }
            | Self::InvalidArgument(_)
            | Self::InvalidJson { .. }
            | Self::TooLarge { .. }
            | Self::StorageFull { .. }
            | Self::Unavailable { .. }
            | Self::Busy
            | Self::Conflict { .. }
            | Self::Closed => RecordFate::NotWritten,
            // No append gives the others but `Poisoned`, `WriterGone` and `Forked`.
            _ => RecordFate::Unknown,
        }
    }

    /// For `map_err`: names the file and what was being done with it. The kind of the error stays.
    pub(crate) fn file(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| {
            let kind = source.kind();
            Self::Io { source: io::Error::new(kind, FileError { path, action, source }) }
        }
    }
}

/// The same error once more: what the operating system said goes to several places.
pub(crate) fn copy_of(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

fn seq_note(seq: Option<u64>) -> String {
    seq.map_or_else(String::new, |seq| format!(", record {seq}"))
}

fn pid_note(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" by process {pid}"))
}
