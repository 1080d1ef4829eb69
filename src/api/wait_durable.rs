//! Waiting for a record that another caller appends.

use std::{future::Future, sync::Arc};

use crate::{MiniStore, Result, journal::wait_durable::WaitDurable};

impl MiniStore {
    /// Waits until the record with this number is durable: until [`durable_seq`](Self::durable_seq) is at least `seq`. The
    /// record need not have been appended yet. The future owns what it needs, and needs no particular runtime; it does not
    /// keep the store open.
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
    /// Where the store ends before that: [`Closed`](crate::MiniStoreError::Closed),
    /// [`Poisoned`](crate::MiniStoreError::Poisoned), [`WriterPanicked`](crate::MiniStoreError::WriterPanicked). In a fork, which
    /// nobody would wake: [`Forked`](crate::MiniStoreError::Forked).
    pub fn wait_durable(&self, seq: u64) -> impl Future<Output = Result<()>> + Send + use<> {
        WaitDurable::new(Arc::clone(self.status()), seq)
    }
}
