//! Finds a record by its sequence number: with the index, or after a new listing.

use std::{ops::Range, sync::Arc};

use super::{
    found::FoundRecord,
    index::Index,
    seek::{is_corrupt, seek},
};
use crate::{
    Result,
    format::scan::{ScanMode, Scanner},
    io::OpenMode,
    read::{block_cursor::BlockCursor, journal_reader::JournalReader, segment::SegmentReader},
};

impl Index {
    /// Returns the record `seq`; `None` where the journal ends before it.
    pub(super) fn find(self: &Arc<Self>, seq: u64) -> Result<Option<FoundRecord>> {
        match self.find_indexed(seq) {
            Some(found) => Ok(found),
            None => self.find_after_relist(seq),
        }
    }

    /// Finds a record with the segment list and index points in memory. The outer `None` means that they do not
    /// suffice; the inner one that the journal ends before `seq`.
    fn find_indexed(self: &Arc<Self>, seq: u64) -> Option<Option<FoundRecord>> {
        let list = self.segment_list()?;
        let entry = list.containing(&**self.fs(), seq)?;
        let header = entry.header(&**self.fs())?;
        let file = self.fs().open(&entry.path, OpenMode::ReadOnly).ok()?;
        let scanner = Scanner::open(Arc::clone(&file), ScanMode::Read).ok()?.ok()?;
        // A rotation may have replaced the active segment since it was listed.
        let link = header.link().filter(|_| scanner.header() == header)?;
        let mut segment = SegmentReader::new(Arc::clone(&entry.path), file, scanner, link.first_seq);
        match seek(self, &mut segment, seq).ok()? {
            None => segment.find_record(seq).ok().flatten().map(Some),
            Some(end) => (entry.is_active && !is_corrupt(&end)).then_some(None),
        }
    }

    /// Lists the segments again and finds the record, which may also be in a segment that follows the expected one.
    pub(crate) fn find_after_relist(self: &Arc<Self>, seq: u64) -> Result<Option<FoundRecord>> {
        let mut journal_reader = JournalReader::of_range(self, only(seq))?;
        let mut block_cursor = BlockCursor::default();
        while block_cursor.next_block(&mut journal_reader)? {
            if block_cursor.advance(seq) {
                return Ok(block_cursor.current().map(|record| FoundRecord::of(&record)));
            }
        }
        Ok(None)
    }

    /// Returns the sequence number of the newest record; 0 where there is none.
    pub(super) fn last_seq(self: &Arc<Self>) -> Result<u64> {
        // No record has this number, so every segment is skipped to its end.
        let next_seq = JournalReader::of_range(self, u64::MAX - 1..u64::MAX)?.skip_to_end()?;
        Ok(next_seq.map_or(0, |next_seq| next_seq.saturating_sub(1)))
    }
}

fn only(seq: u64) -> Range<u64> {
    seq..seq.saturating_add(1)
}
