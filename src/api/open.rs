//! Opening a journal with options.

use std::path::Path;

use crate::{JournalOptions, MiniStore, MiniStoreOptions, Result, sync::block_on};

impl JournalOptions {
    /// Opens the journal at `path` for writing. Creates it and its parent directories where they are missing, and
    /// recovers it after a crash ([`open_report`](MiniStore::open_report) returns what it did).
    ///
    /// All work runs on the journal's own threads: the calling thread is not blocked.
    ///
    /// # Errors
    ///
    /// * [`InvalidArgument`](crate::MiniStoreError::InvalidArgument): an option is out of its range.
    /// * [`PathIsNotFile`](crate::MiniStoreError::PathIsNotFile): the path names a directory or a device.
    /// * [`MissingInitialState`](crate::MiniStoreError::MissingInitialState): the file is not a journal.
    /// * [`Locked`](crate::MiniStoreError::Locked): another writer has it open.
    /// * [`Corrupt`](crate::MiniStoreError::Corrupt): acknowledged data is damaged; nothing was changed.
    /// * [`BackendUnavailable`](crate::MiniStoreError::BackendUnavailable): the requested backend is not available or
    ///   not compiled in.
    /// * [`Io`](crate::MiniStoreError::Io): a system call failed.
    pub async fn open<P: AsRef<Path>>(self, path: P) -> Result<MiniStore> {
        MiniStore::open_with(self, path.as_ref()).await
    }

    /// [`open`](Self::open), for programs without an async runtime. Blocks the calling thread.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_blocking<P: AsRef<Path>>(self, path: P) -> Result<MiniStore> {
        block_on(self.open(path))
    }
}

impl MiniStoreOptions {
    /// Opens the journal at `path`, creating it and its parent directories where they are missing.
    ///
    /// # Errors
    ///
    /// As [`JournalOptions::open`].
    pub async fn open<P: AsRef<Path>>(self, path: P) -> Result<MiniStore> {
        JournalOptions::from(self).open(path).await
    }
}
