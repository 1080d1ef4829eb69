//! Single records and short ranges, by sequence number, without reading the journal from its start.
//!
//! Owns an index in memory, which grows as the journal is read and is built again by every reader: for each segment,
//! the start positions of some groups. Every record that is returned was verified from such a position on. Never
//! writes, never locks a file, and keeps none open.

mod find;
mod found;
mod index;
mod range;
mod read_pool;
mod seek;
mod segment_list;
mod sparse_index;
#[cfg(test)]
mod tests;

use std::{
    io,
    ops::{Bound, Range, RangeBounds},
    path::Path,
    sync::Arc,
};

use serde::de::DeserializeOwned;

use super::{
    RawRecords, Record, RecordStream, Records, journal_reader::JournalReader, parallel, read_plan::ReadPlan,
    replay::replay_parallel_on,
};
use crate::{
    MiniStoreError, Result,
    io::{FileKind, FileSystem, os_file_system},
};

pub(crate) use found::FoundRecord;
pub(crate) use index::Index;
pub(in crate::read) use index::{IndexRecorder, RELISTS_MAX};
pub use range::RecordRange;
pub(crate) use read_pool::ReadPool;
pub(in crate::read) use seek::seek;

/// Reads the journal at a path: all records, single ones and ranges by sequence number, and those that are appended
/// later.
///
/// The journal need not be open for writing, and may be, in this process or another; a record that was acknowledged
/// before a call is found by it. Readers take no lock and keep no file open between two calls.
///
/// **Its methods and iterators block the calling thread**, except for those that return a stream
/// ([`records_stream`](Self::records_stream), [`range_stream`](Self::range_stream),
/// [`follow_stream`](Self::follow_stream)) and [`replay_parallel`](Self::replay_parallel), which is `async`: they read
/// on threads of their own and need no particular runtime.
///
/// ```
/// # fn main() -> ministore_uring::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("journal.jsonl");
/// # let store = ministore_uring::JournalOptions::new().open_blocking(&path)?;
/// use ministore_uring::Reader;
///
/// store.blocking().append_batch(["a", "b", "c", "d"])?;
/// let reader = Reader::open(&path)?;
/// for record in reader.records::<String>() {
///     let record = record?;
///     println!("{}: {}", record.seq, record.value);
/// }
/// assert_eq!(reader.get::<String>(3)?.map(|record| record.value).as_deref(), Some("c"));
/// assert!(reader.get::<String>(5)?.is_none(), "not written yet");
/// let newest: Vec<_> = reader.range::<String>(..).rev().take(2).collect::<Result<_, _>>()?;
/// assert_eq!((newest[0].seq, newest[1].seq), (4, 3));
/// # Ok(())
/// # }
/// ```
///
/// Cheap to clone; all clones share one index and may be used concurrently from any number of threads. A child made by
/// `fork` opens a reader of its own.
///
/// # Memory
///
/// To find a record, a reader reads the headers of a few segments and, once, the segment that holds it. It then
/// remembers a position of 24 bytes for every 32 KiB of a segment it has read, 768 KiB for a GiB, and for 10 GiB at
/// most: beyond that it forgets the positions of the segment that was not read for longest.
/// [`index_bytes`](Self::index_bytes) returns the size. It also holds the commit group that is being read, up to some
/// MiB of it, and the names of the segments.
#[derive(Debug, Clone)]
pub struct Reader {
    index: Arc<Index>,
}

impl Reader {
    /// Returns a reader of the journal at `path`. Files are opened when records are read. A journal that does not exist
    /// has no records yet.
    ///
    /// # Errors
    ///
    /// * [`PathIsNotFile`](crate::MiniStoreError::PathIsNotFile): the path names a directory or a device.
    /// * [`Io`](crate::MiniStoreError::Io): the path could not be examined.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let (fs, path) = (os_file_system(), path.as_ref());
        match fs.kind(path) {
            Ok(FileKind::File) => {}
            Ok(FileKind::Directory | FileKind::Other) => {
                return Err(MiniStoreError::PathIsNotFile { path: path.to_path_buf() });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(MiniStoreError::file(path, "open")(error)),
        }
        Ok(Self::new(fs, path))
    }

