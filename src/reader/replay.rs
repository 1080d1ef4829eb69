//! The reading side of [`MiniStore`].

use std::{
    future::poll_fn,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::de::DeserializeOwned;

use super::{JournalStream, journal_reader::JournalReader, parallel, read_ahead::ReadAhead};
use crate::{
    MiniStore, MiniStoreError, Result,
    device::{self, FileSystem},
    file_names::FileNames,
};

impl MiniStore {
    /// Returns all records of the journal at `path`, over all segments. A journal that does not exist, or is empty, has
    /// none.
    ///
    /// The journal need not be open for writing, and may be: a record that was acknowledged before the call is in the
    /// result. The files are read on a thread of their own; records are deserialized in the caller's task, because an `R`
    /// need not be `Send`. Where it is, [`Reader::replay_parallel`](crate::Reader::replay_parallel) is faster.
    ///
    /// Where retention deleted the oldest segments, the result begins with the oldest record that is left, and only a
    /// `tracing` warning reports how many are missing: a program of `ministore` 0.1.7 expects the rest. A program that counts
    /// records, or builds its state from them, uses [`Reader::records`](crate::Reader::records), which yields their numbers.
    ///
    /// # Errors
    ///
    /// * [`MissingInitialState`](MiniStoreError::MissingInitialState): a file is not a journal.
    /// * [`Deserialize`](MiniStoreError::Deserialize): a line is not an `R`.
    /// * [`Corrupt`](MiniStoreError::Corrupt): acknowledged data is damaged, or a segment is missing.
    /// * [`Io`](MiniStoreError::Io): a file could not be read.
    pub async fn replay<R, P>(path: P) -> Result<Vec<R>>
    where
        R: DeserializeOwned,
        P: AsRef<Path>,
    {
        replay_on(device::real(), path.as_ref().to_path_buf()).await
    }

    /// Returns the records of **one file** of a journal, line by line. [`Reader::records`](crate::Reader::records) reads all
    /// segments.
    ///
    /// # Errors
    ///
    /// [`Io`](MiniStoreError::Io) where the file does not exist (the active one has no name for a moment of each rotation)
    /// or cannot be read;
    /// [`MissingInitialState`](MiniStoreError::MissingInitialState) where it does not begin with a header.
    pub async fn stream<T>(path: impl AsRef<Path>) -> Result<JournalStream<T>>
    where
        T: DeserializeOwned,
    {
        JournalStream::open(device::real(), path.as_ref().to_path_buf()).await
    }
}

/// All records of the journal at `path` on `disk`.
pub(crate) async fn replay_on<R: DeserializeOwned>(
    disk: Arc<dyn FileSystem>,
    path: PathBuf,
) -> Result<Vec<R>> {
    let mut pump = ReadAhead::start(path.clone(), move || whole(disk, &path))?;
    let mut records = Vec::new();
    while let Some(block) = poll_fn(|context| pump.poll_next(context)).await {
        let mut block = block?;
        while let Some(record) = block.next(0) {
            match record {
                Ok(record) => records.push(record.value),
                Err(MiniStoreError::Record { source, .. }) => {
                    // As the original counts: the first header is line 1, later ones are not counted.
                    return Err(MiniStoreError::Deserialize { line: records.len() + 2, source });
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(records)
}

/// As [`replay_on`], on so many threads.
pub(crate) async fn replay_parallel_on<R>(
    disk: Arc<dyn FileSystem>,
    path: PathBuf,
    threads: usize,
) -> Result<Vec<R>>
where
    R: DeserializeOwned + Send + 'static,
{
    parallel::replay(move || whole(disk, &path), threads).await
}

/// All that is left of the journal. Says so where that is not all there ever was: whoever is given records without their
/// numbers cannot tell.
fn whole(disk: Arc<dyn FileSystem>, path: &Path) -> Result<JournalReader> {
    let names = FileNames::resolve(&*disk, path)?;
    let mut journal_reader = JournalReader::of_journal(disk, path, 0)?;
    let Some((segment, first)) = journal_reader.begin()? else {
        return Ok(journal_reader);
    };
    if first > 1 {
        let gone = first - 1;
        tracing::warn!(
            journal = %path.display(), segment = %segment.display(), first_seq = first, missing_records = gone,
            "replay starts after record 1; retention deleted older records"
        );
    } else if let Some(number) = names.number_of(&segment).filter(|number| *number > 1) {
        tracing::warn!(
            journal = %path.display(), segment = %segment.display(), missing_segments = number - 1,
            "replay starts after the first segment; deleted records cannot be counted"
        );
    }
    Ok(journal_reader)
}

#[cfg(test)]
mod tests;
