//! A range of records, read from both ends.

use std::{collections::VecDeque, fmt, marker::PhantomData, ops::Range};

use serde::de::DeserializeOwned;

use super::{FoundRecord, Reader};
use crate::{MiniStoreError, Record, Result, read::RawRecords};

/// Records that [`RecordRange::next_back`] reads at a time.
const BACK_RECORDS: u64 = 64;

/// Of those it keeps the newest that fit in this many bytes, and at least one.
const BACK_BYTES: usize = 1 << 20;

/// The records of a range of sequence numbers, in bounded memory, from both ends. Blocks the calling thread while it reads.
/// See [`Reader::range`].
///
/// Nothing is opened before the first call of `next` or `next_back`. Reading backwards takes the newest records first, a few
/// dozen at a time; a range without an end is fixed to the newest record at the first call of `next_back`.
#[must_use = "nothing is read before the first `next`"]
pub struct RecordRange<T> {
    reader: Reader,
    /// The numbers that were not yielded yet.
    left: Range<u64>,
    /// Reads forwards, once `next` was called.
    forwards: Option<RawRecords>,
    /// Read for `next_back`, and not yielded yet: the last of them ends at `left.end`.
    back: VecDeque<FoundRecord>,
    /// The end was checked against the newest record.
    has_end: bool,
    ended: bool,
    /// Yielded instead of any record.
    failed: Option<MiniStoreError>,
    value: PhantomData<fn() -> T>,
}

impl<T> RecordRange<T> {
    pub(crate) fn new(reader: Reader, wanted: Range<u64>) -> Self {
        Self {
            reader,
            left: wanted,
            forwards: None,
            back: VecDeque::new(),
            has_end: false,
            ended: false,
            failed: None,
            value: PhantomData,
        }
    }

    /// Yields an error and ends.
    pub(crate) fn failed(reader: Reader, error: MiniStoreError) -> Self {
        Self { failed: Some(error), ..Self::new(reader, 0..0) }
    }

    fn read_next(&mut self) -> Result<Option<FoundRecord>> {
        self.failed.take().map_or(Ok(()), Err)?;
        let Self { reader, left, forwards, .. } = self;
        let records = forwards.get_or_insert_with(|| RawRecords::of(reader.source(left.clone())));
        let Some(record) = records.next_record()? else { return Ok(None) };
        if record.seq >= left.end {
            return Ok(None);
        }
        left.start = record.seq.saturating_add(1);
        Ok(Some(FoundRecord::of(&record)))
    }

    fn read_back(&mut self) -> Result<Option<FoundRecord>> {
        self.failed.take().map_or(Ok(()), Err)?;
        if !self.has_end {
            self.left.end = self.left.end.min(self.reader.last_seq()?.saturating_add(1));
            self.has_end = true;
        }
        if self.left.start >= self.left.end {
            return Ok(None);
        }
        if self.back.is_empty() {
            self.read_block_back()?;
        }
        let found = self.back.pop_back();
        if let Some(found) = &found {
            self.left.end = found.seq();
        }
        Ok(found)
    }

    /// Reads the newest records that are left.
    fn read_block_back(&mut self) -> Result<()> {
        let (oldest, end) = (self.left.start, self.left.end);
        let mut start = end.saturating_sub(BACK_RECORDS).max(oldest).max(1);
        loop {
            match self.read_block(start..end) {
                // The range begins with the oldest record, whichever that is.
                Err(MiniStoreError::Trimmed { first_seq, .. })
                    if oldest == 0 && (start + 1..end).contains(&first_seq) =>
                {
                    start = first_seq;
                    self.left.start = first_seq;
                }
                Err(MiniStoreError::Trimmed { .. }) if oldest == 0 => return Ok(()),
                read => return read,
            }
        }
    }

    fn read_block(&mut self, seqs: Range<u64>) -> Result<()> {
        let mut records = RawRecords::of(self.reader.source(seqs));
        let mut bytes = 0;
        self.back.clear();
        while let Some(record) = records.next_record()? {
            bytes += record.json.len();
            self.back.push_back(FoundRecord::of(&record));
            while bytes > BACK_BYTES && self.back.len() > 1 {
                bytes -= self.back.pop_front().map_or(0, |found| found.json().len());
            }
        }
        Ok(())
    }
}

impl<T: DeserializeOwned> RecordRange<T> {
    fn yielded(&mut self, read: Result<Option<FoundRecord>>) -> Option<Result<Record<T>>> {
        match read {
            Ok(Some(found)) => Some(found.parse()),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

impl<T: DeserializeOwned> Iterator for RecordRange<T> {
    type Item = Result<Record<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let read = self.read_next();
        self.yielded(read)
    }
}

impl<T: DeserializeOwned> DoubleEndedIterator for RecordRange<T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let read = self.read_back();
        self.yielded(read)
    }
}

impl<T> fmt::Debug for RecordRange<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordRange").field("left", &self.left).finish_non_exhaustive()
    }
}
