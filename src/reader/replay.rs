//! The reading side of [`MiniStore`].

use std::{
    future::poll_fn,
    num::NonZero,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::de::DeserializeOwned;

use super::{JournalStream, Lines, Records, feed::Feed, parallel, pump::Pump};
use crate::{
    MiniStore, MiniStoreError, Result,
    device::{self, Disk},
    names::Names,
};

impl MiniStore {
    /// All records of the journal at `path`, over all segments. What does not exist, or is empty, gives no records.
    ///
    /// The journal need not be open, and may be: a record that was acknowledged before the call is in the result. The
    /// files are read on a thread of their own; records are deserialized in the caller's task, for an `R` need not be
    /// `Send`. Where it is, [`replay_parallel`](Self::replay_parallel) is faster.
    ///
    /// Where retention deleted the oldest segments, the result begins with the oldest record that is left, and how many
    /// are missing before it is told as a `tracing` warning only: a program of `ministore` 0.1.7 expects the rest. One that
    /// counts what it is given, or builds its state from it, wants [`records`](Self::records), whose records know their
    /// numbers.
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

    /// As [`replay`](Self::replay), with the same result and the same errors, on all cores: threads of its own read the
    /// files and deserialize the records, up to eight at once.
    ///
    /// # Errors
    ///
    /// As [`replay`](Self::replay).
    ///
    /// # Panics
    ///
    /// Where deserializing an `R` panics.
    pub async fn replay_parallel<R, P>(path: P) -> Result<Vec<R>>
    where
        R: DeserializeOwned + Send + 'static,
        P: AsRef<Path>,
    {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let path = path.as_ref().to_path_buf();
        replay_parallel_on(device::real(), path, cores.min(parallel::THREADS_MAX)).await
    }

    /// The records of **one file** of a journal, line by line. [`records`](Self::records) reads all segments.
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

    /// The records of the journal at `path`, lazily, over all segments, with their sequence numbers. What does not
    /// exist, or is empty, gives no records. A reader that retention overtakes is told: [`Io`](MiniStoreError::Io) of
    /// kind `NotFound`, with the name of the segment that is gone.
    ///
    /// ```
    /// # fn main() -> ministore_uring::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("journal.jsonl");
    /// # let store = ministore_uring::MiniStore::open_blocking(&path)?;
    /// store.blocking().append_batch(["a", "b"])?;
    /// for record in ministore_uring::MiniStore::records::<String>(&path) {
    ///     let record = record?;
    ///     println!("{}: {}", record.seq, record.value);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn records<T: DeserializeOwned>(path: impl AsRef<Path>) -> Records<T> {
        Records::new(device::real(), path.as_ref(), 0)
    }

    /// As [`records`](Self::records), from sequence number `seq` on. Segments that hold only older records are not
    /// read.
    pub fn records_from<T: DeserializeOwned>(path: impl AsRef<Path>, seq: u64) -> Records<T> {
        Records::new(device::real(), path.as_ref(), seq)
    }

    /// The records of the journal at `path` as they stand there, unparsed, lazily, over all segments, with their
    /// sequence numbers. As [`records`](Self::records), for what is to be copied or counted, or parsed without copying:
    ///
    /// ```
    /// # fn main() -> ministore_uring::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("journal.jsonl");
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Visit<'a> {
    ///     page: &'a str,
    /// }
    ///
    /// # let store = ministore_uring::MiniStore::open_blocking(&path)?;
    /// store.blocking().append(&Visit { page: "/index.html" })?;
    /// let mut lines = ministore_uring::MiniStore::lines(&path);
    /// while let Some(line) = lines.next_line()? {
    ///     let visit: Visit<'_> = line.parse()?; // borrows its texts from the line
    ///     println!("{}: {}", line.seq, visit.page);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A text with an escape in it (`\n`, `\"`, `\u0000`) has no borrowed form: a field for any text is a
    /// `#[serde(borrow)] Cow<'a, str>`.
    pub fn lines(path: impl AsRef<Path>) -> Lines {
        Lines::new(device::real(), path.as_ref(), 0)
    }

    /// As [`lines`](Self::lines), from sequence number `seq` on. Segments that hold only older records are not read.
    pub fn lines_from(path: impl AsRef<Path>, seq: u64) -> Lines {
        Lines::new(device::real(), path.as_ref(), seq)
    }
}

/// All records of the journal at `path` on `disk`.
pub(crate) async fn replay_on<R: DeserializeOwned>(disk: Arc<dyn Disk>, path: PathBuf) -> Result<Vec<R>> {
    let mut pump = Pump::start(path.clone(), move || whole(disk, &path))?;
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
    disk: Arc<dyn Disk>,
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
fn whole(disk: Arc<dyn Disk>, path: &Path) -> Result<Feed> {
    let names = Names::resolve(&*disk, path)?;
    let mut feed = Feed::of_journal(disk, path, 0)?;
    let Some((segment, first)) = feed.begin()? else {
        return Ok(feed);
    };
    if first > 1 {
        let gone = first - 1;
        tracing::warn!(
            journal = %path.display(), segment = %segment.display(), first, gone,
            "replay begins behind the first record: retention deleted those before it"
        );
    } else if let Some(number) = names.number_of(&segment).filter(|number| *number > 1) {
        tracing::warn!(
            journal = %path.display(), segment = %segment.display(), segments_gone = number - 1,
            "replay begins behind the first segment: those before it were deleted, and their records cannot be counted"
        );
    }
    Ok(feed)
}

#[cfg(test)]
mod tests;
