//! Reads a journal: its verified records, segment after segment, a block at a time.

mod first_seq;
mod listing;

use std::{collections::VecDeque, io, ops::Range, path::Path, path::PathBuf, sync::Arc};

use self::listing::QueuedSegment;
use super::{
    block_cursor::BlockSource,
    lookup::{Index, RELISTS_MAX, seek},
    record::RecordPosition,
    segment::SegmentReader,
};
use crate::{
    MiniStoreError, Result,
    format::HeaderError,
    format::scan::{Block, ScanMode, Scanner, SegmentEnd},
    io::{FileSystem, OpenMode},
};

/// Reads the verified records of a journal, or of one file of it, in order.
#[derive(Debug)]
pub(super) struct JournalReader {
    fs: Arc<dyn FileSystem>,
    /// The requested records. Earlier ones of the group that contains the first of them are returned too.
    wanted: Range<u64>,
    /// The path of the journal; `None` when only one file is read.
    journal: Option<PathBuf>,
    /// The index that positions are looked up in and added to.
    index: Option<Arc<Index>>,
    /// Retention deleted every segment that was tried since the last listing.
    deleted_since_listing: bool,
    relists_left: u32,
    queue: VecDeque<QueuedSegment>,
    current: Option<SegmentReader>,
    /// The link that the next segment must state; `None` before the first segment was read.
    expected: Option<ExpectedNext>,
    /// Damage after records that verified. It is returned after them.
    deferred_error: Option<MiniStoreError>,
}

/// The link that the header of the next segment must state: it continues what was read.
#[derive(Debug)]
struct ExpectedNext {
    next_seq: u64,
    last_seal: Option<u32>,
    /// The error of a torn tail in the segment before. It is returned unless the next segment continues before the
    /// tail.
    torn: Option<MiniStoreError>,
}

impl BlockSource for JournalReader {
    fn fill(&mut self, block: &mut Block) -> Result<Option<RecordPosition>> {
        Self::fill(self, block)
    }
}

impl JournalReader {
    /// Skips the segments that are left, and returns the sequence number after the last record.
    pub(super) fn skip_to_end(mut self) -> Result<Option<u64>> {
        while self.open_next()? {}
        Ok(self.expected.map(|expected| expected.next_seq))
    }

    fn new(fs: Arc<dyn FileSystem>, wanted: Range<u64>) -> Self {
        Self {
            fs,
            wanted,
            journal: None,
            index: None,
            deleted_since_listing: false,
            relists_left: RELISTS_MAX,
            queue: VecDeque::new(),
            current: None,
            expected: None,
            deferred_error: None,
        }
    }

    /// Opens all segments that contain records from `from_seq` on. The first block may start with earlier ones.
    pub(super) fn of_journal(fs: Arc<dyn FileSystem>, path: &Path, from_seq: u64) -> Result<Self> {
        let mut journal_reader = Self::new(fs, from_seq..u64::MAX);
        journal_reader.journal = Some(path.to_path_buf());
        journal_reader.list()?;
        Ok(journal_reader)
    }

    /// Opens the journal of `index` for the records `wanted`.
    ///
    /// # Errors
    ///
    /// [`Trimmed`](MiniStoreError::Trimmed): retention deleted the first of them, unless the range starts at 0.
    pub(super) fn of_range(index: &Arc<Index>, wanted: Range<u64>) -> Result<Self> {
        let mut journal_reader = Self::new(Arc::clone(index.fs()), wanted);
        if journal_reader.wanted.is_empty() {
            return Ok(journal_reader);
        }
        journal_reader.index = Some(Arc::clone(index));
        journal_reader.list()?;
        while journal_reader.current.is_none()
            && journal_reader.expected.is_none()
            && journal_reader.open_next()?
        {}
        match journal_reader.current.as_ref().map(SegmentReader::next_seq) {
            Some(first_seq) if journal_reader.wanted.start > 0 && first_seq > journal_reader.wanted.start => {
                // The header may be damaged and state a wrong sequence number: verify up to the first group.
                journal_reader.skip_to(first_seq)?;
                Err(index.trimmed_error(first_seq))
            }
            _ => Ok(journal_reader),
        }
    }

    /// Opens one file, whatever its name is.
    pub(super) fn of_file(fs: Arc<dyn FileSystem>, path: &Path) -> Result<Self> {
        let file = fs.open(path, OpenMode::ReadOnly).map_err(MiniStoreError::file(path, "open"))?;
        let mut journal_reader = Self::new(fs, 0..u64::MAX);
        journal_reader.queue.push_back(QueuedSegment { path: path.into(), file: Some(file) });
        journal_reader.open_next()?;
        Ok(journal_reader)
    }

    /// Opens the first segment that exists; returns its path and the sequence number of its first record. `None` where
    /// there is no segment.
    pub(super) fn open_first(&mut self) -> Result<Option<(Arc<Path>, u64)>> {
        while self.current.is_none() {
            if !self.open_next()? {
                return Ok(None);
            }
        }
        Ok(self
            .current
            .as_ref()
            .map(SegmentReader::position)
            .map(|position| (position.segment, position.seq)))
    }

