//! Records without deserialization, lent from the reader's buffer.

use std::{fmt, path::Path, sync::Arc};

use super::{
    block_cursor::BlockCursor, journal_reader::JournalReader, read_plan::ReadPlan, record::RawRecord,
};
use crate::{Result, io::FileSystem};

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
