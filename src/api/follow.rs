//! Following the records of an open store.

use serde::de::DeserializeOwned;

use crate::{BlockingStore, FollowStream, Follower, MiniStore, RawFollower, Result, read::FollowTarget};

impl MiniStore {
    /// Returns a stream of the records of this store from sequence number `seq` on, then each that is appended, once it
    /// is durable: no record above [`durable_seq`](Self::durable_seq) is yielded. 0 means the oldest record that
    /// exists; a sequence number that is not assigned yet is waited for.
    ///
    /// The stream continues over rotations. A slow consumer delays no append: unread records wait in the files. Where
    /// retention deletes records before they were read, the stream yields an error and the consumer may start again.
    ///
    /// The stream ends (`None`) when the store is closed and every record was yielded. It does not keep the store open.
    /// It needs no particular runtime; the writer wakes it directly.
    ///
    /// ```
    /// # fn main() -> ministore_uring::Result<()> {
    /// # pollster::block_on(async {
    /// # let dir = tempfile::tempdir()?;
    /// # let store = ministore_uring::JournalOptions::new().open(dir.path().join("journal.jsonl")).await?;
    /// let mut follow = store.follow::<String>(1);
    /// store.append_batch(["a", "b"]).await?;
    /// store.close().await?;
    /// while let Some(record) = follow.next().await {
    ///     let record = record?;
    ///     println!("{}: {}", record.seq, record.value);
    /// }
    /// # Ok(()) })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Every error but the first ends the stream:
    ///
    /// * [`Record`](crate::MiniStoreError::Record): a record is not a `T`.
    /// * [`Trimmed`](crate::MiniStoreError::Trimmed): retention deleted the next record. The error has the number of
    ///   the oldest one that exists.
    /// * [`Poisoned`](crate::MiniStoreError::Poisoned), [`WriterPanicked`](crate::MiniStoreError::WriterPanicked): the
    ///   store failed. Every durable record was yielded before.
    /// * [`Corrupt`](crate::MiniStoreError::Corrupt),
    ///   [`MissingInitialState`](crate::MiniStoreError::MissingInitialState), [`Io`](crate::MiniStoreError::Io): a
    ///   record cannot be read back.
    /// * [`InvalidArgument`](crate::MiniStoreError::InvalidArgument): the store was opened [without
    ///   checksums](crate::JournalOptions::checksums) and deletes old segments, so sequence numbers are not stable.
    /// * [`Forked`](crate::MiniStoreError::Forked): this process is a fork of the one that began to follow.
    pub fn follow<T: DeserializeOwned>(&self, seq: u64) -> FollowStream<T> {
        FollowStream::new(FollowTarget::of_store(self.fs(), self.status(), seq))
    }
}

impl BlockingStore<'_> {
    /// As [`MiniStore::follow`], as an iterator that blocks the calling thread.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::MiniStoreError::Io): no memory is available to detect forks. The journal is opened when the first
    /// record is read.
    pub fn follow<T: DeserializeOwned>(&self, seq: u64) -> Result<Follower<T>> {
        self.follow_raw(seq).map(Follower::new)
    }

    /// As [`follow`](Self::follow), without parsing.
    ///
    /// # Errors
    ///
    /// As [`follow`](Self::follow).
    pub fn follow_raw(&self, seq: u64) -> Result<RawFollower> {
        let store = self.store();
        RawFollower::new(FollowTarget::of_store(store.fs(), store.status(), seq))
    }
}
