//! Single records and short ranges, by sequence number, without reading the journal from its start.
//!
//! Owns an index in memory, which grows as the journal is read and is made anew by every reader: of each segment, some
//! places where groups begin. Nothing is handed out that does not verify from such a place on. Never writes, never locks
//! a file, and keeps none open.

mod found;
mod index;
mod listing;
mod store;
#[cfg(test)]
mod tests;
mod threads;
mod waypoints;

use std::{
    ops::{Bound, Range, RangeBounds},
    path::Path,
    sync::Arc,
};

use serde::de::DeserializeOwned;

use super::{Record, Records, source::Source};
use crate::{MiniStore, Result, device, device::Disk};

pub(in crate::reader) use found::Found;
pub(in crate::reader) use index::{Index, Trail, seek};
pub(crate) use store::Lookups;

/// Reads single records and ranges of records, in any order. See [`MiniStore::reader`].
///
/// Cheap to clone; all clones share what they know of the journal, and read it side by side from any number of threads.
/// No file stays open between two calls. A child made by `fork` makes a reader of its own.
///
/// # Memory
///
/// A reader remembers a place of 24 bytes for every 32 KiB of a segment that it has read, 768 KiB for a GiB, and of
/// 10 GiB at most: then it forgets the places in the segment that was not read from for longest.
/// [`index_bytes`](Self::index_bytes) tells how much it is. Beyond that it holds the commit group that is being read, up
/// to some MiB of it however large it is, and the names of the segments.
#[derive(Debug, Clone)]
pub struct Reader {
    index: Arc<Index>,
}

impl MiniStore {
    /// A reader of single records of the journal at `path`, by number. Nothing is opened before it is asked for the first
    /// one, and nothing needs to exist. The journal need not be open, and may be, in this process or another: what was
    /// acknowledged before a call is found by it.
    ///
    /// To find a record, the headers of a few segments are read, and the segment that holds it up to there, once: from
    /// then on the reader knows its way about in it. The commit group with the record is verified, as are the groups
    /// between it and the place that is known before it.
    ///
    /// ```
    /// # fn main() -> ministore_uring::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("journal.jsonl");
    /// # let store = ministore_uring::MiniStore::open_blocking(&path)?;
    /// store.blocking().append_batch(["a", "b", "c", "d"])?;
    /// let reader = ministore_uring::MiniStore::reader(&path);
    /// assert_eq!(reader.get::<String>(3)?.map(|record| record.value).as_deref(), Some("c"));
    /// assert!(reader.get::<String>(5)?.is_none(), "not written yet");
    /// for record in reader.range::<String>(2..4) {
    ///     let record = record?;
    ///     println!("{}: {}", record.seq, record.value);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// It blocks the calling thread while it reads. On an async runtime use [`get`](Self::get) and
    /// [`range`](Self::range) of a store, or the stream of a range ([`Records::into_stream`]).
    #[must_use]
    pub fn reader(path: impl AsRef<Path>) -> Reader {
        Reader::new(device::real(), path.as_ref())
    }
}

impl Reader {
    pub(crate) fn new(disk: Arc<dyn Disk>, path: &Path) -> Self {
        Self { index: Arc::new(Index::new(disk, path.to_path_buf())) }
    }

    /// The record with sequence number `seq`; `None` where the journal ends before it, and for 0.
    ///
    /// Journals and segments without numbers in their headers (those of `ministore` 0.1.7, and of
    /// [`seals(false)`](crate::JournalOptions::seals)) are counted through each time.
    ///
    /// # Errors
    ///
    /// * [`Released`](crate::MiniStoreError::Released): retention deleted the record.
    /// * [`Corrupt`](crate::MiniStoreError::Corrupt): acknowledged data before it in its segment, or in its commit
    ///   group, is damaged, or a segment is missing. Damage elsewhere is not noticed.
    /// * [`Record`](crate::MiniStoreError::Record): it is not a `T`.
    /// * [`MissingInitialState`](crate::MiniStoreError::MissingInitialState): a file is not a journal.
    /// * [`Io`](crate::MiniStoreError::Io): a file could not be read.
    pub fn get<T: DeserializeOwned>(&self, seq: u64) -> Result<Option<Record<T>>> {
        self.find(seq)?.map(|found| found.parse()).transpose()
    }

    /// The records with these sequence numbers, as far as there are any, lazily, in bounded memory. A range without a
    /// start (`..b`) begins with the oldest that is still there.
    ///
    /// # Errors
    ///
    /// The iterator gives those of [`get`](Self::get); [`Released`](crate::MiniStoreError::Released) where retention
    /// deleted the first of them, or overtakes the reading. After [`Record`](crate::MiniStoreError::Record) it goes on
    /// with the next record, after any other it ends.
    pub fn range<T: DeserializeOwned>(&self, seqs: impl RangeBounds<u64>) -> Records<T> {
        Records::of(self.source(numbers(&seqs)))
    }

    /// The number of the newest record; 0 where there is none. Only the newest segment is read for it, and that from the
    /// last place known in it; journals without numbers in their headers are counted through.
    ///
    /// ```
    /// # fn main() -> ministore_uring::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("journal.jsonl");
    /// # let store = ministore_uring::MiniStore::open_blocking(&path)?;
    /// store.blocking().append_batch(["a", "b", "c", "d"])?;
    /// let reader = ministore_uring::MiniStore::reader(&path);
    /// let last = reader.last_seq()?;
    /// let newest_two = reader.range::<String>(last - 1..=last);
    /// assert_eq!(newest_two.map(|record| record.map(|it| it.value)).collect::<Result<Vec<_>, _>>()?, ["c", "d"]);
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

    /// Memory that the index takes, in bytes.
    #[must_use]
    pub fn index_bytes(&self) -> usize {
        self.index.bytes()
    }

    fn find(&self, seq: u64) -> Result<Option<Found>> {
        if seq == 0 { Ok(None) } else { self.index.find(seq) }
    }

    fn source(&self, wanted: Range<u64>) -> Source {
        Source::Range { index: Arc::clone(&self.index), wanted }
    }
}

/// The numbers in a range; one that is open to the left begins with 0.
fn numbers(seqs: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match seqs.start_bound() {
        // No record has number 0, so that none can be missed before 1.
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
