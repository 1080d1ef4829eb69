//! Verified records of a journal, segment after segment, a block at a time.

use std::{collections::VecDeque, io, path::Path, path::PathBuf, sync::Arc};

use super::Snapshot;
use crate::{
    MiniStoreError, Result,
    device::{Disk, DiskFile, Open},
    format::{Header, HeaderFault},
    names::Names,
    scan::{Block, Collect, End, LineReader, ReadAt, Scanner, Step, read_header},
};

/// A block is handed on when it holds this many bytes.
const BLOCK_BYTES: usize = if cfg!(shuttle) { 4 << 10 } else { 256 << 10 };

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
    waiting: VecDeque<Waiting>,
    current: Option<Current>,
    /// What the next segment must continue, once a segment was read.
    expected: Option<Expected>,
    /// Damage behind records that verified: they are handed out first.
    fault: Option<MiniStoreError>,
}

#[derive(Debug)]
struct Waiting {
    path: PathBuf,
    /// The active file is open already.
    file: Option<Arc<dyn DiskFile>>,
}

#[derive(Debug)]
struct Current {
    path: Arc<Path>,
    file: Arc<dyn DiskFile>,
    scanner: Scanner<Arc<dyn DiskFile>>,
    next_seq: u64,
    next_line: u64,
    /// A group too large for a block, on its second reading.
    large: Option<LineReader<Arc<dyn DiskFile>>>,
}

#[derive(Debug)]
struct Expected {
    next_seq: u64,
    last_seal: Option<u32>,
    /// The end of the segment before did not verify, which only a successor that fits can excuse.
    torn: Option<MiniStoreError>,
}

impl Feed {
    /// All segments that hold records from `from_seq` on (and perhaps some before).
    pub(super) fn of_journal(disk: Arc<dyn Disk>, path: &Path, from_seq: u64) -> Result<Self> {
        let Snapshot { archived, active } = Snapshot::take(&*disk, &Names::resolve(&*disk, path)?)?;
        let mut waiting: VecDeque<_> =
            archived.into_iter().map(|(_, path)| Waiting { path, file: None }).collect();
        if let Some((path, file)) = active {
            let empty = file.len().map_err(MiniStoreError::file(&path, "look at"))? == 0;
            if !empty {
                waiting.push_back(Waiting { path, file: Some(file) });
            }
        }
        let mut feed = Self { disk, waiting, current: None, expected: None, fault: None };
        feed.skip_before(from_seq);
        Ok(feed)
    }

    /// One file, whatever it is called.
    pub(super) fn of_file(disk: Arc<dyn Disk>, path: &Path) -> Result<Self> {
        let file = disk.open(path, Open::Read).map_err(MiniStoreError::file(path, "open"))?;
        let waiting = [Waiting { path: path.to_path_buf(), file: Some(file) }].into();
        let mut feed = Self { disk, waiting, current: None, expected: None, fault: None };
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
        Ok(self.current.as_ref().map(|current| (Arc::clone(&current.path), current.next_seq)))
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
            let place =
                Place { segment: Arc::clone(&current.path), seq: current.next_seq, line: current.next_line };
            let held = block.len();
            let end = current.fill(block).map_err(|error| current.read_error(error))?;
            let filled = (block.len() - held) as u64;
            current.next_seq += filled;
            current.next_line += filled;
            if let Some(end) = end
                && let Err(fault) = self.end_segment(end)
            {
                if filled == 0 {
                    return Err(fault);
                }
                self.fault = Some(fault);
            }
            if filled > 0 {
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
            return Ok(false);
        };
        let file = match file.map_or_else(|| self.disk.open(&path, Open::Read), Ok) {
            Ok(file) => file,
            // Retention deletes the oldest segments at any time.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.expected.is_none() => {
                return Ok(true);
            }
            Err(error) => return Err(MiniStoreError::file(path, "open")(error)),
        };
        let opened =
            Scanner::open(Arc::clone(&file), Collect::Lines).map_err(MiniStoreError::file(&path, "read"))?;
        let scanner = match opened {
            Ok(scanner) => scanner,
            Err(HeaderFault::NotAJournal) => return Err(MiniStoreError::MissingInitialState),
            Err(HeaderFault::Damaged(reason)) => return Err(corrupt(&path, reason)),
        };
        let next_seq = self.first_seq(&path, &file, scanner.header())?;
        self.current =
            Some(Current { path: path.into(), file, scanner, next_seq, next_line: 2, large: None });
        Ok(true)
    }

    /// The sequence number that a segment begins with.
    fn first_seq(&mut self, path: &Path, file: &Arc<dyn DiskFile>, header: Header) -> Result<u64> {
        let expected = self.expected.take();
        match (expected, header.link()) {
            (None, Some(link)) => Ok(link.first),
            (None, None) => self.first_of_plain(file).map_err(MiniStoreError::file(path, "read")),
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
    fn first_of_plain(&self, file: &Arc<dyn DiskFile>) -> io::Result<u64> {
        let mut records = count_records(file)?;
        for waiting in &self.waiting {
            match waiting.header(&*self.disk) {
                Some(Header::Sealed(link)) => return Ok(link.first.saturating_sub(records).max(1)),
                _ => {
                    let file = self.disk.open(&waiting.path, Open::Read);
                    records += file.and_then(|file| count_records(&file)).unwrap_or(0);
                }
            }
        }
        Ok(1)
    }

    /// A segment is read to its end.
    fn end_segment(&mut self, end: End) -> Result<()> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let fault = end.tail.as_ref().map(|tail| MiniStoreError::Corrupt {
            segment: current.path.to_path_buf(),
            offset: tail.offset,
            line: tail.line,
            seq: Some(current.next_seq),
            reason: tail.reason.into(),
        });
        let damaged = end.tail.as_ref().is_some_and(|tail| tail.damaged);
        match fault {
            Some(fault) if damaged => Err(fault),
            // A torn tail of the last segment is the commit that is in flight, or was at the crash.
            torn => {
                self.expected = Some(Expected { next_seq: current.next_seq, last_seal: end.last_seal, torn });
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

impl Current {
    /// Some more records; the end, once it is reached.
    fn fill(&mut self, block: &mut Block) -> io::Result<Option<End>> {
        while block.byte_len() < BLOCK_BYTES {
            if let Some(lines) = &mut self.large {
                if let Some(values) = lines.values() {
                    block.push_values(&values);
                } else if let Some(line) = lines.next()? {
                    block.push(line.bytes.trim_ascii_end(), line.offset);
                } else {
                    self.large = None;
                }
                continue;
            }
            match self.scanner.next(block)? {
                Step::Group(group) if group.on_disk => {
                    let file = Arc::clone(&self.file);
                    self.large = Some(LineReader::with_limit(file, group.offset, group.end));
                }
                Step::Group(_) => {}
                Step::End(end) => return Ok(Some(end)),
            }
        }
        Ok(None)
    }

    fn read_error(&self, error: io::Error) -> MiniStoreError {
        MiniStoreError::file(self.path.to_path_buf(), "read")(error)
    }
}

fn count_records(file: &impl ReadAt) -> io::Result<u64> {
    Ok(crate::recovery::scan_to_end(file)?.map_or(0, |scanned| scanned.records))
}

fn corrupt(path: &Path, reason: String) -> MiniStoreError {
    MiniStoreError::Corrupt { segment: path.into(), offset: 0, line: 1, seq: None, reason }
}
