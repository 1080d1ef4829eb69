//! A range of records, read from both ends.

use std::{collections::VecDeque, fmt, marker::PhantomData, ops::Range};

use serde::de::DeserializeOwned;

use super::{FoundRecord, Reader};
use crate::{MiniStoreError, Record, Result, read::RawRecords};

/// The maximum number of records that [`RecordRange::next_back`] reads at a time.
const BACK_RECORDS: u64 = 64;

/// The maximum size of those that are kept, in bytes; the newest one is always kept.
const BACK_BYTES: usize = 1 << 20;

/// The records of a range of sequence numbers, in bounded memory, from both ends. Blocks the calling thread while it
/// reads. See [`Reader::range`].
///
/// Nothing is opened before the first call of `next` or `next_back`. Reading backwards takes the newest records first,
/// a few dozen at a time; a range without an end is fixed to the newest record at the first call of `next_back`.
#[must_use = "nothing is read before the first `next`"]
pub struct RecordRange<T> {
    reader: Reader,
    /// The sequence numbers that were not yielded yet.
    remaining: Range<u64>,
    /// The reader of `next`, after its first call.
    forward: Option<RawRecords>,
    /// Records that were read for `next_back` and not yielded yet: the last one precedes `remaining.end`.
    back: VecDeque<FoundRecord>,
    /// `remaining.end` was limited to the newest record.
    has_end: bool,
    ended: bool,
    /// The error to yield instead of any record.
    failed: Option<MiniStoreError>,
    value: PhantomData<fn() -> T>,
}

impl<T> RecordRange<T> {
    pub(crate) fn new(reader: Reader, wanted: Range<u64>) -> Self {
        Self {
            reader,
            remaining: wanted,
            forward: None,
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
        let Self { reader, remaining, forward, .. } = self;
        let records = forward.get_or_insert_with(|| RawRecords::of(reader.read_plan(remaining.clone())));
        let Some(record) = records.next_record()? else { return Ok(None) };
        if record.seq >= remaining.end {
            return Ok(None);
        }
        remaining.start = record.seq.saturating_add(1);
        Ok(Some(FoundRecord::of(&record)))
    }

    fn read_back(&mut self) -> Result<Option<FoundRecord>> {
        self.failed.take().map_or(Ok(()), Err)?;
        if !self.has_end {
            self.remaining.end = self.remaining.end.min(self.reader.last_seq()?.saturating_add(1));
            self.has_end = true;
        }
        if self.remaining.start >= self.remaining.end {
            return Ok(None);
        }
        if self.back.is_empty() {
            self.read_block_back()?;
        }
        let found = self.back.pop_back();
        if let Some(found) = &found {
            self.remaining.end = found.seq();
        }
        Ok(found)
    }

    /// Reads the newest of the remaining records.
    fn read_block_back(&mut self) -> Result<()> {
        let (oldest, end) = (self.remaining.start, self.remaining.end);
        let mut start = end.saturating_sub(BACK_RECORDS).max(oldest).max(1);
        loop {
            match self.read_block(start..end) {
                // A range without a start begins with the oldest record that exists.
                Err(MiniStoreError::Trimmed { first_seq, .. })
                    if oldest == 0 && (start + 1..end).contains(&first_seq) =>
                {
                    start = first_seq;
                    self.remaining.start = first_seq;
                }
                Err(MiniStoreError::Trimmed { .. }) if oldest == 0 => return Ok(()),
                read => return read,
            }
        }
    }

    fn read_block(&mut self, seqs: Range<u64>) -> Result<()> {
        let mut records = RawRecords::of(self.reader.read_plan(seqs));
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
    fn item_of(&mut self, read: Result<Option<FoundRecord>>) -> Option<Result<Record<T>>> {
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
        self.item_of(read)
    }
}

impl<T: DeserializeOwned> DoubleEndedIterator for RecordRange<T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let read = self.read_back();
        self.item_of(read)
    }
}

impl<T> fmt::Debug for RecordRange<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordRange").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}
