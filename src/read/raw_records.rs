//! Records without deserialization, lent from the reader's buffer.

use std::{fmt, path::Path, str, sync::Arc};

use serde::Deserialize;

use super::{block_cursor::BlockCursor, journal_reader::JournalReader, read_plan::ReadPlan};
use crate::{MiniStoreError, Result, io::FileSystem};

/// A record as it was appended, not parsed: one JSON value and its sequence number. Valid until the next one is read.
#[derive(Debug, Clone, Copy)]
pub struct RawRecord<'a> {
    /// Its sequence number: it never changes.
    pub seq: u64,
    /// The record, byte for byte as it was appended, without a line feed, white space or seal.
    pub json: &'a [u8],
    pub(crate) segment: &'a Path,
    /// Its byte offset in the file.
    pub(crate) offset: u64,
    /// Its line, counted from 1 in the file.
    pub(super) line: u64,
}

impl<'a> RawRecord<'a> {
    /// Returns the record's value. It may borrow from the record: strings without an escape (`&str`), a
    /// [`RawValue`](serde_json::value::RawValue).
    ///
    /// # Errors
    ///
    /// [`Record`](MiniStoreError::Record): the record is not a `T`.
    pub fn parse<T: Deserialize<'a>>(&self) -> Result<T> {
        // Checking the whole record for UTF-8 at once is faster than serde_json's check of each string.
        let parsed = match str::from_utf8(self.json) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(self.json),
        };
        parsed.map_err(|source| MiniStoreError::Record {
            segment: self.segment.to_path_buf(),
            offset: self.offset,
            line: self.line,
            seq: self.seq,
            source,
        })
    }
}

/// The records of a journal without parsing, oldest first, over all segments, in bounded memory. Blocks the calling
/// thread while it reads. See [`Reader::raw_records`](crate::Reader::raw_records).
///
/// Nothing is opened before the first call of [`next_record`](Self::next_record).
#[must_use = "nothing is read before the first `next_record`"]
pub struct RawRecords {
    plan: ReadPlan,
    state: RawState,
    block_cursor: BlockCursor,
}

#[derive(Debug)]
enum RawState {
    Fresh,
    Reading(Box<JournalReader>),
    Ended,
}

impl RawRecords {
    pub(crate) fn new(fs: Arc<dyn FileSystem>, path: &Path, from_seq: u64) -> Self {
        Self::of(ReadPlan::Journal { fs, path: path.to_path_buf(), from_seq })
    }

    pub(super) fn of(plan: ReadPlan) -> Self {
        Self { plan, state: RawState::Fresh, block_cursor: BlockCursor::default() }
    }

    /// Returns the next record; `None` at the end of the journal, and after an error.
    ///
    /// # Errors
    ///
    /// As [`Reader::records`](crate::Reader::records), except that nothing is parsed here.
    pub fn next_record(&mut self) -> Result<Option<RawRecord<'_>>> {
        while !self.block_cursor.advance(self.plan.first_seq()) {
            if !self.next_block()? {
                return Ok(None);
            }
        }
        Ok(self.block_cursor.current())
    }

    /// Reads the next block; returns `false` where there is none. The reader is dropped at the end and at the first
    /// error.
    fn next_block(&mut self) -> Result<bool> {
        let mut journal_reader = match std::mem::replace(&mut self.state, RawState::Ended) {
            RawState::Fresh => Box::new(self.plan.open()?),
            RawState::Reading(journal_reader) => journal_reader,
            RawState::Ended => return Ok(false),
        };
        let has_block = self.block_cursor.next_block(&mut journal_reader)?;
        if has_block {
            self.state = RawState::Reading(journal_reader);
        }
        Ok(has_block)
    }
}

impl fmt::Debug for RawRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawRecords")
            .field("path", &self.plan.path())
            .field("from_seq", &self.plan.first_seq())
            .finish_non_exhaustive()
    }
}
