//! The store for programs without an async runtime.

use std::ops::Range;

use bytes::Bytes;
use serde::Serialize;

use crate::{Entry, MiniStore, Pending, PendingReceipt, Receipt, Result, sync::block_on};

/// A view of a [`MiniStore`] whose methods block the calling thread. See [`MiniStore::blocking`].
///
/// ```
/// # fn main() -> ministore_uring::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("journal.jsonl");
/// let store = ministore_uring::MiniStore::open_blocking(&path)?;
/// store.blocking().append(&"one")?;
/// assert_eq!(store.blocking().append_batch(["two", "three"])?, 2..4);
/// store.blocking().close()?;
/// # Ok(())
/// # }
/// ```
///
/// Do not use it on the threads of an async runtime: await the methods of [`MiniStore`] there.
#[derive(Debug, Clone, Copy)]
pub struct Blocking<'a> {
    pub(crate) store: &'a MiniStore,
}

impl<'a> Blocking<'a> {
    pub(crate) fn new(store: &'a MiniStore) -> Self {
        Self { store }
    }

    pub(crate) fn store(&self) -> &'a MiniStore {
        self.store
    }

    /// Appends a record; returns once it is durable.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::append`].
    pub fn append<R: Serialize + ?Sized>(&self, record: &R) -> Result<()> {
        self.submit(record)?.wait().map(drop)
    }

    /// Hands a record over, waiting only for room in the queue.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::submit`].
    pub fn submit<R: Serialize + ?Sized>(&self, record: &R) -> Result<Pending> {
        block_on(self.store.submit(record))
    }

    /// Appends records as one.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::append_batch`].
    pub fn append_batch<R: Serialize>(&self, records: impl IntoIterator<Item = R>) -> Result<Range<u64>> {
        block_on(self.store.append_batch(records))
    }

    /// Hands a batch over, waiting only for room in the queue.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::submit_batch`].
    pub fn submit_batch<R: Serialize>(&self, records: impl IntoIterator<Item = R>) -> Result<Pending> {
        block_on(self.store.submit_batch(records))
    }

    /// Appends a line that is JSON already; returns its sequence number once it is durable.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::append_json`].
    pub fn append_json(&self, line: Bytes) -> Result<u64> {
        self.submit_json(line)?.wait()
    }

    /// Hands over a line that is JSON already, waiting only for room in the queue.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::submit_json`].
    pub fn submit_json(&self, line: Bytes) -> Result<Pending> {
        block_on(self.store.submit_json(line))
    }

    /// Appends a record, without waiting for room in the queue. To submit one so, no twin is needed:
    /// [`MiniStore::try_submit`].
    ///
    /// # Errors
    ///
    /// As [`MiniStore::try_append`].
    pub fn try_append<R: Serialize + ?Sized>(&self, record: &R) -> Result<()> {
        self.store.try_submit(record)?.wait().map(drop)
    }

    /// Appends a record only if it gets the number `next_seq`.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::append_if`].
    pub fn append_if<R: Serialize + ?Sized>(&self, next_seq: u64, record: &R) -> Result<()> {
        block_on(self.store.append_if(next_seq, record))
    }

    /// Appends an entry, on its terms.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::append_entry`].
    pub fn append_entry(&self, entry: Entry) -> Result<Receipt> {
        self.submit_entry(entry)?.wait()
    }

    /// Hands an entry over, waiting only for room in the queue.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::submit_entry`].
    pub fn submit_entry(&self, entry: Entry) -> Result<PendingReceipt> {
        block_on(self.store.submit_entry(entry))
    }

    /// Hands a record over, waiting only for room in the queue; `callback` is called with the outcome, on the writer
    /// thread.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::submit_then`].
    pub fn submit_then<R, F>(&self, record: &R, callback: F) -> Result<()>
    where
        R: Serialize + ?Sized,
        F: FnOnce(Result<u64>) + Send + 'static,
    {
        block_on(self.store.submit_then(record, callback))
    }

    /// Hands an entry over, waiting only for room in the queue; `callback` is called with the outcome, on the writer
    /// thread.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::submit_entry_then`].
    pub fn submit_entry_then<F>(&self, entry: Entry, callback: F) -> Result<()>
    where
        F: FnOnce(Result<Receipt>) + Send + 'static,
    {
        block_on(self.store.submit_entry_then(entry, callback))
    }

    /// Blocks until the record of this number is durable.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::wait_durable`].
    pub fn wait_durable(&self, seq: u64) -> Result<()> {
        block_on(self.store.wait_durable(seq))
    }

    /// Archives the active segment and begins a new one.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::rotate`].
    pub fn rotate(&self) -> Result<()> {
        block_on(self.store.rotate())
    }

    /// Makes durable what was accepted, closes the journal and releases it.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::close`].
    pub fn close(&self) -> Result<()> {
        block_on(self.store.close())
    }
}
