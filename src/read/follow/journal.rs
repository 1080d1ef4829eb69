//! The segments of a journal that is being written, one after another, from a record on.
//!
//! Holds the file that it reads open, whatever becomes of its name. Where that ends it looks for the segment that continues
//! it: the one that begins with the record to come and names the last seal that was read.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{super::journal_reader::RecordPosition, durability::Durability, live_segment::LiveSegment};
use crate::{
    MiniStoreError, Result,
    format::scan::{Block, ScanMode, Scanner, has_magic, last_newline_before, read_header},
    format::{Header, HeaderError, header::MAGIC},
    io::{FileHandle, FileSystem, OpenMode},
    journal::file_names::FileNames,
    journal::segment_set::SegmentSet,
    journal::segment_summary::scan_to_end,
    sync::thread,
};

/// So many looks may miss a record that must be there: a rotation may be under way at each.
const MAX_MISSES_IN_A_ROW: u32 = 100;

/// No header is longer.
const HEADER_BYTES_MAX: u64 = 4096;

/// A journal, and how far it was read.
#[derive(Debug)]
pub(super) struct JournalFollower {
    disk: Arc<dyn FileSystem>,
    path: PathBuf,
    /// The record to begin with; 0 for the oldest that is there.
    from_seq: u64,
    current: Option<LiveSegment>,
    /// Looks in a row that missed what must be there.
    misses: u32,
    /// Names in the directory may have changed since it was looked at.
    names_changed: bool,
}

/// A file of the journal.
#[derive(Debug)]
struct SegmentFile {
    path: PathBuf,
    file: Arc<dyn FileHandle>,
    header: Header,
    number: u64,
}

impl JournalFollower {
    pub(super) fn new(disk: Arc<dyn FileSystem>, path: &Path, from_seq: u64) -> Self {
        let path = path.to_path_buf();
        Self { disk, path, from_seq, current: None, misses: 0, names_changed: true }
    }

    /// The first record that is still to be handed out.
    pub(super) fn next_seq(&self) -> u64 {
        self.current.as_ref().map_or(self.from_seq, |current| current.next_seq.max(self.from_seq))
    }

    /// Names in the directory may have changed.
    pub(super) fn names_changed(&mut self) {
        self.names_changed = true;
    }

    /// The next records that are durable, all of one segment; `None` where there are none yet.
    pub(super) fn fill(&mut self, block: &mut Block, durable: &Durability) -> Result<Option<RecordPosition>> {
        while self.next_seq() <= durable.up_to() {
            if let Some(current) = &mut self.current
                && let Some(position) = current.fill(block, durable)?
            {
                self.misses = 0;
                if current.next_seq > self.from_seq {
                    return Ok(Some(position));
                }
                block.clear();
                continue;
            }
            // A segment without records may still get another header.
            let settled = self.current.as_ref().is_some_and(LiveSegment::holds_records);
            if settled && !self.names_changed && !durable.is_bounded() {
                return Ok(None);
            }
            self.names_changed = false;
            let turned = self.advance()?;
            // There may be more segments to go to.
            self.names_changed |= turned;
            if !durable.is_bounded() && (!turned || self.misses == MAX_MISSES_IN_A_ROW) {
                self.misses = 0;
                return Ok(None);
            }
            self.on_miss()?;
        }
        Ok(None)
    }

    /// Looks for the segment to go on with. `false` where there is none, or no other, yet.
    fn advance(&mut self) -> Result<bool> {
        let names = FileNames::resolve(&*self.disk, &self.path)?;
        let SegmentSet { rotated, active } = SegmentSet::take(&*self.disk, &names)?;
        let newest = rotated.last().map_or(0, |(number, _)| *number);
        let mut listing = SegmentListing { disk: Arc::clone(&self.disk), rotated, active, newest };
        match self.current.take() {
            None => {
                self.current = listing.begin(&self.path, self.from_seq)?;
                Ok(self.current.is_some())
            }
            Some(current) => self.continue_from(current, &mut listing),
        }
    }

