//! The builder of an append with options, and the receipt of one that is durable. Never touches a file.

use std::{
    fmt,
    future::Future,
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    MiniStore, RawRecord, Result,
    commit::queue::{Callback, CommitInfo, QueuedAppend},
    commit::queue::{Payload, PendingCommit, append_result},
    format::LF,
    format::encode,
    options::LINE_BYTES_LIMIT,
    sync::block_on,
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
    /// Of the largest record, in bytes.
    record_bytes: usize,
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
        Ok(Self::of_line(Payload::owned(encode::to_line(record)?).into_shared()))
    }

    /// Creates an append of records that are found whole or not at all after any crash: see [`MiniStore::append_batch`].
    ///
    /// # Errors
    ///
    /// [`Serialize`](crate::MiniStoreError::Serialize), [`InvalidJson`](crate::MiniStoreError::InvalidJson);
    /// [`TooLarge`](crate::MiniStoreError::TooLarge) beyond 1 GiB. The store checks its own limits when it is sent.
    pub fn batch<R: Serialize>(batch: impl IntoIterator<Item = R>) -> Result<Self> {
        let mut record_bytes = 0;
        let (lines, records) = encode::batch_lines(batch, LINE_BYTES_LIMIT, |bytes| {
            record_bytes = bytes.max(record_bytes);
            Ok(())
        })?;
        Ok(Self::of_batch(lines, records, record_bytes))
    }

    /// Creates an append of one record that is JSON already: see [`MiniStore::append_json`].
    ///
    /// # Errors
    ///
    /// [`InvalidJson`](crate::MiniStoreError::InvalidJson).
    pub fn json(json: impl Into<Bytes>) -> Result<Self> {
        Ok(Self::of_line(encode::validate_line(&json.into())?))
    }

    /// As [`json`](Self::json), for borrowed text: it is copied once.
    ///
    /// # Errors
    ///
    /// [`InvalidJson`](crate::MiniStoreError::InvalidJson).
    pub fn json_str(json: &str) -> Result<Self> {
        Self::json(Bytes::copy_from_slice(json.as_bytes()))
    }

    /// Creates an append of the records of a [`JsonBatch`], found whole or not at all after any crash.
    pub fn json_batch(batch: JsonBatch) -> Self {
        let JsonBatch { lines, records, record_bytes } = batch;
        Self::of_batch(lines, records, record_bytes)
    }

    fn of_line(line: Bytes) -> Self {
        let record_bytes = line.len();
        Self { lines: line, records: 1, record_bytes, is_batch: false, expected_seq: None, on_commit: None }
    }

    fn of_batch(lines: Vec<u8>, records: u64, record_bytes: usize) -> Self {
        let lines = Payload::owned(lines).into_shared();
        Self { lines, records, record_bytes, is_batch: true, expected_seq: None, on_commit: None }
    }

    /// Appends only if the first record gets the sequence number `seq`. Otherwise, because another append was first or an
    /// earlier one could not be written, it fails with [`SeqMismatch`](crate::MiniStoreError::SeqMismatch) and is not
    /// written. `durable_seq() + 1` is the number that a single writer gets next.
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
    /// short and must not wait for this store: it may call [`try_send`](MiniStore::try_send) and other methods that do not
    /// wait. A panic in it is logged and affects no other append. It is called exactly once, by the writer thread or, where
    /// that ends without an outcome, by the thread that drops the queue; never in a forked child. Where the append is not
    /// accepted it is dropped without a call. Clones share the callback: the first of them that is accepted calls it.
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

    /// Checks the limits of the store.
    fn queued(self, store: &MiniStore, called: Instant) -> Result<QueuedAppend> {
        store.check_lines(self.record_bytes, self.is_batch.then_some(self.lines.len()))?;
        let records = self.records;
        let callback = self.on_commit.map(|status| {
            Callback::new(move |fate, store| {
                let callback = status.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(callback) = callback {
                    callback(
                        append_result(fate, store).map(|committed| Receipt::new(&committed, records, called)),
                    );
                }
            })
        });
        Ok(QueuedAppend {
            next_seq: self.expected_seq,
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

/// A batch of records that are JSON already. Each one is checked when it is added, so that a rejected one does not cost
/// the others. [`Append::json_batch`] makes it ready to be appended.
///
/// ```
/// # fn main() -> ministore_uring::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("journal.jsonl");
/// use ministore_uring::{Append, JournalOptions, JsonBatch};
///
/// let mut batch = JsonBatch::new();
/// for line in [r#"{"n":1}"#, r#"{"n":1e999}"#, r#"{"n":2}"#] {
///     if let Err(error) = batch.push(line.as_bytes()) {
///         assert_eq!(error.to_string(), "invalid JSON record: number out of range at line 2 column 6");
///     }
/// }
/// let store = JournalOptions::new().open_blocking(&path)?;
/// assert_eq!(store.blocking().send(Append::json_batch(batch))?.wait()?.seqs(), 1..3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct JsonBatch {
    lines: Vec<u8>,
    records: u64,
    /// Of the largest record, in bytes.
    record_bytes: usize,
}

impl JsonBatch {
    /// Creates a batch without records.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record. White space around the value is trimmed; its bytes are kept as they are.
    ///
    /// # Errors
    ///
    /// [`InvalidJson`](crate::MiniStoreError::InvalidJson), as [`MiniStore::append_json`];
    /// [`TooLarge`](crate::MiniStoreError::TooLarge) if the batch would exceed 1 GiB. The batch remains as it was.
    pub fn push(&mut self, json: &[u8]) -> Result<()> {
        let value = encode::validate_value(json).map_err(|error| encode::in_batch(error, self.records))?;
        self.push_value(&json[value])
    }

    /// Adds a record of another journal as it is. That it is JSON is checked; that it can be a new record is not, because
    /// a journal may contain records that older versions accepted.
    ///
    /// # Errors
    ///
    /// [`Record`](crate::MiniStoreError::Record) if it is not JSON, [`TooLarge`](crate::MiniStoreError::TooLarge) if the
    /// batch would exceed 1 GiB. The batch remains as it was.
    pub fn push_copy(&mut self, record: &RawRecord<'_>) -> Result<()> {
        self.push_value(record.parse::<&RawValue>()?.get().as_bytes())
    }

    /// Adds a value that has been checked.
    pub(crate) fn push_value(&mut self, value: &[u8]) -> Result<()> {
        let separator = usize::from(self.records > 0);
        encode::check_size("a batch", self.lines.len() + separator + value.len(), LINE_BYTES_LIMIT)?;
        if separator > 0 {
            self.lines.push(LF);
        }
        self.lines.extend_from_slice(value);
        self.records += 1;
        self.record_bytes = self.record_bytes.max(value.len());
        Ok(())
    }

    /// Returns the number of records.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Returns `true` if there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Returns the size as JSON lines, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lines.len()
    }
}

/// The receipt of an append that is durable: its sequence numbers, its position, its commit group and its latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Receipt {
    /// Sequence number of its first record; of the record that comes next, for an empty batch.
    pub seq: u64,
    /// Its records.
    pub records: u64,
    /// Sequence number of the first record of its segment: `first` in the segment's header. It never changes, unlike the
    /// name of the segment's file, which changes at the rotation.
    pub segment_first_seq: u64,
    /// Where its first line begins, in bytes from the start of the segment.
    pub offset: u64,
    /// Records of the commit group that it was written with, including its own.
    pub group_records: u64,
    /// Bytes of JSON of that group.
    pub group_bytes: u64,
    /// From the call until the writer dequeued it: it waited for capacity, and for the commit before.
    pub queue_wait: Duration,
    /// From the call until it was durable.
    pub latency: Duration,
}

