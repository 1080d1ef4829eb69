//! Verified records of a journal, segment after segment, a block at a time.

use std::{collections::VecDeque, io, mem, ops::Range, path::Path, path::PathBuf, sync::Arc};

use super::{
    Snapshot,
    lookup::{self, Index},
    segment::Segment,
};
use crate::{
    MiniStoreError, Result,
    device::{Disk, DiskFile, Open},
    format::{Header, HeaderFault},
    names::Names,
    recovery::scan_to_end,
    scan::{Block, Collect, End, Scanner, read_header},
};

/// A rotation and a deletion between a listing and the first look at a file: so many in a row do not happen.
pub(super) const LISTINGS_MAX: u32 = 100;

/// Where the records of a block stand.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) segment: Arc<Path>,
    /// Sequence number of the first.
    pub(super) seq: u64,
    /// Its line, counted from 1 in the file.
    pub(super) line: u64,
}

/// A journal that is being read.
#[derive(Debug)]
pub(super) struct Feed {
    disk: Arc<dyn Disk>,
    /// The records asked for. Of the group that holds the first of them, earlier ones are handed out, too.
    wanted: Range<u64>,
    /// The journal, unless it is one file of it.
    journal: Option<PathBuf>,
    /// What is known of the journal's files already, and is to be known.
    index: Option<Arc<Index>>,
    /// What was listed is gone, as far as it was looked for.
    overtaken: bool,
    listings_left: u32,
    waiting: VecDeque<Waiting>,
    current: Option<Segment>,
    /// What the next segment must continue, once a segment was read.
    expected: Option<Expected>,
    /// Damage behind records that verified: they are handed out first.
    fault: Option<MiniStoreError>,
}

#[derive(Debug)]
struct Waiting {
    path: Arc<Path>,
    /// The active file is open already.
    file: Option<Arc<dyn DiskFile>>,
}

#[derive(Debug)]
struct Expected {
    next_seq: u64,
    last_seal: Option<u32>,
    /// The end of the segment before did not verify, which only a successor that fits can excuse.
    torn: Option<MiniStoreError>,
}

impl Feed {
    fn new(disk: Arc<dyn Disk>, wanted: Range<u64>) -> Self {
        Self {
            disk,
            wanted,
            journal: None,
            index: None,
            overtaken: false,
            listings_left: LISTINGS_MAX,
            waiting: VecDeque::new(),
            current: None,
            expected: None,
            fault: None,
        }
    }

    /// All segments that hold records from `from_seq` on (and perhaps some before).
    pub(super) fn of_journal(disk: Arc<dyn Disk>, path: &Path, from_seq: u64) -> Result<Self> {
        let mut feed = Self::new(disk, from_seq..u64::MAX);
        feed.journal = Some(path.to_path_buf());
        feed.list()?;
        Ok(feed)
    }

    /// The records `wanted` of the journal that `index` knows; those before the first segment still there are missed, a
    /// start at 0 apart.
    ///
    /// # Errors
    ///
    /// [`Trimmed`](MiniStoreError::Trimmed).
    pub(super) fn of_range(index: &Arc<Index>, wanted: Range<u64>) -> Result<Self> {
        let mut feed = Self::new(Arc::clone(index.disk()), wanted);
        if feed.wanted.is_empty() {
            return Ok(feed);
        }
        feed.index = Some(Arc::clone(index));
        feed.list()?;
        while feed.current.is_none() && feed.expected.is_none() && feed.open_next()? {}
        match feed.current.as_ref().map(Segment::next_seq) {
            Some(first_seq) if feed.wanted.start > 0 && first_seq > feed.wanted.start => {
                // Its header may be damaged, and say another number than it did.
                feed.pass_to(first_seq)?;
                Err(index.released(first_seq))
            }
            _ => Ok(feed),
        }
    }

