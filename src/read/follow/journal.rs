//! Follows the segments of a journal that is being written, one after another.
//!
//! Keeps the file that it reads open, even after a rotation renames it or retention deletes it. At its end it looks for
//! the segment that continues it: the one whose header states the next sequence number and the last seal that was read.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::record::RecordPosition,
    durability::Durability,
    live_segment::LiveSegment,
    segment_files::{SegmentFile, SegmentFiles},
};
use crate::{
    MiniStoreError, Result, format::scan::Block, io::FileSystem, journal::file_names::FileNames,
    journal::segment_set::SegmentSet, sync::thread,
};

/// The number of listings in a row that may miss a record that must exist: each may fall into a rotation.
const CONSECUTIVE_MISSES_MAX: u32 = 100;

/// A journal, and the position up to which it was read.
#[derive(Debug)]
pub(super) struct JournalFollower {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    /// The first record to yield; 0 for the oldest one that exists.
    from_seq: u64,
    current: Option<LiveSegment>,
    /// The number of listings in a row that missed a record that must exist.
    misses: u32,
    /// Directory entries may have changed since the last listing.
    names_changed: bool,
}

impl JournalFollower {
    pub(super) fn new(fs: Arc<dyn FileSystem>, path: &Path, from_seq: u64) -> Self {
        let path = path.to_path_buf();
        Self { fs, path, from_seq, current: None, misses: 0, names_changed: true }
    }

    /// Returns the sequence number of the next record to yield.
    pub(super) fn next_seq(&self) -> u64 {
        self.current.as_ref().map_or(self.from_seq, |current| current.next_seq.max(self.from_seq))
    }

    /// Makes the next read list the directory again.
    pub(super) fn set_names_changed(&mut self) {
        self.names_changed = true;
    }

    /// Appends the next durable records to `block`, all of one segment; `None` where there are none yet.
    pub(super) fn fill(
        &mut self,
        block: &mut Block,
        durability: &Durability,
    ) -> Result<Option<RecordPosition>> {
        while self.next_seq() <= durability.up_to() {
            if let Some(current) = &mut self.current
                && let Some(position) = current.fill(block, durability)?
            {
                self.misses = 0;
                if current.next_seq > self.from_seq {
                    return Ok(Some(position));
                }
                block.clear();
                continue;
            }
            // Recovery may still give a segment without records another header.
            let is_fixed = self.current.as_ref().is_some_and(LiveSegment::has_records);
            if is_fixed && !self.names_changed && !durability.is_bounded() {
                return Ok(None);
            }
            self.names_changed = false;
            let advanced = self.advance()?;
            // The next segment may be followed by another one.
            self.names_changed |= advanced;
            if !durability.is_bounded() && (!advanced || self.misses == CONSECUTIVE_MISSES_MAX) {
                self.misses = 0;
                return Ok(None);
            }
            self.on_miss()?;
        }
        Ok(None)
    }

    /// Lists the directory and continues with the next segment. Returns `false` where there is none yet.
    fn advance(&mut self) -> Result<bool> {
        let names = FileNames::resolve(&*self.fs, &self.path)?;
        let SegmentSet { rotated, active } = SegmentSet::take(&*self.fs, &names)?;
        let newest = rotated.last().map_or(0, |(number, _)| *number);
        let mut list = SegmentFiles { fs: Arc::clone(&self.fs), rotated, active, newest };
        match self.current.take() {
            None => {
                self.current = list.open_first(&self.path, self.from_seq)?;
                Ok(self.current.is_some())
            }
            Some(current) => self.continue_from(current, &mut list),
        }
    }

    /// Continues after `current` with the segment that follows it. Returns `false` where there is none yet.
    fn continue_from(&mut self, mut current: LiveSegment, list: &mut SegmentFiles) -> Result<bool> {
        let (number, next_seq) = (current.number, current.next_seq);
        let (next, follows) = list.after(number)?;
        let Some(next) = next else {
            self.current = Some(current);
            return Ok(false);
        };
        let is_same = current.header.link().is_some() && next.header.link() == current.header.link();
        if is_same && follows && next.number != number {
            // Retention deleted all rotated segments, so the number of the active segment was only a guess.
            current.number = next.number;
            self.current = Some(current);
            return Ok(true);
        }
        match next.header.link() {
            _ if is_same || (next.header.link().is_none() && !follows) => {
                // The same header: either the same file, or one that replaced it after it was deleted.
                let replaced =
                    current.file.len_if_linked().map_err(|error| current.read_error(error))?.is_none();
                self.from_seq = self.from_seq.max(next_seq);
                self.current = (!replaced).then_some(current);
                Ok(replaced)
            }
            Some(link) if link.first_seq == next_seq && current.has_records() => {
                if link.prev_seal != current.last_seal()?.unwrap_or(0) {
                    return Err(next.damage("it does not continue the segment before it"));
                }
                self.current = next.open(Some(next_seq))?;
                Ok(true)
            }
            // The header of a plain segment states no sequence number: only its file number shows that it follows.
            None => self.switch_to_plain(current, next, next_seq),
            Some(link) if link.first_seq > next_seq => self.drain_then_open(current, list),
            // Another journal has replaced this one.
            Some(_) => {
                self.from_seq = self.from_seq.max(next_seq);
                Ok(true)
            }
        }
    }

    /// Continues with a plain segment after the current one was read to its end.
    fn switch_to_plain(
        &mut self,
        mut current: LiveSegment,
        next: SegmentFile,
        next_seq: u64,
    ) -> Result<bool> {
        if !current.complete {
            current.complete = true;
            self.current = Some(current);
            return Ok(true);
        }
        self.current = next.open(Some(next_seq))?;
        Ok(true)
    }

    /// Reads the rest of the current segment first, then continues in a segment that is not the next by number, or
    /// fails with [`Trimmed`](MiniStoreError::Trimmed).
    fn drain_then_open(&mut self, mut current: LiveSegment, list: &mut SegmentFiles) -> Result<bool> {
        if !current.complete {
            current.complete = true;
            self.current = Some(current);
            return Ok(true);
        }
        let next_seq = current.next_seq;
        if let Some(first_seq) = list.first_seq()?.filter(|&first| first > next_seq) {
            return Err(MiniStoreError::Trimmed { path: self.path.clone(), first_seq });
        }
        // Numbering restarts where all rotated segments were deleted, so the segment is found by its first sequence
        // number.
        match list.starting_with(next_seq)? {
            Some(next) => {
                self.current = next.open(Some(next_seq))?;
                Ok(true)
            }
            None => Err(current.damage("records are missing at the end of the segment")),
        }
    }

    /// Counts a listing that missed a durable record; fails after too many in a row.
    fn on_miss(&mut self) -> Result<()> {
        self.misses += 1;
        if self.misses < CONSECUTIVE_MISSES_MAX {
            thread::yield_now();
            return Ok(());
        }
        match &self.current {
            Some(current) => Err(current.damage("a durable record is not there")),
            None => Err(MiniStoreError::file(&self.path, "find")(io::ErrorKind::NotFound.into())),
        }
    }
}
