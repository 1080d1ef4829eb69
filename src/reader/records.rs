//! Records, lazily, as an iterator.

use std::{fmt, marker::PhantomData, path::Path, sync::Arc};

use serde::de::DeserializeOwned;

use super::{cursor::Record, line::Lines, source::Source, stream::RecordStream};
use crate::{Result, device::Disk};

/// The records of a journal, oldest first, over all segments, in bounded memory. See
/// [`MiniStore::records`](crate::MiniStore::records).
///
/// Nothing is opened before the first call of `next`. After an error of a single record
/// ([`MiniStoreError::Record`](crate::MiniStoreError::Record)) it goes on with the next one; after any other error
/// it ends.
#[must_use = "nothing is read before the first `next`"]
pub struct Records<T> {
    lines: Lines,
    value: PhantomData<fn() -> T>,
}

impl<T> Records<T> {
    pub(crate) fn new(disk: Arc<dyn Disk>, path: &Path, from_seq: u64) -> Self {
        Self { lines: Lines::new(disk, path, from_seq), value: PhantomData }
    }

    pub(super) fn of(source: Source) -> Self {
        Self { lines: Lines::of(source), value: PhantomData }
    }

    /// The same records as a `futures::Stream` that needs no particular runtime: the files are read on a thread of its own,
    /// so that no runtime thread is blocked. Starts from the beginning.
    pub fn into_stream(self) -> RecordStream<T> {
        RecordStream::of(self.lines.into_source())
    }
}

impl<T: DeserializeOwned> Iterator for Records<T> {
    type Item = Result<Record<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.lines.next_line() {
            Ok(line) => line.map(Record::parse),
            Err(error) => Some(Err(error)),
        }
    }
}

impl<T> fmt::Debug for Records<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Records").field(&self.lines).finish()
    }
}