    /// The number of the newest record of the journal that `index` knows; 0 where there is none. Reads the newest segment,
    /// and others only where headers state no numbers.
    pub(super) fn last_seq(index: &Arc<Index>) -> Result<u64> {
        // No record has this number: every segment is passed to its end.
        let mut feed = Self::of_range(index, u64::MAX - 1..u64::MAX)?;
        while feed.open_next()? {}
        Ok(feed.expected.map_or(0, |expected| expected.next_seq.saturating_sub(1)))
    }

    /// One file, whatever it is called.
    pub(super) fn of_file(disk: Arc<dyn Disk>, path: &Path) -> Result<Self> {
        let file = disk.open(path, Open::Read).map_err(MiniStoreError::file(path, "open"))?;
        let mut feed = Self::new(disk, 0..u64::MAX);
        feed.waiting.push_back(Waiting { path: path.into(), file: Some(file) });
        feed.open_next()?;
        Ok(feed)
    }

    /// Opens the first segment that is still there; says which it is, and the number of the record it begins with. `None`
    /// where there is no segment.
    pub(super) fn begin(&mut self) -> Result<Option<(Arc<Path>, u64)>> {
        while self.current.is_none() {
            if !self.open_next()? {
                return Ok(None);
            }
        }
        Ok(self.current.as_ref().map(Segment::place).map(|place| (place.segment, place.seq)))
    }

    /// Lists the segments that are there, from the one on that holds the first record wanted.
    fn list(&mut self) -> Result<()> {
        let not_opened = |path| Waiting { path, file: None };
        let active = match (&self.index, &self.journal) {
            (Some(index), _) => {
                let (listing, active) = index.look()?;
                self.waiting =
                    listing.paths_holding(&*self.disk, self.wanted.start).map(not_opened).collect();
                if active.is_some() {
                    // The last of those listed stands open here.
                    self.waiting.pop_back();
                }
                active
            }
            (None, Some(path)) => {
                let names = Names::resolve(&*self.disk, path)?;
                let Snapshot { archived, active } = Snapshot::take(&*self.disk, &names)?;
                self.waiting = archived.into_iter().map(|(_, path)| not_opened(path.into())).collect();
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
    fn list_again(&mut self) -> Result<bool> {
        if !mem::take(&mut self.overtaken) || self.listings_left == 0 {
            return Ok(false);
        }
        self.listings_left -= 1;
        self.list()?;
        Ok(true)
    }

    fn wait_for_active(&mut self, path: PathBuf, file: Arc<dyn DiskFile>) -> Result<()> {
        let empty = file.len().map_err(MiniStoreError::file(&path, "stat"))? == 0;
        if !empty {
            self.waiting.push_back(Waiting { path: path.into(), file: Some(file) });
        }
        Ok(())
    }

    /// Appends the next records to `block`, all of one segment; `None` at the end of the journal.
    pub(super) fn fill(&mut self, block: &mut Block) -> Result<Option<Place>> {
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
            let place = current.place();
            let end = current.fill(block, self.wanted.end).map_err(|error| current.read_error(error))?;
            let filled = current.next_seq() > place.seq;
            if current.next_seq() >= self.wanted.end {
                // What follows is of no consequence.
                self.waiting.clear();
                self.current = None;
                return Ok(filled.then_some(place));
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
                return Ok(Some(place));
            }
        }
    }

    /// Drops whole segments before the one that holds `from_seq`, by their headers.
    fn skip_before(&mut self, from_seq: u64) {
        if from_seq <= 1 {
            return;
        }
        let holds = |waiting: &Waiting| {
            waiting.header(&*self.disk).and_then(Header::link).is_some_and(|link| link.first <= from_seq)
        };
        if let Some(start) = self.waiting.iter().rposition(holds) {
            self.waiting.drain(..start);
        }
    }

    /// Opens the next segment and holds it against the one before. `false` where there is none.
    fn open_next(&mut self) -> Result<bool> {
        let Some(Waiting { path, file }) = self.waiting.pop_front() else {
            return self.list_again();
        };
        let is_archived = file.is_none();
        let file = match file.map_or_else(|| self.disk.open(&path, Open::Read), Ok) {
            Ok(file) => file,
            // Retention deletes the oldest segments at any time.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.expected.is_none() => {
                self.overtaken = true;
                return Ok(true);
            }
            Err(error) => return Err(self.cannot_open(&path, error)),
        };
        let opened =
            Scanner::open(Arc::clone(&file), Collect::Lines).map_err(MiniStoreError::file(&*path, "read"))?;
        let scanner = match opened {
            Ok(scanner) => scanner,
            Err(HeaderFault::NotAJournal) if !is_archived => return Err(MiniStoreError::MissingInitialState),
            Err(fault) => return Err(corrupt(&path, fault.to_string())),
        };
        let first_seq = self.first_seq(&path, &file, scanner.header())?;
        self.enter(Segment::new(path, file, scanner, first_seq))?;
        Ok(true)
    }

    fn cannot_open(&self, path: &Path, error: io::Error) -> MiniStoreError {
        let overtaken = match (&self.index, &self.expected) {
            (Some(index), Some(expected)) if error.kind() == io::ErrorKind::NotFound => index
                .first_seq()
                .filter(|&first_seq| first_seq > expected.next_seq)
                .map(|first_seq| index.released(first_seq)),
            _ => None,
        };
        overtaken.unwrap_or_else(|| MiniStoreError::file(path, "open")(error))
    }

    /// Makes this the segment that is read, from the group on that holds the first record wanted.
    fn enter(&mut self, mut segment: Segment) -> Result<()> {
        self.overtaken = false;
        let start = self.wanted.start;
        let passed = match &self.index {
            Some(index) => lookup::seek(index, &mut segment, start),
            None if segment.next_seq() < start => segment.pass_to(start),
            None => Ok(None),
        };
        let end = passed.map_err(|error| segment.read_error(error))?;
        self.current = Some(segment);
        end.map_or(Ok(()), |end| self.end_segment(end))
    }

    /// Verifies the current segment up to the group that holds record `seq`.
    fn pass_to(&mut self, seq: u64) -> Result<()> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let passed = current.pass_to(seq).map_err(|error| current.read_error(error))?;
        passed.map_or(Ok(()), |end| self.end_segment(end))
    }

