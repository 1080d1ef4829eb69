//! Appends with terms: what is to be appended, put together once; if nobody was first; without waiting; with a
//! receipt; with a callback. Never touches a file.

use std::{
    future::Future,
    ops::Range,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    Line, MiniStore, Pending, Result, encode,
    format::LF,
    options::LINE_BYTES_LIMIT,
    queue::{Callback, Committed, Handed},
    request::{Lines, outcome},
    store::check_size,
    sync::block_on,
};

/// Something to append, serialized already: a record, a batch, or a line that is JSON; and on which terms.
///
/// Cheap to clone: one that was refused as [`Busy`](crate::MiniStoreError::Busy) can be tried again.
///
/// ```
/// # fn main() -> ministore_uring::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("journal.jsonl");
/// use ministore_uring::{Entry, JournalOptions};
///
/// let store = JournalOptions::new().open_blocking(&path)?;
/// let entry = Entry::batch(["a", "b"])?.if_next(1);
/// let receipt = store.blocking().append_entry(entry)?;
/// assert_eq!(receipt.seqs(), 1..3);
/// println!("{} records became durable together after {:?}", receipt.group_records, receipt.durable);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Entry {
    lines: Bytes,
    records: u64,
    /// Of the largest record, in bytes.
    record_bytes: usize,
    is_batch: bool,
    next_seq: Option<u64>,
}

impl Entry {
    /// One record.
    ///
    /// # Errors
    ///
    /// [`Serialize`](crate::MiniStoreError::Serialize), [`InvalidJson`](crate::MiniStoreError::InvalidJson): see
    /// [`MiniStore::append`].
    pub fn record<R: Serialize + ?Sized>(record: &R) -> Result<Self> {
        Ok(Self::of_line(Lines::owned(encode::to_line(record)?).into_shared()))
    }

    /// Records that are found whole or not at all: see [`MiniStore::append_batch`].
    ///
    /// # Errors
    ///
    /// [`Serialize`](crate::MiniStoreError::Serialize), [`InvalidJson`](crate::MiniStoreError::InvalidJson);
    /// [`TooLarge`](crate::MiniStoreError::TooLarge) beyond 1 GiB; the store's own limits hold when it is appended.
    pub fn batch<R: Serialize>(batch: impl IntoIterator<Item = R>) -> Result<Self> {
        let (mut lines, mut records, mut record_bytes) = (Vec::new(), 0, 0);
        for record in batch {
            if records > 0 {
                lines.push(LF);
            }
            let bytes = encode::append_line(&mut lines, &record);
            record_bytes = bytes.map_err(|error| encode::in_batch(error, records))?.max(record_bytes);
            records += 1;
            check_size("a batch", lines.len(), LINE_BYTES_LIMIT)?;
        }
        let lines = Lines::owned(lines).into_shared();
        Ok(Self { lines, records, record_bytes, is_batch: true, next_seq: None })
    }

    /// A line that is JSON already: see [`MiniStore::append_json`].
    ///
    /// # Errors
    ///
    /// [`InvalidJson`](crate::MiniStoreError::InvalidJson).
    pub fn json(line: &Bytes) -> Result<Self> {
        Ok(Self::of_line(encode::checked_line(line)?))
    }

    /// The records of a [`JsonBatch`], found whole or not at all.
    #[must_use]
    pub fn json_batch(batch: JsonBatch) -> Self {
        let JsonBatch { lines, records, record_bytes } = batch;
        let lines = Lines::owned(lines).into_shared();
        Self { lines, records, record_bytes, is_batch: true, next_seq: None }
    }

    fn of_line(line: Bytes) -> Self {
        Self { record_bytes: line.len(), lines: line, records: 1, is_batch: false, next_seq: None }
    }

    /// Only if its first record gets the number `seq`: if somebody else was first, or not everything before it could be
    /// written, it is refused with [`Conflict`](crate::MiniStoreError::Conflict), and not written.
    ///
    /// Such an entry has a commit group of its own: it costs a write and a sync that it does not share.
    #[must_use]
    pub fn if_next(mut self, seq: u64) -> Self {
        self.next_seq = Some(seq);
        self
    }

    /// How many records it holds.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Its size as JSON lines, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lines.len()
    }

    /// For a store, whose limits it keeps.
    fn handed(self, store: &MiniStore, callback: Option<Callback>) -> Result<Handed> {
        store.check_lines(self.record_bytes, self.is_batch.then_some(self.lines.len()))?;
        let plain = Handed::plain(Lines::Shared(self.lines), self.records);
        Ok(Handed { next_seq: self.next_seq, callback, ..plain })
    }
}