    pub(crate) fn new(fs: Arc<dyn FileSystem>, path: &Path) -> Self {
        Self { index: Arc::new(Index::new(fs, path.to_path_buf())) }
    }

    /// Returns all records of the journal with their sequence numbers, oldest first, over all segments, in bounded
    /// memory. Starts with the oldest record that exists.
    ///
    /// # Errors
    ///
    /// The iterator yields:
    ///
    /// * [`Record`](crate::MiniStoreError::Record): a record is not a `T`; the iterator continues with the next one.
    ///   Every other error ends it.
    /// * [`MissingInitialState`](crate::MiniStoreError::MissingInitialState): a file is not a journal.
    /// * [`Corrupt`](crate::MiniStoreError::Corrupt): acknowledged data is damaged, or a segment is missing.
    /// * [`Io`](crate::MiniStoreError::Io): a file could not be read; of kind `NotFound`, with the segment's name,
    ///   where retention deleted it while it was being read.
    pub fn records<T: DeserializeOwned>(&self) -> Records<T> {
        self.records_from(0)
    }

    /// As [`records`](Self::records), from sequence number `seq` on. Segments that hold only older records are not
    /// read.
    pub fn records_from<T: DeserializeOwned>(&self, seq: u64) -> Records<T> {
        Records::new(Arc::clone(self.index.fs()), self.index.path(), seq)
    }

    /// As [`records_from`](Self::records_from), as a stream that needs no particular runtime: the files are read on a
    /// thread of its own.
    pub fn records_stream<T>(&self, seq: u64) -> RecordStream<T> {
        let (fs, path) = (Arc::clone(self.index.fs()), self.index.path().to_path_buf());
        RecordStream::of(ReadPlan::Journal { fs, path, from_seq: seq })
    }

    /// As [`records`](Self::records), without parsing: each record is lent as the bytes that were appended. For
    /// copying, counting, or parsing without a copy:
    ///
    /// ```
    /// # fn main() -> ministore_uring::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("journal.jsonl");
    /// # let store = ministore_uring::JournalOptions::new().open_blocking(&path)?;
    /// use ministore_uring::Reader;
    ///
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Visit<'a> {
    ///     page: &'a str,
    /// }
    ///
    /// store.blocking().append(&Visit { page: "/index.html" })?;
    /// let mut records = Reader::open(&path)?.raw_records();
    /// while let Some(record) = records.next_record()? {
    ///     let visit: Visit<'_> = record.parse()?; // borrows its strings from the record
    ///     println!("{}: {}", record.seq, visit.page);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A string with an escape in it (`\n`, `\"`, `\u0000`) cannot be borrowed: a field for any string is a
    /// `#[serde(borrow)] Cow<'a, str>`.
    pub fn raw_records(&self) -> RawRecords {
        self.raw_records_from(0)
    }

    /// As [`raw_records`](Self::raw_records), from sequence number `seq` on. Segments that hold only older records are
    /// not read.
    pub fn raw_records_from(&self, seq: u64) -> RawRecords {
        RawRecords::new(Arc::clone(self.index.fs()), self.index.path(), seq)
    }

    /// Returns all records of the journal, deserialized concurrently on up to eight threads: the same result and the
    /// same errors as [`MiniStore::replay`](crate::MiniStore::replay), without blocking the calling thread.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::replay`](crate::MiniStore::replay).
    ///
    /// # Panics
    ///
    /// Where deserializing an `R` panics.
    pub async fn replay_parallel<R>(&self) -> Result<Vec<R>>
    where
        R: DeserializeOwned + Send + 'static,
    {
        let (fs, path) = (Arc::clone(self.index.fs()), self.index.path().to_path_buf());
        replay_parallel_on(fs, path, parallel::default_threads()).await
    }

