//! Reading a journal that need not be open, as `ministore` 0.1.7 does.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::{JournalStream, MiniStore, Result, io::os_file_system, read::replay_on};

impl MiniStore {
    /// Returns all records of the journal at `path`, over all segments. A journal that does not exist, or is empty, has
    /// none.
    ///
    /// The journal need not be open for writing, and may be: a record that was acknowledged before the call is in the
    /// result. The files are read on a thread of their own; records are deserialized in the caller's task, because an
    /// `R` need not be `Send`. Where it is, [`Reader::replay_parallel`](crate::Reader::replay_parallel) is faster.
    ///
    /// Where retention deleted the oldest segments, the result begins with the oldest record that is left, and only a
    /// `tracing` warning reports how many are missing: a program of `ministore` 0.1.7 expects the rest. A program that
    /// counts records, or builds its state from them, uses [`Reader::records`](crate::Reader::records), which yields
    /// their numbers.
    ///
    /// # Errors
    ///
    /// * [`MissingInitialState`](crate::MiniStoreError::MissingInitialState): a file is not a journal.
    /// * [`Deserialize`](crate::MiniStoreError::Deserialize): a line is not an `R`.
    /// * [`Corrupt`](crate::MiniStoreError::Corrupt): acknowledged data is damaged, or a segment is missing.
    /// * [`Io`](crate::MiniStoreError::Io): a file could not be read.
    pub async fn replay<R, P>(path: P) -> Result<Vec<R>>
    where
        R: DeserializeOwned,
        P: AsRef<Path>,
    {
        replay_on(os_file_system(), path.as_ref().to_path_buf()).await
    }

    /// Returns the records of **one file** of a journal, line by line. [`Reader::records`](crate::Reader::records)
    /// reads all segments.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::MiniStoreError::Io) where the file does not exist (the active one has no name for a moment of each
    /// rotation) or cannot be read; [`MissingInitialState`](crate::MiniStoreError::MissingInitialState) where it does
    /// not begin with a header.
    pub async fn stream<T>(path: impl AsRef<Path>) -> Result<JournalStream<T>>
    where
        T: DeserializeOwned,
    {
        JournalStream::open(os_file_system(), path.as_ref().to_path_buf()).await
    }
}