/// A batch of records that are JSON already. Each one is checked when it is added, so that a rejected one does not cost
/// the others. [`Entry::json_batch`] makes it ready to be appended.
///
/// ```
/// # fn main() -> ministore_uring::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("journal.jsonl");
/// use ministore_uring::{Entry, JournalOptions, JsonBatch};
///
/// let mut batch = JsonBatch::new();
/// for line in [r#"{"n":1}"#, r#"{"n":1e999}"#, r#"{"n":2}"#] {
///     if let Err(error) = batch.push(line.as_bytes()) {
///         assert_eq!(error.to_string(), "invalid JSON record: number out of range at line 2 column 6");
///     }
/// }
/// let store = JournalOptions::new().open_blocking(&path)?;
/// assert_eq!(store.blocking().append_entry(Entry::json_batch(batch))?.seqs(), 1..3);
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
        let value = encode::checked_value(json).map_err(|error| encode::in_batch(error, self.records))?;
        self.push_value(&json[value])
    }

    /// Adds a record of another journal as it is. That it is JSON is checked; that it can be a new record is not, because
    /// a journal may contain records that older versions accepted.
    ///
    /// # Errors
    ///
    /// [`Record`](crate::MiniStoreError::Record) if it is not JSON, [`TooLarge`](crate::MiniStoreError::TooLarge) if the
    /// batch would exceed 1 GiB. The batch remains as it was.
    pub fn push_copy(&mut self, record: &Line<'_>) -> Result<()> {
        self.push_value(record.parse::<&RawValue>()?.get().as_bytes())
    }

    /// Adds a value that has been checked.
    pub(crate) fn push_value(&mut self, value: &[u8]) -> Result<()> {
        let separator = usize::from(self.records > 0);
        check_size("a batch", self.lines.len() + separator + value.len(), LINE_BYTES_LIMIT)?;
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

/// What became of an [`Entry`] that is durable: where it stands, what it shared its commit with, how long it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Sequence number of its first record.
    pub seq: u64,
    /// Its records.
    pub records: u64,
    /// Sequence number of the first record of the segment that it stands in: what the segment's header calls `first`. It
    /// never changes, as the segment's file name does when it is archived.
    pub segment_first_seq: u64,
    /// Where its first line begins, in bytes from the start of the segment.
    pub offset: u64,
    /// Records of the commit group that it was written with, its own counted.
    pub group_records: u64,
    /// Bytes of JSON of that group.
    pub group_bytes: u64,
    /// From the call until the writer took it: it waited for room, and for the commit before.
    pub queued: Duration,
    /// From the call until it was durable.
    pub durable: Duration,
}

impl Receipt {
    fn new(committed: &Committed, records: u64, called: Instant) -> Self {
        Self {
            seq: committed.seq,
            records,
            segment_first_seq: committed.segment_first_seq,
            offset: committed.offset,
            group_records: committed.group_records,
            group_bytes: committed.group_bytes,
            queued: committed.taken.saturating_duration_since(called),
            durable: committed.durable.saturating_duration_since(called),
        }
    }

    /// The sequence numbers of its records.
    #[must_use]
    pub fn seqs(&self) -> Range<u64> {
        self.seq..self.seq + self.records
    }
}

/// An [`Entry`] that was accepted: resolves to its [`Receipt`] once it is durable. Otherwise as [`Pending`].
#[derive(Debug)]
#[must_use = "the outcome of an append is in its PendingReceipt"]
pub struct PendingReceipt {
    pending: Pending,
    records: u64,
    called: Instant,
}

impl PendingReceipt {
    /// Blocks the calling thread until the entry is durable.
    ///
    /// # Errors
    ///
    /// As for awaiting it.
    pub fn wait(self) -> Result<Receipt> {
        self.pending.look_out();
        block_on(self)
    }
}

impl Future for PendingReceipt {
    type Output = Result<Receipt>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let receipt = |committed| Receipt::new(&committed, self.records, self.called);
        self.pending.poll_committed(context).map_ok(receipt)
    }
}

