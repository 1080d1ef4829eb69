//! Verified records of a journal, segment after segment, a block at a time.

use std::{collections::VecDeque, io, mem, ops::Range, path::Path, path::PathBuf, sync::Arc};

use super::{
    lookup::{self, Index},
    segment::SegmentReader,
};
use crate::{
    MiniStoreError, Result,
    format::scan::{Block, ScanMode, Scanner, SegmentEnd, read_header},
    format::{Header, HeaderError},
    io::{FileHandle, FileSystem, OpenMode},
    journal::file_names::FileNames,
    journal::segment_set::SegmentSet,
    journal::segment_summary::scan_to_end,
};

/// A rotation and a deletion between a listing and the first look at a file: so many in a row do not happen.
pub(super) const RELISTS_MAX: u32 = 100;

/// Where the records of a block stand.
#[derive(Debug, Clone)]
pub(super) struct RecordPosition {
    pub(super) segment: Arc<Path>,
    /// Sequence number of the first.
    pub(super) seq: u64,
    /// Its line, counted from 1 in the file.
    pub(super) line: u64,
}

/// A journal that is being read.
#[derive(Debug)]
pub(super) struct JournalReader {
    disk: Arc<dyn FileSystem>,
    /// The records asked for. Of the group that holds the first of them, earlier ones are handed out, too.
    wanted: Range<u64>,
    /// The journal, unless it is one file of it.
    journal: Option<PathBuf>,
    /// What is known of the journal's files already, and is to be known.
    index: Option<Arc<Index>>,
    /// What was listed is gone, as far as it was looked for.
    trimmed_meanwhile: bool,
    relists_left: u32,
    queue: VecDeque<QueuedSegment>,
    current: Option<SegmentReader>,
    /// What the next segment must continue, once a segment was read.
    expected: Option<ExpectedLink>,
    /// Damage behind records that verified: they are handed out first.
    fault: Option<MiniStoreError>,
}

#[derive(Debug)]
struct QueuedSegment {
    path: Arc<Path>,
    /// The active file is open already.
    file: Option<Arc<dyn FileHandle>>,
}

#[derive(Debug)]
struct ExpectedLink {
    next_seq: u64,
    last_seal: Option<u32>,
    /// The end of the segment before did not verify, which only a successor that fits can excuse.
    torn: Option<MiniStoreError>,
}

impl JournalReader {
    fn new(disk: Arc<dyn FileSystem>, wanted: Range<u64>) -> Self {
        Self {
            disk,
            wanted,
            journal: None,
            index: None,
            trimmed_meanwhile: false,
            relists_left: RELISTS_MAX,
            queue: VecDeque::new(),
            current: None,
            expected: None,
            fault: None,
        }
    }

    /// All segments that hold records from `from_seq` on (and perhaps some before).
    pub(super) fn of_journal(disk: Arc<dyn FileSystem>, path: &Path, from_seq: u64) -> Result<Self> {
        let mut journal_reader = Self::new(disk, from_seq..u64::MAX);
        journal_reader.journal = Some(path.to_path_buf());
        journal_reader.list()?;
        Ok(journal_reader)
    }

