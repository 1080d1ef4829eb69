//! Replay: all records of a journal in one vector.

use std::{
    future::poll_fn,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::de::DeserializeOwned;

use super::{journal_reader::JournalReader, parallel, read_ahead::ReadAhead};
use crate::{MiniStoreError, Result, io::FileSystem, journal::file_names::FileNames};

/// Returns all records of the journal at `path` on `fs`.
pub(crate) async fn replay_on<R: DeserializeOwned>(fs: Arc<dyn FileSystem>, path: PathBuf) -> Result<Vec<R>> {
    let mut read_ahead = ReadAhead::start(path.clone(), move || open_whole(fs, &path))?;
    let mut records = Vec::new();
    while let Some(block) = poll_fn(|context| read_ahead.poll_next(context)).await {
        let mut block = block?;
        while let Some(record) = block.next(0) {
            match record {
                Ok(record) => records.push(record.value),
                Err(MiniStoreError::Record { source, .. }) => {
                    // As `ministore` 0.1.7 counts: the first header is line 1, later headers are not counted.
                    return Err(MiniStoreError::Deserialize { line: records.len() + 2, source });
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(records)
}

/// As [`replay_on`], deserialized on `threads` threads.
pub(crate) async fn replay_parallel_on<R>(
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    threads: usize,
) -> Result<Vec<R>>
where
    R: DeserializeOwned + Send + 'static,
{
    parallel::replay(move || open_whole(fs, &path), threads).await
}

/// Opens a reader of all records that exist. Logs a warning where older ones were deleted: the caller gets records
/// without sequence numbers and cannot notice that.
fn open_whole(fs: Arc<dyn FileSystem>, path: &Path) -> Result<JournalReader> {
    let names = FileNames::resolve(&*fs, path)?;
    let mut journal_reader = JournalReader::of_journal(fs, path, 0)?;
    let Some((segment, first)) = journal_reader.open_first()? else {
        return Ok(journal_reader);
    };
    if first > 1 {
        let deleted = first - 1;
        tracing::warn!(
            journal = %path.display(), segment = %segment.display(), first_seq = first, missing_records = deleted,
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
