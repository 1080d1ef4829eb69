//! The reading side of [`MiniStore`].

use std::{
    future::poll_fn,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::de::DeserializeOwned;

use super::{journal_reader::JournalReader, parallel, read_ahead::ReadAhead};
use crate::{MiniStoreError, Result, io::FileSystem, journal::file_names::FileNames};

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