    /// The sequence number that a segment begins with.
    fn first_seq(&mut self, path: &Path, file: &Arc<dyn DiskFile>, header: Header) -> Result<u64> {
        let expected = self.expected.take();
        match (expected, header.link()) {
            (None, Some(link)) => Ok(link.first),
            (None, None) => self.first_of_plain(path, file),
            (Some(Expected { torn: Some(torn), last_seal, .. }), link)
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
    fn first_of_plain(&self, path: &Path, file: &Arc<dyn DiskFile>) -> Result<u64> {
        let mut records = self.count_records(path, file)?;
        for waiting in &self.waiting {
            match waiting.header(&*self.disk) {
                Some(Header::Sealed(link)) => return Ok(link.first.saturating_sub(records).max(1)),
                _ => {
                    if let Ok(file) = self.disk.open(&waiting.path, Open::Read) {
                        records += self.count_records(&waiting.path, &file)?;
                    }
                }
            }
        }
        Ok(1)
    }

    /// Records that verify. Who asks for certain numbers must not be given others where there are more.
    fn count_records(&self, path: &Path, file: &Arc<dyn DiskFile>) -> Result<u64> {
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
    fn end_segment(&mut self, end: End) -> Result<()> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let fault = end.tail.as_ref().map(|tail| MiniStoreError::Corrupt {
            segment: current.place().segment.to_path_buf(),
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
                    Some(Expected { next_seq: current.next_seq(), last_seal: end.last_seal, torn });
                Ok(())
            }
        }
    }
}

impl Waiting {
    fn header(&self, disk: &dyn Disk) -> Option<Header> {
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => disk.open(&self.path, Open::Read).ok()?,
        };
        read_header(file).ok()?.ok()
    }
}

fn corrupt(path: &Path, reason: String) -> MiniStoreError {
    MiniStoreError::Corrupt { segment: path.into(), offset: 0, line: 1, seq: None, reason }
}