    /// The records `wanted` of the journal that `index` knows; those before the first segment still there are missed, a
    /// start at 0 apart.
    ///
    /// # Errors
    ///
    /// [`Trimmed`](MiniStoreError::Trimmed).
    pub(super) fn of_range(index: &Arc<Index>, wanted: Range<u64>) -> Result<Self> {
        let mut journal_reader = Self::new(Arc::clone(index.disk()), wanted);
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
                // Its header may be damaged, and say another number than it did.
                journal_reader.skip_to(first_seq)?;
                Err(index.released(first_seq))
            }
            _ => Ok(journal_reader),
        }
    }

    /// The number of the newest record of the journal that `index` knows; 0 where there is none. Reads the newest segment,
    /// and others only where headers state no numbers.
    pub(super) fn last_seq(index: &Arc<Index>) -> Result<u64> {
        // No record has this number: every segment is passed to its end.
        let mut journal_reader = Self::of_range(index, u64::MAX - 1..u64::MAX)?;
        while journal_reader.open_next()? {}
        Ok(journal_reader.expected.map_or(0, |expected| expected.next_seq.saturating_sub(1)))
    }

    /// One file, whatever it is called.
    pub(super) fn of_file(disk: Arc<dyn FileSystem>, path: &Path) -> Result<Self> {
        let file = disk.open(path, OpenMode::ReadOnly).map_err(MiniStoreError::file(path, "open"))?;
        let mut journal_reader = Self::new(disk, 0..u64::MAX);
        journal_reader.queue.push_back(QueuedSegment { path: path.into(), file: Some(file) });
        journal_reader.open_next()?;
        Ok(journal_reader)
    }

    /// Opens the first segment that is still there; says which it is, and the number of the record it begins with. `None`
    /// where there is no segment.
    pub(super) fn begin(&mut self) -> Result<Option<(Arc<Path>, u64)>> {
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

    /// Lists the segments that are there, from the one on that holds the first record wanted.
    fn list(&mut self) -> Result<()> {
        let not_opened = |path| QueuedSegment { path, file: None };
        let active = match (&self.index, &self.journal) {
            (Some(index), _) => {
                let (listing, active) = index.look()?;
                self.queue = listing.paths_from(&*self.disk, self.wanted.start).map(not_opened).collect();
                if active.is_some() {
                    // The last of those listed stands open here.
                    self.queue.pop_back();
                }
                active
            }
            (None, Some(path)) => {
                let names = FileNames::resolve(&*self.disk, path)?;
                let SegmentSet { rotated, active } = SegmentSet::take(&*self.disk, &names)?;
                self.queue = rotated.into_iter().map(|(_, path)| not_opened(path.into())).collect();
                active
            }
            (None, None) => None,
        };
        if let Some((path, file)) = active {
            self.wait_for_active(path, file)?;
        }
        if self.index.is_none() {
            self.skip_before(self.wanted.start);
        }
        Ok(())
    }

    /// All that was listed may be gone before the first of it is opened: the journal goes on elsewhere then. `false` where
    /// that is not so.
    fn relist(&mut self) -> Result<bool> {
        if !mem::take(&mut self.trimmed_meanwhile) || self.relists_left == 0 {
            return Ok(false);
        }
        self.relists_left -= 1;
        self.list()?;
        Ok(true)
    }

    fn wait_for_active(&mut self, path: PathBuf, file: Arc<dyn FileHandle>) -> Result<()> {
        let empty = file.len().map_err(MiniStoreError::file(&path, "stat"))? == 0;
        if !empty {
            self.queue.push_back(QueuedSegment { path: path.into(), file: Some(file) });
        }
        Ok(())
    }

    /// Appends the next records to `block`, all of one segment; `None` at the end of the journal.
    pub(super) fn fill(&mut self, block: &mut Block) -> Result<Option<RecordPosition>> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
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
                // What follows is of no consequence.
                self.queue.clear();
                self.current = None;
                return Ok(filled.then_some(position));
            }
            if let Some(end) = end
                && let Err(fault) = self.end_segment(end)
            {
                if !filled {
                    return Err(fault);
                }
                self.fault = Some(fault);
            }
            if filled {
                return Ok(Some(position));
            }
        }
    }

    /// Drops whole segments before the one that holds `from_seq`, by their headers.
    fn skip_before(&mut self, from_seq: u64) {
        if from_seq <= 1 {
            return;
        }
        let holds = |queue: &QueuedSegment| {
            queue.header(&*self.disk).and_then(Header::link).is_some_and(|link| link.first <= from_seq)
        };
        if let Some(start) = self.queue.iter().rposition(holds) {
            self.queue.drain(..start);
        }
    }

    /// Opens the next segment and holds it against the one before. `false` where there is none.
    fn open_next(&mut self) -> Result<bool> {
        let Some(QueuedSegment { path, file }) = self.queue.pop_front() else {
            return self.relist();
        };
        let is_archived = file.is_none();
        let file = match file.map_or_else(|| self.disk.open(&path, OpenMode::ReadOnly), Ok) {
            Ok(file) => file,
            // Retention deletes the oldest segments at any time.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.expected.is_none() => {
                self.trimmed_meanwhile = true;
                return Ok(true);
            }
            Err(error) => return Err(self.cannot_open(&path, error)),
        };
        let opened =
            Scanner::open(Arc::clone(&file), ScanMode::Read).map_err(MiniStoreError::file(&*path, "read"))?;
        let scanner = match opened {
            Ok(scanner) => scanner,
            Err(HeaderError::BadMagic) if !is_archived => return Err(MiniStoreError::MissingInitialState),
            Err(fault) => return Err(corrupt(&path, fault.to_string())),
        };
        let first_seq = self.first_seq(&path, &file, scanner.header())?;
        self.open_segment(SegmentReader::new(path, file, scanner, first_seq))?;
        Ok(true)
    }

    fn cannot_open(&self, path: &Path, error: io::Error) -> MiniStoreError {
        let trimmed_meanwhile = match (&self.index, &self.expected) {
            (Some(index), Some(expected)) if error.kind() == io::ErrorKind::NotFound => index
                .first_seq()
                .filter(|&first_seq| first_seq > expected.next_seq)
                .map(|first_seq| index.released(first_seq)),
            _ => None,
        };
        trimmed_meanwhile.unwrap_or_else(|| MiniStoreError::file(path, "open")(error))
    }

    /// Makes this the segment that is read, from the group on that holds the first record wanted.
    fn open_segment(&mut self, mut segment: SegmentReader) -> Result<()> {
        self.trimmed_meanwhile = false;
        let start = self.wanted.start;
        let record_point = match &self.index {
            Some(index) => lookup::seek(index, &mut segment, start),
            None if segment.next_seq() < start => segment.skip_to(start),
            None => Ok(None),
        };
        let end = record_point.map_err(|error| segment.read_error(error))?;
        self.current = Some(segment);
        end.map_or(Ok(()), |end| self.end_segment(end))
    }

    /// Verifies the current segment up to the group that holds record `seq`.
    fn skip_to(&mut self, seq: u64) -> Result<()> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let record_point = current.skip_to(seq).map_err(|error| current.read_error(error))?;
        record_point.map_or(Ok(()), |end| self.end_segment(end))
    }

    /// The sequence number that a segment begins with.
    fn first_seq(&mut self, path: &Path, file: &Arc<dyn FileHandle>, header: Header) -> Result<u64> {
        let expected = self.expected.take();
        match (expected, header.link()) {
            (None, Some(link)) => Ok(link.first),
            (None, None) => self.first_of_plain(path, file),
            (Some(ExpectedLink { torn: Some(torn), last_seal, .. }), link)
                if link.is_none_or(|link| link.prev != last_seal.unwrap_or(0)) =>
            {
                Err(torn)
            }
            (Some(expected), None) => Ok(expected.next_seq),
            (Some(expected), Some(link)) => {
                let fits = link.first == expected.next_seq && link.prev == expected.last_seal.unwrap_or(0);
                let missing = || {
                    format!(
                        "it does not continue the segment before it: it begins with record {}, and {} was to come",
                        link.first, expected.next_seq
                    )
                };
                if fits { Ok(link.first) } else { Err(corrupt(path, missing())) }
            }
        }
    }

    /// Plain segments do not state their numbers: they count back from the first segment that does, else from 1.
    fn first_of_plain(&self, path: &Path, file: &Arc<dyn FileHandle>) -> Result<u64> {
        let mut records = self.count_records(path, file)?;
        for queue in &self.queue {
            match queue.header(&*self.disk) {
                Some(Header::Sealed(link)) => return Ok(link.first.saturating_sub(records).max(1)),
                _ => {
                    if let Ok(file) = self.disk.open(&queue.path, OpenMode::ReadOnly) {
                        records += self.count_records(&queue.path, &file)?;
                    }
                }
            }
        }
        Ok(1)
    }

    /// Records that verify. Who asks for certain numbers must not be given others where there are more.
    fn count_records(&self, path: &Path, file: &Arc<dyn FileHandle>) -> Result<u64> {
        let scanned = match scan_to_end(file).map_err(MiniStoreError::file(path, "read"))? {
            Ok(scanned) => scanned,
            Err(fault) if self.index.is_some() => return Err(corrupt(path, fault.to_string())),
            Err(_) => return Ok(0),
        };
        match scanned.end.tail {
            Some(tail) if tail.damaged && self.index.is_some() => Err(MiniStoreError::Corrupt {
                segment: path.into(),
                offset: tail.offset,
                line: tail.line,
                seq: None,
                reason: tail.reason.into(),
            }),
            _ => Ok(scanned.records),
        }
    }

    /// A segment is read to its end.
    fn end_segment(&mut self, end: SegmentEnd) -> Result<()> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let fault = end.tail.as_ref().map(|tail| MiniStoreError::Corrupt {
            segment: current.position().segment.to_path_buf(),
            offset: tail.offset,
            line: tail.line,
            seq: Some(current.next_seq()),
            reason: tail.reason.into(),
        });
        let damaged = end.tail.as_ref().is_some_and(|tail| tail.damaged);
        match fault {
            Some(fault) if damaged => Err(fault),
            // A torn tail of the last segment is the commit that is in flight, or was at the crash.
            torn => {
                self.expected =
                    Some(ExpectedLink { next_seq: current.next_seq(), last_seal: end.last_seal, torn });
                Ok(())
            }
        }
    }
}

impl QueuedSegment {
    fn header(&self, disk: &dyn FileSystem) -> Option<Header> {
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => disk.open(&self.path, OpenMode::ReadOnly).ok()?,
        };
        read_header(file).ok()?.ok()
    }
}

fn corrupt(path: &Path, reason: String) -> MiniStoreError {
    MiniStoreError::Corrupt { segment: path.into(), offset: 0, line: 1, seq: None, reason }
}
