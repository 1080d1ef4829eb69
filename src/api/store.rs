//! The handle of an open store. Everything here runs on the caller's thread.

use std::{future::Future, ops::Range, path::Path, sync::Arc};

use bytes::Bytes;
use serde::Serialize;

use super::{limits::AppendLimits, point_reader::PointReader};
use crate::{
    BackendKind, JournalOptions, MiniStoreOptions, OpenReport, Result, Stats,
    commit::{
        queue::{CommitQueue, Payload, WriterHandle, WriterMessage},
        writer,
    },
    format::encode,
    io::FileSystem,
    journal::status::StoreStatus,
    sync::block_on,
};

/// A durable, append-only journal of records, open for writing.
///
/// Cheap to clone; all clones write the same journal. Every method takes `&self`, from any thread and on any
/// async runtime (or none: see [`blocking`](Self::blocking)).
///
/// # Guarantees
///
/// * **Durable**: `Ok` from an append means that its line is on stable storage, and so is everything needed to
///   find it.
/// * **Atomic**: after any crash a record, or a batch, is found whole or not at all.
/// * **Ordered**: replay order is sequence order, and the order in which one caller's append futures were first polled.
/// * **Numbered**: records count from 1, and a record's number never changes.
///
/// # Cancelling
///
/// An append is accepted at the first poll of its future if the queue has capacity for it. Otherwise it waits in a
/// list, in the order of first polls, and is accepted when the appends before it are and there is capacity: first come,
/// first served, whether its future is polled again or not. A future that is kept and not polled (the losing branch of
/// a `select!`, a buffered stream whose consumer is busy) blocks no other append.
///
/// Dropping the future removes the append while it waits: the record is not written. After that, dropping it discards
/// the outcome, and the record may still be written. Other callers are not affected.
///
/// # Dropping
///
/// When the last handle is dropped, every accepted append is made durable and the journal is closed in the
/// background. [`close`](Self::close) does the same and waits for it. Opening the journal again at once works:
/// it waits for the closing.
///
/// # Forking
///
/// A child made by `fork` (without `exec`) has no writer thread. Through a handle that it inherited every append,
/// rotation and close fails with [`Forked`](crate::MiniStoreError::Forked); dropping it changes nothing; the journal
/// can be read, and another one opened. The process that opened the journal continues undisturbed. Its lock is held as
/// long as it, or a child forked from it, has the journal's files open: if it is killed, the journal is unlocked when
/// its forked children have ended or called `exec`. Processes that a program starts (`fork` and `exec`) inherit
/// nothing.
///
/// Forks are detected where the C library makes them (`pthread_atfork`), not for a bare `clone` system call.
#[derive(Debug, Clone)]
pub struct MiniStore {
    pub(super) handle: Arc<StoreHandle>,
}

/// The state that all clones of a handle share.
#[derive(Debug)]
pub(super) struct StoreHandle {
    /// Dropped with the last handle: the writer thread then closes the journal.
    _writer: WriterHandle,
    pub(super) status: Arc<StoreStatus>,
    pub(super) queue: Arc<CommitQueue>,
    report: OpenReport,
    backend: BackendKind,
    fs: Arc<dyn FileSystem>,
    pub(super) limits: AppendLimits,
    point_reader: PointReader,
}

impl MiniStore {
    /// Opens the journal at `path` as `ministore` 0.1.7 does, with [`MiniStoreOptions::new`]: a rotation **deletes**
    /// the oldest of more than 3 segments of 64 MiB. A new program starts from [`JournalOptions`], which deletes
    /// nothing by default.
    ///
    /// # Errors
    ///
    /// As [`JournalOptions::open`].
    pub async fn open<P: AsRef<Path>>(path: P) -> Result<Self> {
        MiniStoreOptions::new().open(path).await
    }

    /// [`open`](Self::open), for programs without an async runtime. Blocks the calling thread.
    ///
    /// # Errors
    ///
    /// As [`JournalOptions::open`].
    pub fn open_blocking<P: AsRef<Path>>(path: P) -> Result<Self> {
        block_on(Self::open(path))
    }

