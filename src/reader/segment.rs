//! One segment that is being read: its verified records, a block at a time, from its start or from a place further on.

use std::{io, path::Path, sync::Arc};

use super::{
    feed::Place,
    line::RawRecord,
    lookup::{Found, Trail},
};
use crate::{
    MiniStoreError,
    device::DiskFile,
    format::Header,
    scan::{self, Block, Collect, End, LineReader, Scanner, Step, Waypoint},
};

/// A block is handed on when it holds this many bytes.
const BLOCK_BYTES: usize = if cfg!(shuttle) { 4 << 10 } else { 256 << 10 };

/// A segment that is being read.
#[derive(Debug)]
pub(super) struct Segment {
    path: Arc<Path>,
    file: Arc<dyn DiskFile>,
    scanner: Scanner<Arc<dyn DiskFile>>,
    next_seq: u64,
    next_record: u64,
    /// A group too large for a block, on its second reading.
    large: Option<LineReader<Arc<dyn DiskFile>>>,
    /// Where it is noted how far the segment was verified.
    trail: Option<Trail>,
}

impl Segment {
    /// From its start, which the scanner has read.
    pub(super) fn new(
        path: Arc<Path>,
        file: Arc<dyn DiskFile>,
        scanner: Scanner<Arc<dyn DiskFile>>,
        first_seq: u64,
    ) -> Self {
        Self { path, file, scanner, next_seq: first_seq, next_record: 2, large: None, trail: None }
    }

    /// The same segment, before record `seq`, which begins a group there.
    pub(super) fn further_on(&self, seq: u64, waypoint: Waypoint) -> Self {
        let next_record = self.next_record + (seq - self.next_seq);
        let place = scan::Place::at(self.scanner.header(), next_record, waypoint);
        Self {
            path: Arc::clone(&self.path),
            file: Arc::clone(&self.file),
            scanner: Scanner::resume(Arc::clone(&self.file), place, Collect::Lines),
            next_seq: seq,
            next_record,
            large: None,
            trail: self.trail.clone(),
        }
    }

    /// Notes from here on how far it is verified.
    pub(super) fn leave(&mut self, trail: Trail) {
        self.trail = Some(trail);
    }

    pub(super) fn header(&self) -> Header {
        self.scanner.header()
    }

    /// Where the next record stands.
    pub(super) fn place(&self) -> Place {
        Place { segment: Arc::clone(&self.path), seq: self.next_seq, line: self.next_record }
    }

    pub(super) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Passes over the groups that hold only records before `seq`, verifying them and the one after them. The end, where
    /// there is no such group.
    pub(super) fn pass_to(&mut self, seq: u64) -> io::Result<Option<End>> {
        let resume = |place, collect| Scanner::resume(Arc::clone(&self.file), place, collect);
        let mut passing = resume(self.scanner.place(), Collect::Nothing);
        let mut nothing = Block::default();
        loop {
            let before = passing.place();
            match passing.next(&mut nothing)? {
                Step::Group(group) => {
                    if let Some(trail) = &mut self.trail {
                        trail.passed(&before, self.next_seq);
                    }
                    if self.next_seq + group.records > seq {
                        // Once more, for its lines.
                        self.scanner = resume(before, Collect::Lines);
                        return Ok(None);
                    }
                    self.next_seq += group.records;
                    self.next_record += group.records;
                }
                Step::End(end) => return Ok(Some(end)),
            }
        }
    }

    /// Some more records, none from `until_seq` on; and the end, once it is reached.
    pub(super) fn fill(&mut self, block: &mut Block, until_seq: u64) -> io::Result<Option<End>> {
        let held = block.len();
        let end = self.fill_whole(block, until_seq)?;
        let room = until_seq.saturating_sub(self.next_seq);
        if (block.len() - held) as u64 > room {
            block.truncate(held + room as usize);
        }
        let filled = (block.len() - held) as u64;
        self.next_seq += filled;
        self.next_record += filled;
        Ok(end)
    }

    /// As [`fill`](Self::fill), up to the end of a group (or of what was read of a large one).
    fn fill_whole(&mut self, block: &mut Block, until_seq: u64) -> io::Result<Option<End>> {
        let held = block.len();
        loop {
            let next_seq = self.next_seq + (block.len() - held) as u64;
            if block.byte_len() >= BLOCK_BYTES || next_seq >= until_seq {
                return Ok(None);
            }
            if let Some(lines) = &mut self.large {
                if !lines.push_some(block)? {
                    self.large = None;
                }
                continue;
            }
            let before = self.trail.as_ref().map(|_| self.scanner.place());
            match self.scanner.next(block)? {
                Step::Group(group) => {
                    if group.on_disk {
                        let file = Arc::clone(&self.file);
                        self.large = Some(LineReader::with_limit(file, group.offset, group.end));
                    }
                    if let (Some(trail), Some(before)) = (&mut self.trail, before) {
                        trail.passed(&before, next_seq);
                    }
                }
                Step::End(end) => return Ok(Some(end)),
            }
        }
    }

    /// The record `seq`, which is in the group to come; `None` where the segment ends before.
    pub(super) fn take(&mut self, seq: u64) -> io::Result<Option<Found>> {
        let mut block = Block::default();
        loop {
            block.clear();
            let place = self.place();
            let end = self.fill(&mut block, seq.saturating_add(1))?;
            if let Some(line) = line_of(&block, &place, seq) {
                return Ok(Some(Found::of(&line)));
            }
            if end.is_some() || self.next_seq > seq {
                return Ok(None);
            }
        }
    }

    pub(super) fn read_error(&self, error: io::Error) -> MiniStoreError {
        MiniStoreError::file(self.path.to_path_buf(), "read")(error)
    }
}

/// The record `seq` in a block whose records begin at `place`.
pub(super) fn line_of<'a>(block: &'a Block, place: &'a Place, seq: u64) -> Option<RawRecord<'a>> {
    let index = seq.checked_sub(place.seq)?;
    let span = block.span(usize::try_from(index).ok()?)?;
    Some(RawRecord {
        seq,
        json: block.value(span),
        segment: &place.segment,
        offset: span.offset,
        line: place.line + index,
    })
}