    fn continue_from(&mut self, mut current: LiveSegment, listing: &mut SegmentListing) -> Result<bool> {
        let (number, next_seq) = (current.number, current.next_seq);
        let (found, follows) = listing.after(number)?;
        let Some(found) = found else {
            self.current = Some(current);
            return Ok(false);
        };
        let is_same = current.header.link().is_some() && found.header.link() == current.header.link();
        if is_same && follows && found.number != number {
            // Where all archived segments were deleted, the number that it was to get could only be guessed.
            current.number = found.number;
            self.current = Some(current);
            return Ok(true);
        }
        match found.header.link() {
            _ if is_same || (found.header.link().is_none() && !follows) => {
                // Deleted, and something else in its place, which begins as it did.
                let replaced =
                    current.file.len_if_linked().map_err(|error| current.read_error(error))?.is_none();
                self.from_seq = self.from_seq.max(next_seq);
                self.current = (!replaced).then_some(current);
                Ok(replaced)
            }
            Some(link) if link.first == next_seq && current.holds_records() => {
                if link.prev != current.last_seal()?.unwrap_or(0) {
                    return Err(found.damage("it does not continue the segment before it"));
                }
                self.current = found.open(Some(next_seq))?;
                Ok(true)
            }
            // What a plain segment begins with is known by its place only.
            None => self.finish(current, found, next_seq),
            Some(link) if link.first > next_seq => self.trimmed_meanwhile(current, listing),
            // Another journal in its place.
            Some(_) => {
                self.from_seq = self.from_seq.max(next_seq);
                Ok(true)
            }
        }
    }

    /// Goes on with a plain segment, once all of the one before it was read.
    fn finish(&mut self, mut current: LiveSegment, found: SegmentFile, next_seq: u64) -> Result<bool> {
        if !current.complete {
            current.complete = true;
            self.current = Some(current);
            return Ok(true);
        }
        self.current = found.open(Some(next_seq))?;
        Ok(true)
    }

    /// The journal has gone on elsewhere: what is left of this segment is read first.
    fn trimmed_meanwhile(&mut self, mut current: LiveSegment, listing: &mut SegmentListing) -> Result<bool> {
        if !current.complete {
            current.complete = true;
            self.current = Some(current);
            return Ok(true);
        }
        let next_seq = current.next_seq;
        if let Some(first_seq) = listing.first_seq()?.filter(|&first| first > next_seq) {
            return Err(MiniStoreError::Trimmed { path: self.path.clone(), first_seq });
        }
        // Archived segments are numbered anew where all were deleted: it is found by what it begins with.
        match listing.beginning_with(next_seq)? {
            Some(found) => {
                self.current = found.open(Some(next_seq))?;
                Ok(true)
            }
            None => Err(current.damage("records are missing at the end of the segment")),
        }
    }

    /// A record is durable, and was not found.
    fn on_miss(&mut self) -> Result<()> {
        self.misses += 1;
        if self.misses < MAX_MISSES_IN_A_ROW {
            thread::yield_now();
            return Ok(());
        }
        match &self.current {
            Some(current) => Err(current.damage("a durable record is not there")),
            None => Err(MiniStoreError::file(&self.path, "find")(io::ErrorKind::NotFound.into())),
        }
    }
}

/// The files of a journal at one moment.
struct SegmentListing {
    disk: Arc<dyn FileSystem>,
    /// Oldest first.
    rotated: Vec<(u64, PathBuf)>,
    active: Option<(PathBuf, Arc<dyn FileHandle>)>,
    newest: u64,
}

impl SegmentListing {
    /// The segment that holds `from_seq`, or will; 0 stands for the oldest record.
    fn begin(&mut self, path: &Path, from_seq: u64) -> Result<Option<LiveSegment>> {
        if from_seq > 0 {
            for index in (0..=self.rotated.len()).rev() {
                let Some(file) = self.open(index)? else { continue };
                if file.header.link().is_some_and(|link| link.first <= from_seq) {
                    return file.open(None);
                }
            }
        }
        let Some((index, file)) = self.oldest()? else { return Ok(None) };
        let first = match file.header.link() {
            Some(link) => link.first,
            None => self.first_of_plain(index)?,
        };
        if from_seq > 0 && first > from_seq {
            return Err(MiniStoreError::Trimmed { path: path.to_path_buf(), first_seq: first });
        }
        file.open(Some(first))
    }

    /// The segment after this number, and whether it does follow it; else the newest.
    fn after(&mut self, number: u64) -> Result<(Option<SegmentFile>, bool)> {
        // Rotation skips the numbers of files that are not the journal's.
        let next = self.rotated.iter().position(|(other, _)| *other > number);
        let follows = next.is_some() || self.newest == number;
        Ok((self.open(next.unwrap_or(self.rotated.len()))?, follows))
    }