    /// Returns the record with sequence number `seq`; `None` where the journal ends before it, and for 0.
    ///
    /// Journals and segments without numbers in their headers (those of `ministore` 0.1.7, and of
    /// [`checksums(false)`](crate::JournalOptions::checksums)) are counted through each time.
    ///
    /// # Errors
    ///
    /// * [`Trimmed`](crate::MiniStoreError::Trimmed): retention deleted the record.
    /// * [`Corrupt`](crate::MiniStoreError::Corrupt): acknowledged data before it in its segment, or in its commit
    ///   group, is damaged, or a segment is missing. Damage elsewhere is not noticed.
    /// * [`Record`](crate::MiniStoreError::Record): it is not a `T`.
    /// * [`MissingInitialState`](crate::MiniStoreError::MissingInitialState): a file is not a journal.
    /// * [`Io`](crate::MiniStoreError::Io): a file could not be read.
    pub fn get<T: DeserializeOwned>(&self, seq: u64) -> Result<Option<Record<T>>> {
        self.find(seq)?.map(|found| found.parse()).transpose()
    }

    /// Returns the records with these sequence numbers, as far as they exist, in bounded memory, from both ends. A
    /// range without a start (`..b`) begins with the oldest record that exists.
    ///
    /// # Errors
    ///
    /// The iterator yields those of [`get`](Self::get); [`Trimmed`](crate::MiniStoreError::Trimmed) where retention
    /// deleted the first of them, before or while they are read. After [`Record`](crate::MiniStoreError::Record) it
    /// continues with the next record; any other error ends it.
    pub fn range<T: DeserializeOwned>(&self, seqs: impl RangeBounds<u64>) -> RecordRange<T> {
        RecordRange::new(self.clone(), seq_range(&seqs))
    }

    /// As [`range`](Self::range), as a stream that needs no particular runtime: the files are read on a thread of its
    /// own.
    pub fn range_stream<T>(&self, seqs: impl RangeBounds<u64>) -> RecordStream<T> {
        RecordStream::of(self.read_plan(seq_range(&seqs)))
    }

    /// Returns the number of the oldest record that exists; that of the next one where there is none, and 1 where there
    /// is no journal.
    ///
    /// # Errors
    ///
    /// As [`records`](Self::records) has them for the oldest segment.
    pub fn first_seq(&self) -> Result<u64> {
        let fs = Arc::clone(self.index.fs());
        let mut journal_reader = JournalReader::of_journal(fs, self.index.path(), 0)?;
        match journal_reader.open_first()? {
            Some((_, first)) => Ok(first),
            None => Ok(self.last_seq()? + 1),
        }
    }

    /// Returns the number of the newest record; 0 where there is none. Reads only the newest segment, and that from the
    /// last position known in it; journals without numbers in their headers are counted through.
    ///
    /// ```
    /// # fn main() -> ministore_uring::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("journal.jsonl");
    /// # let store = ministore_uring::JournalOptions::new().open_blocking(&path)?;
    /// store.blocking().append_batch(["a", "b", "c", "d"])?;
    /// assert_eq!(ministore_uring::Reader::open(&path)?.last_seq()?, 4);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get) has them for damage in the newest segment, and for what cannot be read.
    pub fn last_seq(&self) -> Result<u64> {
        self.index.last_seq()
    }

    /// Returns the memory that the index takes, in bytes.
    #[must_use]
    pub fn index_bytes(&self) -> usize {
        self.index.bytes()
    }

    pub(crate) fn index(&self) -> &Arc<Index> {
        &self.index
    }

    pub(crate) fn fs(&self) -> &Arc<dyn FileSystem> {
        self.index.fs()
    }

    pub(crate) fn path(&self) -> &Path {
        self.index.path()
    }

    pub(crate) fn find(&self, seq: u64) -> Result<Option<FoundRecord>> {
        if seq == 0 { Ok(None) } else { self.index.find(seq) }
    }

    pub(crate) fn read_plan(&self, wanted: Range<u64>) -> ReadPlan {
        ReadPlan::Range { index: Arc::clone(&self.index), wanted }
    }
}

/// Converts a range of sequence numbers; one without a start starts at 0.
pub(crate) fn seq_range(seqs: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match seqs.start_bound() {
        // No record has sequence number 0, so none before 1 can be missing.
        Bound::Included(&seq) => seq.max(1),
        Bound::Excluded(&seq) => seq.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match seqs.end_bound() {
        Bound::Included(&seq) => seq.saturating_add(1),
        Bound::Excluded(&seq) => seq,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}
