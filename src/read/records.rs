//! The iterator over deserialized records.

use std::{fmt, marker::PhantomData, path::Path, sync::Arc};

use serde::de::DeserializeOwned;

use super::{raw_records::RawRecords, record::Record};
use crate::{Result, io::FileSystem};

/// The records of a journal, oldest first, over all segments, in bounded memory. Blocks the calling thread while it
/// reads. See [`Reader::records`](crate::Reader::records).
///
/// Nothing is opened before the first call of `next`. After an error of a single record
/// ([`MiniStoreError::Record`](crate::MiniStoreError::Record)) the iterator continues with the next one; any other
/// error ends it.
#[must_use = "nothing is read before the first `next`"]
pub struct Records<T> {
    records: RawRecords,
    value: PhantomData<fn() -> T>,
}

impl<T> Records<T> {
    pub(crate) fn new(fs: Arc<dyn FileSystem>, path: &Path, from_seq: u64) -> Self {
        Self { records: RawRecords::new(fs, path, from_seq), value: PhantomData }
    }
}

impl<T: DeserializeOwned> Iterator for Records<T> {
    type Item = Result<Record<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.records.next_record() {
            Ok(record) => record.map(Record::parse),
            Err(error) => Some(Err(error)),
        }
    }
}

impl<T> fmt::Debug for Records<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Records").field(&self.records).finish()
    }
}