    pub(crate) async fn open_with(options: JournalOptions, path: &Path) -> Result<Self> {
        let (backend, mode) = (options.backend, options.mode);
        let journal = path.to_path_buf();
        Self::open_on(options, path, move || writer::select_backend(&journal, backend, mode)).await
    }

    /// As [`open_with`](Self::open_with), with the backend that `select_backend` returns.
    pub(crate) async fn open_on(
        options: JournalOptions,
        path: &Path,
        select_backend: impl FnOnce() -> Result<writer::SelectedBackend> + Send + 'static,
    ) -> Result<Self> {
        options.validate()?;
        let limits = AppendLimits::new(&options);
        let opening = writer::spawn(options, path.to_path_buf(), limits.max_queue_bytes, select_backend)?;
        Ok(Self::from_parts(opening.await?, limits))
    }

    /// As [`open_on`](Self::open_on), without a writer thread: the caller runs the returned writer step by step.
    #[cfg(any(test, feature = "unstable-internals"))]
    pub(crate) fn open_stepped(
        options: JournalOptions,
        path: &Path,
        selected: writer::SelectedBackend,
    ) -> Result<(Self, writer::SteppedWriter)> {
        options.validate()?;
        let limits = AppendLimits::new(&options);
        let (writer, opened) = writer::SteppedWriter::start(options, path, limits.max_queue_bytes, selected)?;
        Ok((Self::from_parts(opened, limits), writer))
    }

    fn from_parts(opened: writer::WriterParts, limits: AppendLimits) -> Self {
        let writer::WriterParts { writer, status, queue, report, backend, fs } = opened;
        let point_reader = PointReader::new(Arc::clone(&fs), &status.path, status.fork_guard.clone());
        Self {
            handle: Arc::new(StoreHandle {
                _writer: writer,
                status,
                queue,
                report,
                backend,
                fs,
                limits,
                point_reader,
            }),
        }
    }

