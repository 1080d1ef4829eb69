//! The store for programs without an async runtime.

use std::{borrow::Cow, ops::Range};

use bytes::Bytes;
use serde::Serialize;

use crate::{Append, MiniStore, PendingAppend, Result, sync::block_on};

/// A [`MiniStore`] whose methods block the calling thread. See [`MiniStore::blocking`], which borrows the handle, and
/// [`MiniStore::into_blocking`], which returns an owned form, `BlockingStore<'static>`.
///
/// ```
/// # fn main() -> ministore_uring::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("journal.jsonl");
/// let store = ministore_uring::JournalOptions::new().open_blocking(&path)?;
/// store.blocking().append(&"one")?;
/// assert_eq!(store.blocking().append_batch(["two", "three"])?, 2..4);
/// store.blocking().close()?;
/// # Ok(())
/// # }
/// ```
///
/// Do not use it on the threads of an async runtime: await the methods of [`MiniStore`] there.
#[derive(Debug, Clone)]
pub struct BlockingStore<'a> {
    store: Cow<'a, MiniStore>,
}

impl BlockingStore<'static> {
    pub(crate) fn owned(store: MiniStore) -> Self {
        Self { store: Cow::Owned(store) }
    }
}

impl<'a> BlockingStore<'a> {
    pub(crate) fn borrowed(store: &'a MiniStore) -> Self {
        Self { store: Cow::Borrowed(store) }
    }

    /// Returns the store, whose methods are asynchronous.
    #[must_use]
    pub fn store(&self) -> &MiniStore {
        &self.store
    }

    /// Appends a record; returns once it is durable.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::append`].
    pub fn append<R: Serialize + ?Sized>(&self, record: &R) -> Result<()> {
        self.submit(record)?.wait().map(drop)
    }

    /// Appends records as one; returns their sequence numbers once they are durable.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::append_batch`].
    pub fn append_batch<R: Serialize>(&self, records: impl IntoIterator<Item = R>) -> Result<Range<u64>> {
        self.send(Append::batch(records)?)?.wait().map(|receipt| receipt.seqs())
    }

    /// Appends a record that is JSON already; returns its sequence number once it is durable.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::append_json`].
    pub fn append_json(&self, json: impl Into<Bytes>) -> Result<u64> {
        self.send(Append::json(json)?)?.wait().map(|receipt| receipt.seq)
    }

    /// As [`append_json`](Self::append_json), for borrowed text: it is copied once.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::append_json`].
    pub fn append_json_str(&self, json: &str) -> Result<u64> {
        self.send(Append::json_str(json)?)?.wait().map(|receipt| receipt.seq)
    }

    /// Appends a record; waits only while the queue has no capacity for it.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::submit`].
    pub fn submit<R: Serialize + ?Sized>(&self, record: &R) -> Result<PendingAppend> {
        block_on(self.store.submit(record))
    }

    /// Appends with options; waits only while the queue has no capacity for it. [`MiniStore::try_send`] does not wait.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::send`].
    pub fn send(&self, append: Append) -> Result<PendingAppend> {
        block_on(self.store.send(append))
    }

    /// Blocks until the record with sequence number `seq` is durable.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::wait_durable`].
    pub fn wait_durable(&self, seq: u64) -> Result<()> {
        block_on(self.store.wait_durable(seq))
    }

    /// Rotates the active segment and begins a new one.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::rotate`].
    pub fn rotate(&self) -> Result<()> {
        block_on(self.store.rotate())
    }

    /// Makes every accepted append durable, closes the journal and unlocks it.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::close`].
    pub fn close(&self) -> Result<()> {
        block_on(self.store.close())
    }
}

impl MiniStore {
    /// Returns the same operations for programs without an async runtime: they block the calling thread.
    #[must_use]
    pub fn blocking(&self) -> BlockingStore<'_> {
        BlockingStore::borrowed(self)
    }

    /// As [`blocking`](Self::blocking), as an owned handle.
    #[must_use]
    pub fn into_blocking(self) -> BlockingStore<'static> {
        BlockingStore::owned(self)
    }
}
