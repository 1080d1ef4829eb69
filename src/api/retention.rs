//! The retention interface: trimming records, holding them, and the sequence number of the oldest record.

use std::collections::BTreeMap;

use crate::{
    BlockingStore, MiniStore, MiniStoreError, Result, background::requests::RetentionRequest,
    journal::holds::NAME_BYTES_MAX, sync::block_on,
};

impl MiniStore {
    /// Returns the sequence number of the oldest record that exists; of the next one where there is none. It grows only
    /// when retention deletes.
    ///
    /// It is kept in memory. In a journal that begins with segments of `ministore` 0.1.7 of which the oldest were
    /// deleted, records are counted from the oldest one that exists when it is opened.
    #[must_use]
    pub fn first_seq(&self) -> u64 {
        self.status().retention.first_seq()
    }

    /// Trims the journal: no record before `seq` is needed any more. Deletes the rotated segments that contain no other
    /// records, and returns [`first_seq`](Self::first_seq) once the deletions are durable. Commits continue
    /// during the deletions.
    ///
    /// Segments that cannot be deleted yet are deleted as soon as they can, while the store is open: the active segment
    /// once it is rotated, a segment that a [hold](Self::hold) protects once the hold has moved. A lower `seq` than
    /// before has no effect. `trim_before(0)` trims nothing and applies the limits of the options now.
    ///
    /// The header of the next segment says where a segment ends. A segment of `ministore` 0.1.7 that is followed by
    /// another one is therefore kept. To keep the sequence numbers of such a journal, no limit of the options deletes
    /// its segments before the first rotation by this crate.
    ///
    /// ```
    /// # fn main() -> ministore_uring::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("journal.jsonl");
    /// let store = ministore_uring::JournalOptions::new().open_blocking(&path)?;
    /// store.blocking().append_batch([1, 2, 3])?;
    /// // A snapshot that contains all of them is durable now.
    /// store.blocking().rotate()?;
    /// assert_eq!(store.blocking().trim_before(4)?, 4);
    /// assert_eq!(store.stats().trimmed_records, 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// * [`Io`](MiniStoreError::Io): a segment could not be deleted; what was deleted before it stays so.
    /// * [`InvalidArgument`](MiniStoreError::InvalidArgument): the journal was opened with
    ///   [`checksums(false)`](crate::JournalOptions::checksums), so its sequence numbers are not stable.
    /// * [`Closed`](MiniStoreError::Closed): the store was closed before everything was deleted. Call again after the
    ///   next open.
    /// * [`Poisoned`](MiniStoreError::Poisoned).
    pub async fn trim_before(&self, seq: u64) -> Result<u64> {
        self.request_retention(|reply_tx| RetentionRequest::Trim { before: seq, reply_tx }).await
    }

    /// Sets a retention hold: neither [`trim_before`](Self::trim_before) nor a limit deletes a segment with records
    /// from `seq` on, until the hold is moved or [released](Self::release_hold). It is durable when this returns and is
    /// stored in the file `NAME.holds`: it survives crashes and applies with any options. Segments that a moved hold no
    /// longer protects are deleted afterwards, in the background.
    ///
    /// The same call moves a hold: forward, or back to a record that exists. A `seq` that is not assigned yet is
    /// allowed. Concurrent calls share one write, so a consumer may move its hold often. A journal has at most 4096
    /// holds.
    ///
    /// ```
    /// # fn main() -> ministore_uring::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("journal.jsonl");
    /// let store = ministore_uring::JournalOptions::new().open_blocking(&path)?;
    /// store.blocking().append_batch([1, 2, 3])?;
    /// store.blocking().rotate()?;
    /// store.blocking().hold("billing", 2)?;
    /// assert_eq!(store.blocking().trim_before(4)?, 1); // record 2 is in the same segment as record 1
    /// store.blocking().hold("billing", 4)?; // allows the deletion and does not wait for it
    /// assert_eq!(store.blocking().trim_before(4)?, 4);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// * [`Trimmed`](MiniStoreError::Trimmed): record `seq` was deleted already. No hold was set; one of this name
    ///   does not move.
    /// * [`InvalidArgument`](MiniStoreError::InvalidArgument): the name is empty, longer than 255 bytes or contains
    ///   control characters; there are too many holds; or the journal was opened with
    ///   [`checksums(false)`](crate::JournalOptions::checksums).
    /// * [`StorageFull`](MiniStoreError::StorageFull), [`Io`](MiniStoreError::Io): it could not be written; the holds
    ///   are as before.
    /// * [`Closed`](MiniStoreError::Closed).
    /// * [`Poisoned`](MiniStoreError::Poisoned), [`WriterPanicked`](MiniStoreError::WriterPanicked): the next open
    ///   shows whether it was set.
    pub async fn hold(&self, name: &str, seq: u64) -> Result<()> {
        check_name(name)?;
        self.request_retention(|reply_tx| RetentionRequest::Hold { name: name.to_owned(), seq, reply_tx })
            .await
    }

    /// Releases a hold; returns whether it existed. Durable when it returns.
    ///
    /// # Errors
    ///
    /// As [`hold`](Self::hold), where it had to be written.
    pub async fn release_hold(&self, name: &str) -> Result<bool> {
        self.request_retention(|reply_tx| RetentionRequest::ReleaseHold { name: name.to_owned(), reply_tx })
            .await
    }

    /// Returns the durable holds: the sequence number of each, by name, from memory. (In a forked child: those at the
    /// fork, or none.)
    #[must_use]
    pub fn holds(&self) -> BTreeMap<String, u64> {
        let status = self.status();
        if status.fork_guard.in_forked_child() {
            return status.retention.try_holds().unwrap_or_default();
        }
        status.retention.holds()
    }
}

impl BlockingStore<'_> {
    /// Trims the journal; returns the oldest record that exists.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::trim_before`].
    pub fn trim_before(&self, seq: u64) -> Result<u64> {
        block_on(self.store().trim_before(seq))
    }

    /// Sets or moves a retention hold.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::hold`].
    pub fn hold(&self, name: &str, seq: u64) -> Result<()> {
        block_on(self.store().hold(name, seq))
    }

    /// Releases a hold; returns whether it existed.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::release_hold`].
    pub fn release_hold(&self, name: &str) -> Result<bool> {
        block_on(self.store().release_hold(name))
    }
}

fn check_name(name: &str) -> Result<()> {
    let problem = if name.is_empty() {
        "is empty"
    } else if name.len() > NAME_BYTES_MAX {
        "is longer than 255 bytes"
    } else if name.chars().any(char::is_control) {
        "contains control characters"
    } else {
        return Ok(());
    };
    Err(MiniStoreError::InvalidArgument(format!("the name of a hold {problem}: {name:?}")))
}
