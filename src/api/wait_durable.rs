//! Waiting until a record, which any caller may append, is durable.

use std::{future::Future, sync::Arc};

use crate::{MiniStore, Result, journal::wait_durable::WaitDurable};

impl MiniStore {
    /// Waits until the record with this number is durable: until [`durable_seq`](Self::durable_seq) is at least `seq`.
    /// The record need not have been appended yet. The future owns what it needs, and needs no particular runtime; it
    /// does not keep the store open.
    ///
    /// ```
    /// # fn main() -> ministore_uring::Result<()> {
    /// # pollster::block_on(async {
    /// # let dir = tempfile::tempdir()?;
    /// # let store = ministore_uring::JournalOptions::new().open(dir.path().join("journal.jsonl")).await?;
    /// let second = store.wait_durable(2);
    /// store.append_batch(["a", "b"]).await?;
    /// second.await?;
    /// # Ok(()) })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::MiniStoreError::Closed), [`Poisoned`](crate::MiniStoreError::Poisoned),
    /// [`WriterPanicked`](crate::MiniStoreError::WriterPanicked): the store ended before that.
    /// [`Forked`](crate::MiniStoreError::Forked): in a fork of the process that opened the store, which the writer
    /// thread cannot wake.
    pub fn wait_durable(&self, seq: u64) -> impl Future<Output = Result<()>> + Send + use<> {
        WaitDurable::new(Arc::clone(self.status()), seq)
    }
}