impl Receipt {
    fn new(committed: &CommitInfo, records: u64, called: Instant) -> Self {
        Self {
            seq: committed.seq,
            records,
            segment_first_seq: committed.segment_first_seq,
            offset: committed.offset,
            group_records: committed.group_records,
            group_bytes: committed.group_bytes,
            queue_wait: committed.taken.saturating_duration_since(called),
            latency: committed.durable.saturating_duration_since(called),
        }
    }

    /// Returns the sequence numbers of its records.
    #[must_use]
    pub fn seqs(&self) -> Range<u64> {
        self.seq..self.seq + self.records
    }
}

/// An append that was accepted: resolves to its [`Receipt`] once it is durable.
///
/// Await it on any executor, or block on it with [`wait`](Self::wait). It needs neither the store's handle nor a runtime.
/// Dropping it discards the outcome, not the record: that is written all the same.
///
/// # Errors
///
/// [`StorageFull`](crate::MiniStoreError::StorageFull), [`SeqMismatch`](crate::MiniStoreError::SeqMismatch): it was not
/// written. [`Poisoned`](crate::MiniStoreError::Poisoned), [`WriterPanicked`](crate::MiniStoreError::WriterPanicked): it is
/// unknown whether it was. [`Forked`](crate::MiniStoreError::Forked): it was accepted before the fork, and the other process
/// writes it.
#[derive(Debug)]
#[must_use = "the outcome of an append is in its PendingAppend"]
pub struct PendingAppend {
    pending: PendingCommit,
    records: u64,
    called: Instant,
}

impl PendingAppend {
    /// Blocks the calling thread until the append is durable.
    ///
    /// # Errors
    ///
    /// As for awaiting it.
    pub fn wait(self) -> Result<Receipt> {
        self.pending.spin_for_completion();
        block_on(self)
    }

    /// Returns the outcome if it is known, without waiting.
    #[must_use]
    pub fn try_wait(&self) -> Option<Result<Receipt>> {
        let committed = self.pending.try_committed()?;
        Some(committed.map(|committed| Receipt::new(&committed, self.records, self.called)))
    }

    /// Returns whether the outcome is known, so that [`wait`](Self::wait) would return at once.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.pending.try_committed().is_some()
    }
}

impl Future for PendingAppend {
    type Output = Result<Receipt>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let receipt = |committed| Receipt::new(&committed, self.records, self.called);
        self.pending.poll_committed(context).map_ok(receipt)
    }
}

impl MiniStore {
    /// Appends with options; returns as soon as the queue has accepted it. Waits while the queue has no capacity for it. The
    /// [`PendingAppend`] resolves when it is durable.
    ///
    /// # Errors
    ///
    /// As [`append_batch`](Self::append_batch).
    pub async fn send(&self, append: Append) -> Result<PendingAppend> {
        let (called, records) = (Instant::now(), append.records);
        let pending = self.enqueue(append.queued(self, called)?).await?;
        Ok(PendingAppend { pending, records, called })
    }

    /// As [`send`](Self::send), without waiting for capacity in the queue: never waits, on any thread.
    ///
    /// # Errors
    ///
    /// [`QueueFull`](crate::MiniStoreError::QueueFull): the queue has no capacity, or other appends wait for it; nothing was
    /// queued. Otherwise as [`send`](Self::send).
    pub fn try_send(&self, append: Append) -> Result<PendingAppend> {
        let (called, records) = (Instant::now(), append.records);
        let pending = self.try_enqueue(append.queued(self, called)?)?;
        Ok(PendingAppend { pending, records, called })
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
        let called = Instant::now();
        let line = self.record_line(record);
        async move {
            let pending = self.enqueue(QueuedAppend::new(line?, 1)).await?;
            Ok(PendingAppend { pending, records: 1, called })
        }
    }
}
