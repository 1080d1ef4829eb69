//! One segment that is being read: its verified records, a block at a time, from its start or from a place further on.

use std::{io, path::Path, sync::Arc};

use super::{
    journal_reader::RecordPosition,
    lookup::{FoundRecord, IndexRecorder},
    raw_records::RawRecord,
};
use crate::{
    MiniStoreError,
    format::Header,
    format::scan::{self, Block, IndexPoint, LineReader, ScanItem, ScanMode, Scanner, SegmentEnd},
    io::FileHandle,
};

/// A block is handed on when it holds this many bytes.
const BLOCK_BYTES: usize = if cfg!(shuttle) { 4 << 10 } else { 256 << 10 };

/// A segment that is being read.
#[derive(Debug)]
pub(super) struct SegmentReader {
    path: Arc<Path>,
    file: Arc<dyn FileHandle>,
    scanner: Scanner<Arc<dyn FileHandle>>,
    next_seq: u64,
    next_record: u64,
    /// A group too large for a block, on its second reading.
    large: Option<LineReader<Arc<dyn FileHandle>>>,
    /// Where it is noted how far the segment was verified.
    index_recorder: Option<IndexRecorder>,
}

impl SegmentReader {
    /// From its start, which the scanner has read.
    pub(super) fn new(
        path: Arc<Path>,
        file: Arc<dyn FileHandle>,
        scanner: Scanner<Arc<dyn FileHandle>>,
        first_seq: u64,
    ) -> Self {
        Self { path, file, scanner, next_seq: first_seq, next_record: 2, large: None, index_recorder: None }
    }

    /// The same segment, before record `seq`, which begins a group there.
    pub(super) fn seek_to(&self, seq: u64, index_point: IndexPoint) -> Self {
        let next_record = self.next_record + (seq - self.next_seq);
        let position = scan::ScanPosition::at(self.scanner.header(), next_record, index_point);
        Self {
            path: Arc::clone(&self.path),
            file: Arc::clone(&self.file),
            scanner: Scanner::resume(Arc::clone(&self.file), position, ScanMode::Read),
            next_seq: seq,
            next_record,
            large: None,
            index_recorder: self.index_recorder.clone(),
        }
    }

    /// Notes from here on how far it is verified.
    pub(super) fn leave(&mut self, index_recorder: IndexRecorder) {
        self.index_recorder = Some(index_recorder);
    }

    pub(super) fn header(&self) -> Header {
        self.scanner.header()
    }

    /// Where the next record stands.
    pub(super) fn position(&self) -> RecordPosition {
        RecordPosition { segment: Arc::clone(&self.path), seq: self.next_seq, line: self.next_record }
    }

    pub(super) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Passes over the groups that hold only records before `seq`, verifying them and the one after them. The end, where
    /// there is no such group.
    pub(super) fn skip_to(&mut self, seq: u64) -> io::Result<Option<SegmentEnd>> {
        let resume = |position, collect| Scanner::resume(Arc::clone(&self.file), position, collect);
        let mut passing = resume(self.scanner.position(), ScanMode::VerifyOnly);
        let mut nothing = Block::default();
        loop {
            let before = passing.position();
            match passing.next(&mut nothing)? {
                ScanItem::Group(group) => {
                    if let Some(index_recorder) = &mut self.index_recorder {
                        index_recorder.record_point(&before, self.next_seq);
                    }
                    if self.next_seq + group.records > seq {
                        // Once more, for its lines.
                        self.scanner = resume(before, ScanMode::Read);
                        return Ok(None);
                    }
                    self.next_seq += group.records;
                    self.next_record += group.records;
                }
                ScanItem::End(end) => return Ok(Some(end)),
            }
        }
    }

    /// Some more records, none from `until_seq` on; and the end, once it is reached.
    pub(super) fn fill(&mut self, block: &mut Block, until_seq: u64) -> io::Result<Option<SegmentEnd>> {
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
    fn fill_whole(&mut self, block: &mut Block, until_seq: u64) -> io::Result<Option<SegmentEnd>> {
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
            let before = self.index_recorder.as_ref().map(|_| self.scanner.position());
            match self.scanner.next(block)? {
                ScanItem::Group(group) => {
                    if group.is_too_large {
                        let file = Arc::clone(&self.file);
                        self.large = Some(LineReader::with_limit(file, group.offset, group.end));
                    }
                    if let (Some(index_recorder), Some(before)) = (&mut self.index_recorder, before) {
                        index_recorder.record_point(&before, next_seq);
                    }
                }
                ScanItem::End(end) => return Ok(Some(end)),
            }
        }
    }

    /// The record `seq`, which is in the group to come; `None` where the segment ends before.
    pub(super) fn take(&mut self, seq: u64) -> io::Result<Option<FoundRecord>> {
        let mut block = Block::default();
        loop {
            block.clear();
            let position = self.position();
            let end = self.fill(&mut block, seq.saturating_add(1))?;
            if let Some(line) = line_of(&block, &position, seq) {
                return Ok(Some(FoundRecord::of(&line)));
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

/// The record `seq` in a block whose records begin at `position`.
pub(super) fn line_of<'a>(block: &'a Block, position: &'a RecordPosition, seq: u64) -> Option<RawRecord<'a>> {
    let index = seq.checked_sub(position.seq)?;
    let span = block.span(usize::try_from(index).ok()?)?;
    Some(RawRecord {
        seq,
        json: block.value(span),
        segment: &position.segment,
        offset: span.offset,
        line: position.line + index,
    })
}
