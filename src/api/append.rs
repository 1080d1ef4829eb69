//! Appends with options: the builder [`Append`], and the calls that queue it.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use serde::Serialize;

use super::{JsonBatch, PendingAppend, Receipt};
use crate::{
    MiniStore, Result,
    commit::queue::{Callback, Payload, QueuedAppend, append_result},
    format::encode,
    options::LINE_BYTES_LIMIT,
};

type OnCommit = Box<dyn FnOnce(Result<Receipt>) + Send>;

/// A record, a batch or a line of JSON to append, serialized once, with options. [`MiniStore::send`] appends it.
///
/// Cheap to clone: one that was rejected with [`QueueFull`](crate::MiniStoreError::QueueFull) can be sent again.
///
/// ```
/// # fn main() -> ministore_uring::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("journal.jsonl");
/// use ministore_uring::{Append, JournalOptions, MiniStoreError};
///
/// let store = JournalOptions::new().open_blocking(&path)?;
/// let receipt = store.blocking().send(Append::batch(["a", "b"])?.expect_seq(1))?.wait()?;
/// assert_eq!(receipt.seqs(), 1..3);
/// println!("{} records became durable together after {:?}", receipt.group_records, receipt.latency);
///
/// let late = store.blocking().send(Append::record(&"c")?.expect_seq(1))?.wait();
/// assert!(matches!(late, Err(MiniStoreError::SeqMismatch { expected: 1, actual: 3 })));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "an append does nothing until it is sent"]
pub struct Append {
    lines: Bytes,
    records: u64,
    /// Size of the largest record, in bytes.
    largest_record_bytes: usize,
    is_batch: bool,
    expected_seq: Option<u64>,
    on_commit: Option<Arc<Mutex<Option<OnCommit>>>>,
}

impl Append {
    /// Creates an append of one record.
    ///
    /// # Errors
    ///
    /// [`Serialize`](crate::MiniStoreError::Serialize), [`InvalidJson`](crate::MiniStoreError::InvalidJson): see
    /// [`MiniStore::append`].
    pub fn record<R: Serialize + ?Sized>(record: &R) -> Result<Self> {
        Ok(Self::from_line(Payload::owned(encode::to_line(record)?).into_shared()))
    }

    /// Creates an append of records of which a recovery finds all or none: see [`MiniStore::append_batch`].
    ///
    /// # Errors
    ///
    /// [`Serialize`](crate::MiniStoreError::Serialize), [`InvalidJson`](crate::MiniStoreError::InvalidJson);
    /// [`TooLarge`](crate::MiniStoreError::TooLarge) beyond 1 GiB. The store checks its own limits when it is sent.
    pub fn batch<R: Serialize>(batch: impl IntoIterator<Item = R>) -> Result<Self> {
        let mut largest_record_bytes = 0;
        let (lines, records) = encode::batch_lines(batch, LINE_BYTES_LIMIT, |bytes| {
            largest_record_bytes = bytes.max(largest_record_bytes);
            Ok(())
        })?;
        Ok(Self::from_batch(lines, records, largest_record_bytes))
    }

    /// Creates an append of one record that is JSON already: see [`MiniStore::append_json`].
    ///
    /// # Errors
    ///
    /// [`InvalidJson`](crate::MiniStoreError::InvalidJson).
    pub fn json(json: impl Into<Bytes>) -> Result<Self> {
        Ok(Self::from_line(encode::validate_line(&json.into())?))
    }

    /// As [`json`](Self::json), for borrowed text: it is copied once.
    ///
    /// # Errors
    ///
    /// [`InvalidJson`](crate::MiniStoreError::InvalidJson).
    pub fn json_str(json: &str) -> Result<Self> {
        Self::json(Bytes::copy_from_slice(json.as_bytes()))
    }

    /// Creates an append of the records of a [`JsonBatch`], of which a recovery finds all or none.
    pub fn json_batch(batch: JsonBatch) -> Self {
        let (lines, records, largest_record_bytes) = batch.into_parts();
        Self::from_batch(lines, records, largest_record_bytes)
    }

    fn from_line(line: Bytes) -> Self {
        let largest_record_bytes = line.len();
        Self {
            lines: line,
            records: 1,
            largest_record_bytes,
            is_batch: false,
            expected_seq: None,
            on_commit: None,
        }
    }

    fn from_batch(lines: Vec<u8>, records: u64, largest_record_bytes: usize) -> Self {
        let lines = Payload::owned(lines).into_shared();
        Self { lines, records, largest_record_bytes, is_batch: true, expected_seq: None, on_commit: None }
    }

