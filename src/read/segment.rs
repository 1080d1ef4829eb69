//! Reads one segment: its verified records, a block at a time, from its start or from an index point.

use std::{io, path::Path, sync::Arc};

use super::{
    lookup::{FoundRecord, IndexRecorder},
    record::{RecordPosition, record_at},
};
use crate::{
    MiniStoreError,
    format::SegmentHeader,
    format::scan::{self, Block, IndexPoint, LineReader, ScanItem, ScanMode, Scanner, SegmentEnd},
    io::FileHandle,
};

/// Reads the verified records of one segment in order.
#[derive(Debug)]
pub(super) struct SegmentReader {
    path: Arc<Path>,
    file: Arc<dyn FileHandle>,
    scanner: Scanner<Arc<dyn FileHandle>>,
    next_seq: u64,
    next_record: u64,
    /// The lines of a group that is too large for a block. The scanner has verified it; this reads it again.
    large: Option<LineReader<Arc<dyn FileHandle>>>,
    /// Adds verified positions to the index.
    index_recorder: Option<IndexRecorder>,
}

impl SegmentReader {
    /// Creates a reader from the start of the segment, whose header `scanner` has read.
    pub(super) fn new(
        path: Arc<Path>,
        file: Arc<dyn FileHandle>,
        scanner: Scanner<Arc<dyn FileHandle>>,
        first_seq: u64,
    ) -> Self {
        Self { path, file, scanner, next_seq: first_seq, next_record: 2, large: None, index_recorder: None }
    }

    /// Returns a reader of the same segment at `index_point`, where record `seq` begins a group.
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

    /// Records the positions that are verified from now on in an index.
    pub(super) fn set_index_recorder(&mut self, index_recorder: IndexRecorder) {
        self.index_recorder = Some(index_recorder);
    }

    pub(super) fn header(&self) -> SegmentHeader {
        self.scanner.header()
    }

    /// Returns the position of the next record.
    pub(super) fn position(&self) -> RecordPosition {
        RecordPosition { segment: Arc::clone(&self.path), seq: self.next_seq, line: self.next_record }
    }

    pub(super) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Skips the groups that contain only records before `seq`; verifies them and the group after them. Returns the end
    /// of the segment if there is no such group.
    pub(super) fn skip_to(&mut self, seq: u64) -> io::Result<Option<SegmentEnd>> {
        let resume = |position, collect| Scanner::resume(Arc::clone(&self.file), position, collect);
        let mut verifier = resume(self.scanner.position(), ScanMode::VerifyOnly);
        let mut discarded = Block::default();
        loop {
            let before = verifier.position();
            match verifier.next(&mut discarded)? {
                ScanItem::Group(group) => {
                    if let Some(index_recorder) = &mut self.index_recorder {
                        index_recorder.record_point(&before, self.next_seq);
                    }
                    if self.next_seq + group.records > seq {
                        // The group is scanned again for its lines: this pass only verified it.
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

    /// Appends the next records before `until_seq` to `block`; returns the end of the segment once it is reached.
    pub(super) fn fill(&mut self, block: &mut Block, until_seq: u64) -> io::Result<Option<SegmentEnd>> {
        let len_before = block.len();
        let end = self.fill_whole_groups(block, until_seq)?;
        let remaining = until_seq.saturating_sub(self.next_seq);
        if (block.len() - len_before) as u64 > remaining {
            block.truncate(len_before + remaining as usize);
        }
        let filled = (block.len() - len_before) as u64;
        self.next_seq += filled;
        self.next_record += filled;
        Ok(end)
    }

    /// As [`fill`](Self::fill), but continues past `until_seq` to the end of its group, or of the part of a large group
    /// that was read.
    fn fill_whole_groups(&mut self, block: &mut Block, until_seq: u64) -> io::Result<Option<SegmentEnd>> {
        let len_before = block.len();
        loop {
            let next_seq = self.next_seq + (block.len() - len_before) as u64;
            if block.byte_len() >= self.file.read_limits().block_bytes || next_seq >= until_seq {
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

    /// Returns the record `seq`, which is in the next group; `None` where the segment ends before it.
    pub(super) fn find_record(&mut self, seq: u64) -> io::Result<Option<FoundRecord>> {
        let mut block = Block::default();
        loop {
            block.clear();
            let position = self.position();
            let end = self.fill(&mut block, seq.saturating_add(1))?;
            if let Some(record) = record_at(&block, &position, seq) {
                return Ok(Some(FoundRecord::of(&record)));
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