    /// Appends the next records to `block`, all of one segment, and returns the position of the first; `None` at the
    /// end of the journal.
    pub(super) fn fill(&mut self, block: &mut Block) -> Result<Option<RecordPosition>> {
        if let Some(error) = self.deferred_error.take() {
            return Err(error);
        }
        loop {
            let Some(current) = &mut self.current else {
                if !self.open_next()? {
                    return Ok(None);
                }
                continue;
            };
            let position = current.position();
            let end = current.fill(block, self.wanted.end).map_err(|error| current.read_error(error))?;
            let filled = current.next_seq() > position.seq;
            if current.next_seq() >= self.wanted.end {
                // Later segments are not read, and not checked.
                self.queue.clear();
                self.current = None;
                return Ok(filled.then_some(position));
            }
            if let Some(end) = end
                && let Err(error) = self.end_segment(end)
            {
                if !filled {
                    return Err(error);
                }
                self.deferred_error = Some(error);
            }
            if filled {
                return Ok(Some(position));
            }
        }
    }

    /// Opens the next segment and checks that it continues the one before. Returns `false` where there is none.
    fn open_next(&mut self) -> Result<bool> {
        let Some(QueuedSegment { path, file }) = self.queue.pop_front() else {
            return self.relist();
        };
        let is_rotated = file.is_none();
        let file = match file.map_or_else(|| self.fs.open(&path, OpenMode::ReadOnly), Ok) {
            Ok(file) => file,
            // Retention deletes the oldest segments at any time.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.expected.is_none() => {
                self.deleted_since_listing = true;
                return Ok(true);
            }
            Err(error) => return Err(self.cannot_open(&path, error)),
        };
        let opened =
            Scanner::open(Arc::clone(&file), ScanMode::Read).map_err(MiniStoreError::file(&*path, "read"))?;
        let scanner = match opened {
            Ok(scanner) => scanner,
            Err(HeaderError::BadMagic) if !is_rotated => return Err(MiniStoreError::MissingInitialState),
            Err(error) => return Err(corrupt(&path, error.to_string())),
        };
        let first_seq = self.first_seq(&path, &file, scanner.header())?;
        self.open_segment(SegmentReader::new(path, file, scanner, first_seq))?;
        Ok(true)
    }

    fn cannot_open(&self, path: &Path, error: io::Error) -> MiniStoreError {
        let deleted_since_listing = match (&self.index, &self.expected) {
            (Some(index), Some(expected)) if error.kind() == io::ErrorKind::NotFound => index
                .first_seq()
                .filter(|&first_seq| first_seq > expected.next_seq)
                .map(|first_seq| index.trimmed_error(first_seq)),
            _ => None,
        };
        deleted_since_listing.unwrap_or_else(|| MiniStoreError::file(path, "open")(error))
    }

    /// Starts to read a segment, at the group that contains the first requested record.
    fn open_segment(&mut self, mut segment: SegmentReader) -> Result<()> {
        self.deleted_since_listing = false;
        let start = self.wanted.start;
        let sought = match &self.index {
            Some(index) => seek(index, &mut segment, start),
            None if segment.next_seq() < start => segment.skip_to(start),
            None => Ok(None),
        };
        let end = sought.map_err(|error| segment.read_error(error))?;
        self.current = Some(segment);
        end.map_or(Ok(()), |end| self.end_segment(end))
    }

    /// Verifies the current segment up to the group that contains record `seq`.
    fn skip_to(&mut self, seq: u64) -> Result<()> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let end = current.skip_to(seq).map_err(|error| current.read_error(error))?;
        end.map_or(Ok(()), |end| self.end_segment(end))
    }

    /// Finishes the current segment at its end: fails if its tail is damaged, otherwise sets the link that the next one must
    /// state.
    fn end_segment(&mut self, end: SegmentEnd) -> Result<()> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let tail_error = end.tail.as_ref().map(|tail| MiniStoreError::Corrupt {
            segment: current.position().segment.to_path_buf(),
            offset: tail.offset,
            line: tail.line,
            seq: Some(current.next_seq()),
            reason: tail.reason.into(),
        });
        let is_corrupt = end.tail.as_ref().is_some_and(|tail| tail.is_corrupt);
        match tail_error {
            Some(error) if is_corrupt => Err(error),
            // A torn tail of the last segment is a commit in flight, now or at the crash.
            torn => {
                self.expected =
                    Some(ExpectedNext { next_seq: current.next_seq(), last_seal: end.last_seal, torn });
                Ok(())
            }
        }
    }
}

fn corrupt(path: &Path, reason: String) -> MiniStoreError {
    MiniStoreError::Corrupt { segment: path.into(), offset: 0, line: 1, seq: None, reason }
}