    /// Appends a record; returns once it is durable.
    ///
    /// The record is serialized at once, on the calling thread; the future owns the line and borrows only the store.
    ///
    /// # Errors
    ///
    /// [`Serialize`](crate::MiniStoreError::Serialize), [`TooLarge`](crate::MiniStoreError::TooLarge),
    /// [`StorageFull`](crate::MiniStoreError::StorageFull), [`Unavailable`](crate::MiniStoreError::Unavailable),
    /// [`Closed`](crate::MiniStoreError::Closed): the record was not written. So is
    /// [`InvalidJson`](crate::MiniStoreError::InvalidJson): the record contains a `RawValue` that not every reader can
    /// parse (a lone surrogate, a number beyond `f64`), nests deeper than 127 levels, or serializes to nothing.
    /// [`Poisoned`](crate::MiniStoreError::Poisoned), [`WriterPanicked`](crate::MiniStoreError::WriterPanicked): see
    /// there.
    pub fn append<'a, R>(&'a self, record: &R) -> impl Future<Output = Result<()>> + Send + use<'a, R>
    where
        R: Serialize + ?Sized,
    {
        let line = self.record_line(record);
        async move {
            self.append_payload(line?, 1).await?.await?;
            Ok(())
        }
    }

    /// Appends records as one: they are stored in one commit group, with consecutive sequence numbers, and after any
    /// crash all of them are found or none. Returns their sequence numbers once they are durable; an empty batch writes
    /// nothing.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append); [`TooLarge`](crate::MiniStoreError::TooLarge) too where the batch is larger than
    /// [`max_batch_bytes`](JournalOptions::max_batch_bytes). No record of it was written then.
    pub fn append_batch<'a, R, I>(
        &'a self,
        records: I,
    ) -> impl Future<Output = Result<Range<u64>>> + Send + use<'a, R, I>
    where
        R: Serialize,
        I: IntoIterator<Item = R>,
    {
        let batch = self.batch_lines(records);
        async move {
            let (lines, count) = batch?;
            let first = self.append_payload(lines, count).await?.await?.seq;
            Ok(first..first + count)
        }
    }

    /// Appends a record that is JSON already; returns its sequence number once it is durable.
    ///
    /// White space around the value is trimmed. Its bytes are kept as they are.
    ///
    /// # Errors
    ///
    /// [`InvalidJson`](crate::MiniStoreError::InvalidJson), with line and column, unless it is exactly one JSON value
    /// with no line feed in it that every reader of the journal can parse: no lone surrogate in a string, no number
    /// beyond `f64`, nested at most 127 levels deep (`docs/reference/format.md` has the whole rule). Otherwise as
    /// [`append`](Self::append).
    pub async fn append_json(&self, json: impl Into<Bytes>) -> Result<u64> {
        let line = encode::validate_line(&json.into())?;
        self.check_record(line.len())?;
        let commit = self.append_payload(Payload::Bytes(line), 1).await?.await?;
        Ok(commit.seq)
    }

    /// As [`append_json`](Self::append_json), for borrowed text: it is copied once.
    ///
    /// # Errors
    ///
    /// As [`append_json`](Self::append_json).
    pub async fn append_json_str(&self, json: &str) -> Result<u64> {
        self.append_json(Bytes::copy_from_slice(json.as_bytes())).await
    }

    /// Rotates the active segment and begins a new one, whatever its size. Does nothing where the active segment
    /// contains no record.
    ///
    /// # Errors
    ///
    /// [`StorageFull`](crate::MiniStoreError::StorageFull): the disk has no space for a new segment; appends continue
    /// in the old one. [`Unavailable`](crate::MiniStoreError::Unavailable): a system call failed before it changed
    /// anything, for example because too many files are open; appends continue in the old segment, and the rotation can
    /// be tried again. Within the back-off, which is at most a second, the last error is returned without another
    /// attempt. [`Closed`](crate::MiniStoreError::Closed), [`Poisoned`](crate::MiniStoreError::Poisoned).
    pub async fn rotate(&self) -> Result<()> {
        self.control(WriterMessage::Rotate).await
    }

    /// Makes every accepted append durable, closes the journal and unlocks it. Appends through other clones fail with
    /// [`Closed`](crate::MiniStoreError::Closed) from then on. Segments that [`trim_before`](Self::trim_before) did not
    /// delete yet are left.
    ///
    /// # Errors
    ///
    /// [`Poisoned`](crate::MiniStoreError::Poisoned), [`StorageFull`](crate::MiniStoreError::StorageFull) if a rotated
    /// segment could not be closed, or another error of the operating system: the journal is then left as
    /// after a crash, and recovered at the next open. [`Closed`](crate::MiniStoreError::Closed) where it is closed
    /// already.
    pub async fn close(&self) -> Result<()> {
        self.control(|reply_tx| WriterMessage::Close(Some(reply_tx))).await
    }

    /// Returns the highest durable sequence number; 0 for none. Every reader in every process sees that record.
    #[must_use]
    pub fn durable_seq(&self) -> u64 {
        self.status().durable_seq()
    }

    /// Returns counters and latencies since the store was opened. Takes no lock and delays no append: call it as often
    /// as you like. For an interval, see [`Stats::since`].
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.status().stats(self.handle.backend, self.handle.queue.used_bytes())
    }

    /// Returns what recovery found and did when the store was opened.
    #[must_use]
    pub fn open_report(&self) -> &OpenReport {
        &self.handle.report
    }

    /// Returns the path of the active segment: absolute, symbolic links resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.status().path
    }

    pub(crate) fn status(&self) -> &Arc<StoreStatus> {
        &self.handle.status
    }

    pub(crate) fn fs(&self) -> &Arc<dyn FileSystem> {
        &self.handle.fs
    }

    pub(crate) fn point_reader(&self) -> &PointReader {
        &self.handle.point_reader
    }
}