    fn oldest(&mut self) -> Result<Option<(usize, SegmentFile)>> {
        for index in 0..=self.rotated.len() {
            if let Some(file) = self.open(index)? {
                return Ok(Some((index, file)));
            }
        }
        Ok(None)
    }

    /// The number of the oldest record.
    fn first_seq(&mut self) -> Result<Option<u64>> {
        let Some((index, file)) = self.oldest()? else { return Ok(None) };
        let stated = file.header.link().map(|link| link.first);
        stated.map_or_else(|| self.first_of_plain(index), Ok).map(Some)
    }

    /// The segment that states that it begins with this record.
    fn beginning_with(&mut self, seq: u64) -> Result<Option<SegmentFile>> {
        for index in (0..=self.rotated.len()).rev() {
            let found = self.open(index)?;
            if let Some(file) = found.filter(|file| file.header.link().is_some_and(|link| link.first == seq))
            {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    /// Opens one of the files; `None` where it is gone, or has no header yet.
    fn open(&mut self, index: usize) -> Result<Option<SegmentFile>> {
        let (path, file, number, rotated) = match self.rotated.get(index) {
            Some((number, path)) => match self.disk.open(path, OpenMode::ReadOnly) {
                Ok(file) => (path.clone(), file, *number, true),
                // Retention deletes the oldest segments at any time.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(MiniStoreError::file(path, "open")(error)),
            },
            None => match &self.active {
                Some((path, file)) => (path.clone(), Arc::clone(file), self.newest + 1, false),
                None => return Ok(None),
            },
        };
        let failed = |error| MiniStoreError::file(path.as_path(), "read")(error);
        let header = read_header(&*file).map_err(failed)?;
        // One that is just being created.
        if !rotated && is_begun(&*file, header.as_ref().ok().copied()).map_err(failed)? {
            return Ok(None);
        }
        match header {
            Ok(header) => Ok(Some(SegmentFile { path, file, header, number })),
            // One of several files: the error names it.
            Err(fault) if rotated => Err(refused(&path, HeaderError::Corrupt(fault.to_string()))),
            Err(fault) => Err(refused(&path, fault)),
        }
    }

    /// Plain segments do not state their numbers: they count back from the first segment that does, else from 1.
    fn first_of_plain(&mut self, index: usize) -> Result<u64> {
        let mut records = 0;
        for index in index..=self.rotated.len() {
            let Some(file) = self.open(index)? else { continue };
            if let Some(link) = file.header.link() {
                return Ok(link.first.saturating_sub(records).max(1));
            }
            let scanned = scan_to_end(&file.file).map_err(MiniStoreError::file(&file.path, "read"))?;
            records += scanned.map_or(0, |scanned| scanned.records);
        }
        Ok(1)
    }
}

/// Whether nothing but the beginning of a header stands there. One that begins like a plain one may go on: that is whole
/// with its LF.
fn is_begun(file: &dyn FileHandle, header: Option<Header>) -> io::Result<bool> {
    let len = file.len()?;
    match header {
        Some(Header::Plain) => Ok(last_newline_before(file, 0, len.min(HEADER_BYTES_MAX))?.is_none()),
        Some(Header::Sealed(_)) => Ok(false),
        None => Ok(len == 0 || (len < MAGIC.len() as u64 && has_magic(file)?)),
    }
}

impl SegmentFile {
    /// Reads its header. What it begins with it states itself, or `first_seq` does.
    fn open(self, first_seq: Option<u64>) -> Result<Option<LiveSegment>> {
        let opened = Scanner::open(Arc::clone(&self.file), ScanMode::VerifyOnly)
            .map_err(MiniStoreError::file(&self.path, "read"))?;
        let scanner = opened.map_err(|fault| refused(&self.path, fault))?;
        let stated = scanner.header().link().map(|link| link.first);
        let first_seq = stated.or(first_seq).unwrap_or(1);
        let start = (scanner.header(), scanner.position());
        Ok(Some(LiveSegment::new(self.path.into(), self.file, start, self.number, first_seq)))
    }

    fn damage(&self, reason: &str) -> MiniStoreError {
        refused(&self.path, HeaderError::Corrupt(reason.into()))
    }
}

fn refused(path: &Path, fault: HeaderError) -> MiniStoreError {
    match fault {
        HeaderError::BadMagic => MiniStoreError::MissingInitialState,
        HeaderError::Corrupt(reason) => {
            MiniStoreError::Corrupt { segment: path.into(), offset: 0, line: 1, seq: None, reason }
        }
    }
}