    /// Appends only if the first record gets the sequence number `seq`. Otherwise, because another append was first or
    /// an earlier one could not be written, it fails with [`SeqMismatch`](crate::MiniStoreError::SeqMismatch) and is
    /// not written. `durable_seq() + 1` is the number that a single writer gets next.
    ///
    /// Such an append has a commit group of its own: it does not share its write and its sync.
    pub fn expect_seq(mut self, seq: u64) -> Self {
        self.expected_seq = Some(seq);
        self
    }

    /// Calls `callback` with the outcome, **on the writer thread**, after
    /// [`durable_seq`](MiniStore::durable_seq) has passed the record.
    ///
    /// Callbacks of one store run in the order of their records, and nothing is committed while one runs. So it must be
    /// short and must not wait for this store: it may call [`try_send`](MiniStore::try_send) and other methods that do
    /// not wait. A panic in it is logged and affects no other append. It is called_at exactly once, by the writer
    /// thread or, where that ends without an outcome, by the thread that drops the queue; never in a forked child.
    /// Where the append is not accepted it is dropped without a call. Clones share the callback: the first of them that
    /// is accepted calls it.
    pub fn on_commit(mut self, callback: impl FnOnce(Result<Receipt>) + Send + 'static) -> Self {
        self.on_commit = Some(Arc::new(Mutex::new(Some(Box::new(callback)))));
        self
    }

    /// Returns the number of records.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Returns the size as JSON lines, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lines.len()
    }

    /// Checks the append against the store's limits and converts it into what the queue accepts.
    fn into_queued(self, store: &MiniStore, called_at: Instant) -> Result<QueuedAppend> {
        store.check_lines(self.largest_record_bytes, self.is_batch.then_some(self.lines.len()))?;
        let records = self.records;
        let callback = self.on_commit.map(|shared| {
            Callback::new(move |outcome, store| {
                let callback = shared.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(callback) = callback {
                    callback(
                        append_result(outcome, store).map(|commit| Receipt::new(&commit, records, called_at)),
                    );
                }
            })
        });
        Ok(QueuedAppend {
            expected_seq: self.expected_seq,
            callback,
            ..QueuedAppend::new(Payload::Bytes(self.lines), records)
        })
    }
}

impl fmt::Debug for Append {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Append")
            .field("records", &self.records)
            .field("bytes", &self.lines.len())
            .field("expected_seq", &self.expected_seq)
            .finish_non_exhaustive()
    }
}

impl MiniStore {
    /// Appends with options; returns as soon as the queue has accepted it. Waits while the queue has no capacity for
    /// it. The [`PendingAppend`] resolves when it is durable.
    ///
    /// # Errors
    ///
    /// As [`append_batch`](Self::append_batch).
    pub async fn send(&self, append: Append) -> Result<PendingAppend> {
        let (called_at, records) = (Instant::now(), append.records);
        let pending = self.enqueue(append.into_queued(self, called_at)?).await?;
        Ok(PendingAppend::new(pending, records, called_at))
    }

    /// As [`send`](Self::send), without waiting for capacity in the queue: never waits, on any thread.
    ///
    /// # Errors
    ///
    /// [`QueueFull`](crate::MiniStoreError::QueueFull): the queue has no capacity, or other appends wait for it;
    /// nothing was queued. Otherwise as [`send`](Self::send).
    pub fn try_send(&self, append: Append) -> Result<PendingAppend> {
        let (called_at, records) = (Instant::now(), append.records);
        let pending = self.try_enqueue(append.into_queued(self, called_at)?)?;
        Ok(PendingAppend::new(pending, records, called_at))
    }

    /// Appends a record; returns as soon as the queue has accepted it: short for [`send`](Self::send) of
    /// [`Append::record`]. Submitting many before awaiting any gives a high rate from one task.
    ///
    /// The record is serialized at once, on the calling thread; the future owns the line and borrows only the store.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn submit<'a, R>(
        &'a self,
        record: &R,
    ) -> impl Future<Output = Result<PendingAppend>> + Send + use<'a, R>
    where
        R: Serialize + ?Sized,
    {
        let called_at = Instant::now();
        let line = self.record_line(record);
        async move {
            let pending = self.enqueue(QueuedAppend::new(line?, 1)).await?;
            Ok(PendingAppend::new(pending, 1, called_at))
        }
    }
}
