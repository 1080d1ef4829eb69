//! What callers can do about retention: release records, hold them, and look at what is left.

use std::collections::BTreeMap;

use super::{Ask, holds::NAME_BYTES_MAX};
use crate::{Blocking, MiniStore, MiniStoreError, Result, sync::block_on};

impl MiniStore {
    /// The sequence number of the oldest record that is still there; of the next one where there is none. It grows where
    /// retention deletes, and at no other time.
    ///
    /// From memory. In a journal that begins with segments of `ministore` 0.1.7, the oldest of which are gone, their
    /// records are counted when it is opened.
    #[must_use]
    pub fn first_seq(&self) -> u64 {
        self.shared().retention.first_seq()
    }

    /// Says that no record before `seq` is needed any more, and deletes what that allows: archived segments that hold
    /// nothing else. Returns [`first_seq`](Self::first_seq) as it is then; the deletions are durable. Commits go on
    /// meanwhile.
    ///
    /// What cannot go yet goes as soon as it can, while the store is open: records in the active segment once it was
    /// rotated, records that a [hold](Self::hold) protects once it has moved. A lower `seq` than before takes nothing back.
    /// `release_before(0)` releases nothing, and applies the limits of the options now.
    ///
    /// What a segment holds is told by the header of the one behind it. A segment of `ministore` 0.1.7 with another one
    /// behind it is therefore kept. So that the records of such a journal keep their numbers, no limit of the options deletes
    /// any of them either before the first rotation here.
    ///
    /// ```
    /// # fn main() -> ministore_uring::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("journal.jsonl");
    /// let store = ministore_uring::MiniStore::open_blocking(&path)?;
    /// store.blocking().append_batch([1, 2, 3])?;
    /// // A snapshot that stands for all of them is durable by now.
    /// store.blocking().rotate()?;
    /// assert_eq!(store.blocking().release_before(4)?, 4);
    /// assert_eq!(store.stats().released_records, 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// * [`Io`](MiniStoreError::Io): a segment could not be deleted; what was deleted before it stays so.
    /// * [`InvalidArgument`](MiniStoreError::InvalidArgument): the journal was opened with
    ///   [`seals(false)`](crate::JournalOptions::seals), and sequence numbers do not last there.
    /// * [`Closed`](MiniStoreError::Closed): the store was closed before everything was deleted. What was deleted stays so;
    ///   call again after the next open.
    /// * [`Poisoned`](MiniStoreError::Poisoned).
    pub async fn release_before(&self, seq: u64) -> Result<u64> {
        self.ask(|done| Ask::Release { before: seq, done }).await
    }

    /// Sets a named cursor: no retention deletes a segment with records from `seq` on, whatever its limits or
    /// [`release_before`](Self::release_before) say, until the hold is moved or taken away. Durable when it returns, and
    /// stands in the file `NAME.holds`: it survives crashes, and being opened with other options. Segments that a moved hold
    /// no longer protects are deleted afterwards, in the background.
    ///
    /// The same call moves a hold: forward, or back to what is still there. A `seq` that is still to come is allowed. Many
    /// calls at a time share one write: a consumer may move its hold as often as it likes. At most 4096 holds stand at a
    /// time.
    ///
    /// ```
    /// # fn main() -> ministore_uring::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("journal.jsonl");
    /// let store = ministore_uring::MiniStore::open_blocking(&path)?;
    /// store.blocking().append_batch([1, 2, 3])?;
    /// store.blocking().rotate()?;
    /// store.blocking().hold("billing", 2)?;
    /// assert_eq!(store.blocking().release_before(4)?, 1); // record 2 is in the same segment as record 1
    /// store.blocking().hold("billing", 4)?; // allows the deletion, and does not wait for it
    /// assert_eq!(store.blocking().release_before(4)?, 4);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// * [`Released`](MiniStoreError::Released): record `seq` was deleted already. No hold was set; one of this name
    ///   stays where it was.
    /// * [`InvalidArgument`](MiniStoreError::InvalidArgument): the name is empty, longer than 255 bytes or holds control
    ///   characters; there are too many holds; or the journal was opened with
    ///   [`seals(false)`](crate::JournalOptions::seals).
    /// * [`StorageFull`](MiniStoreError::StorageFull), [`Io`](MiniStoreError::Io): it could not be written; what stood
    ///   before stands.
    /// * [`Closed`](MiniStoreError::Closed).
    /// * [`Poisoned`](MiniStoreError::Poisoned), [`WriterGone`](MiniStoreError::WriterGone): whether it stands is known
    ///   at the next open.
    pub async fn hold(&self, name: &str, seq: u64) -> Result<()> {
        check_name(name)?;
        self.ask(|done| Ask::Hold { name: name.to_owned(), seq, done }).await
    }

    /// Takes a hold away; whether there was one. Durable when it returns.
    ///
    /// # Errors
    ///
    /// As [`hold`](Self::hold), where it was to be written.
    pub async fn unhold(&self, name: &str) -> Result<bool> {
        self.ask(|done| Ask::Unhold { name: name.to_owned(), done }).await
    }

    /// The holds that stand, durably: the sequence number of each, by its name. From memory. (In a fork of the process
    /// that opened the journal: those at the fork, or none.)
    #[must_use]
    pub fn holds(&self) -> BTreeMap<String, u64> {
        let shared = self.shared();
        if shared.process.is_elsewhere() {
            return shared.retention.try_holds().unwrap_or_default();
        }
        shared.retention.holds()
    }
}

impl Blocking<'_> {
    /// Deletes what is not needed any more; the oldest record that is left.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::release_before`].
    pub fn release_before(&self, seq: u64) -> Result<u64> {
        block_on(self.store.release_before(seq))
    }

    /// Sets or moves a named cursor that retention does not pass.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::hold`].
    pub fn hold(&self, name: &str, seq: u64) -> Result<()> {
        block_on(self.store.hold(name, seq))
    }

    /// Takes a hold away; whether there was one.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::unhold`].
    pub fn unhold(&self, name: &str) -> Result<bool> {
        block_on(self.store.unhold(name))
    }
}

fn check_name(name: &str) -> Result<()> {
    let fault = if name.is_empty() {
        "is empty"
    } else if name.len() > NAME_BYTES_MAX {
        "is longer than 255 bytes"
    } else if name.chars().any(char::is_control) {
        "holds control characters"
    } else {
        return Ok(());
    };
    Err(MiniStoreError::InvalidArgument(format!("the name of a hold {fault}: {name:?}")))
}