impl MiniStore {
    /// [`append`](Self::append), without waiting for room in the queue.
    ///
    /// # Errors
    ///
    /// [`Busy`](crate::MiniStoreError::Busy): the queue is full, or others wait for room; nothing was queued. Else as
    /// [`append`](Self::append).
    pub fn try_append<'a, R>(&'a self, record: &R) -> impl Future<Output = Result<()>> + Send + use<'a, R>
    where
        R: Serialize + ?Sized,
    {
        let line = self.record_line(record);
        async move {
            self.try_hand_over(Handed::plain(line?, 1))?.await?;
            Ok(())
        }
    }

    /// [`submit`](Self::submit), without waiting for room in the queue: never waits, on any thread.
    ///
    /// # Errors
    ///
    /// As [`try_append`](Self::try_append).
    pub fn try_submit<R: Serialize + ?Sized>(&self, record: &R) -> Result<Pending> {
        self.try_hand_over(Handed::plain(self.record_line(record)?, 1))
    }

    /// Appends a record only if it gets the number `next_seq`: `durable_seq() + 1` is what a writer that is alone will get.
    /// See [`Entry::if_next`].
    ///
    /// ```
    /// # fn main() -> ministore_uring::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("journal.jsonl");
    /// use ministore_uring::{JournalOptions, MiniStoreError};
    ///
    /// let store = JournalOptions::new().open_blocking(&path)?;
    /// store.blocking().append_if(1, &"mine")?;
    /// let refused = store.blocking().append_if(1, &"theirs");
    /// assert!(matches!(refused, Err(MiniStoreError::Conflict { expected: 1, actual: 2 })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::MiniStoreError::Conflict), with the number that would have been next: somebody else was first,
    /// and it was not written. Else as [`append`](Self::append).
    pub fn append_if<'a, R>(
        &'a self,
        next_seq: u64,
        record: &R,
    ) -> impl Future<Output = Result<()>> + Send + use<'a, R>
    where
        R: Serialize + ?Sized,
    {
        let line = self.record_line(record);
        async move {
            self.hand_over(Handed { next_seq: Some(next_seq), ..Handed::plain(line?, 1) }).await?.await?;
            Ok(())
        }
    }

    /// Hands a record over and returns as soon as the queue has room for it; `callback` is called with the outcome, **on
    /// the writer thread**, after [`durable_seq`](Self::durable_seq) has passed it.
    ///
    /// Callbacks of one store are called in the order of their records; nothing is committed while one runs. So it must
    /// be short, and must not wait for this store: it may call [`try_submit`](Self::try_submit), and whatever else does
    /// not wait. If it panics, that is noted through `tracing` and touches nobody else. It is called exactly once, from the
    /// writer thread or, where that ends without an answer, from whichever thread lets go of the queue; in a fork never.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit): nothing was queued, and `callback` is dropped without a call.
    pub fn submit_then<'a, R, F>(
        &'a self,
        record: &R,
        callback: F,
    ) -> impl Future<Output = Result<()>> + Send + use<'a, R, F>
    where
        R: Serialize + ?Sized,
        F: FnOnce(Result<u64>) + Send + 'static,
    {
        let entry = Entry::record(record);
        async move { self.submit_entry_then(entry?, |told| callback(told.map(|receipt| receipt.seq))).await }
    }

    /// Appends an [`Entry`], on its terms; returns its receipt once it is durable.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::MiniStoreError::Conflict) where it was meant for another number; else as
    /// [`append_batch`](Self::append_batch).
    pub async fn append_entry(&self, entry: Entry) -> Result<Receipt> {
        self.submit_entry(entry).await?.await
    }

    /// Hands an [`Entry`] over and returns as soon as the queue has room for it.
    ///
    /// # Errors
    ///
    /// As [`append_entry`](Self::append_entry).
    pub async fn submit_entry(&self, entry: Entry) -> Result<PendingReceipt> {
        let (called, records) = (Instant::now(), entry.records);
        let pending = self.hand_over(entry.handed(self, None)?).await?;
        Ok(PendingReceipt { pending, records, called })
    }

    /// [`submit_entry`](Self::submit_entry), without waiting for room in the queue: never waits, on any thread.
    ///
    /// # Errors
    ///
    /// [`Busy`](crate::MiniStoreError::Busy); else as [`append_entry`](Self::append_entry).
    pub fn try_submit_entry(&self, entry: Entry) -> Result<PendingReceipt> {
        let (called, records) = (Instant::now(), entry.records);
        let pending = self.try_hand_over(entry.handed(self, None)?)?;
        Ok(PendingReceipt { pending, records, called })
    }

    /// Hands an [`Entry`] over; `callback` is called with the outcome: see [`submit_then`](Self::submit_then).
    ///
    /// # Errors
    ///
    /// As [`submit_entry`](Self::submit_entry): nothing was queued, and `callback` is dropped without a call.
    pub async fn submit_entry_then<F>(&self, entry: Entry, callback: F) -> Result<()>
    where
        F: FnOnce(Result<Receipt>) + Send + 'static,
    {
        let callback = receipt_callback(&entry, callback);
        self.hand_over(entry.handed(self, Some(callback))?).await.map(drop)
    }

    /// [`submit_entry_then`](Self::submit_entry_then), without waiting for room in the queue: never waits, on any thread.
    ///
    /// # Errors
    ///
    /// As [`try_submit_entry`](Self::try_submit_entry): nothing was queued, and `callback` is dropped without a call.
    pub fn try_submit_entry_then<F>(&self, entry: Entry, callback: F) -> Result<()>
    where
        F: FnOnce(Result<Receipt>) + Send + 'static,
    {
        let callback = receipt_callback(&entry, callback);
        self.try_hand_over(entry.handed(self, Some(callback))?).map(drop)
    }
}

fn receipt_callback<F>(entry: &Entry, callback: F) -> Callback
where
    F: FnOnce(Result<Receipt>) + Send + 'static,
{
    let (records, called) = (entry.records, Instant::now());
    Callback::new(move |fate, shared| {
        let receipt = |committed| Receipt::new(&committed, records, called);
        callback(outcome(fate, shared).map(receipt));
    })
}
