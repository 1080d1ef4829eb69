//! The segments of a journal that is being written, one after another, from a record on.
//!
//! Holds the file that it reads open, whatever becomes of its name. Where that ends it looks for the segment that continues
//! it: the one that begins with the record to come and names the last seal that was read.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::{Snapshot, feed::Place},
    durable::Durable,
    growing::Growing,
};
use crate::{
    MiniStoreError, Result,
    device::{Disk, DiskFile, Open},
    format::{Header, HeaderFault, header::MAGIC},
    names::Names,
    recovery::scan_to_end,
    scan::{Block, Collect, Scanner, before_last_lf, begins_as_a_journal, read_header},
    sync::thread,
};

/// So many looks may miss a record that must be there: a rotation may be under way at each.
const MISSES_MAX: u32 = 100;

/// No header is longer.
const HEADER_BYTES_MAX: u64 = 4096;

/// A journal, and how far it was read.
#[derive(Debug)]
pub(super) struct Journal {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// The record to begin with; 0 for the oldest that is there.
    from_seq: u64,
    current: Option<Growing>,
    /// Looks in a row that missed what must be there.
    misses: u32,
    /// Names in the directory may have changed since it was looked at.
    names_changed: bool,
}

/// A file of the journal.
#[derive(Debug)]
struct File {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    header: Header,
    number: u64,
}

impl Journal {
    pub(super) fn new(disk: Arc<dyn Disk>, path: &Path, from_seq: u64) -> Self {
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
    pub(super) fn fill(&mut self, block: &mut Block, durable: &Durable) -> Result<Option<Place>> {
        while self.next_seq() <= durable.up_to() {
            if let Some(current) = &mut self.current
                && let Some(place) = current.fill(block, durable)?
            {
                self.misses = 0;
                if current.next_seq > self.from_seq {
                    return Ok(Some(place));
                }
                block.clear();
                continue;
            }
            // A segment without records may still get another header.
            let settled = self.current.as_ref().is_some_and(Growing::holds_records);
            if settled && !self.names_changed && !durable.is_bounded() {
                return Ok(None);
            }
            self.names_changed = false;
            let turned = self.turn()?;
            // There may be more segments to go to.
            self.names_changed |= turned;
            if !durable.is_bounded() && (!turned || self.misses == MISSES_MAX) {
                self.misses = 0;
                return Ok(None);
            }
            self.missed()?;
        }
        Ok(None)
    }

    /// Looks for the segment to go on with. `false` where there is none, or no other, yet.
    fn turn(&mut self) -> Result<bool> {
        let names = Names::resolve(&*self.disk, &self.path)?;
        let Snapshot { archived, active } = Snapshot::take(&*self.disk, &names)?;
        let newest = archived.last().map_or(0, |(number, _)| *number);
        let mut listing = Listing { disk: Arc::clone(&self.disk), archived, active, newest };
        match self.current.take() {
            None => {
                self.current = listing.begin(&self.path, self.from_seq)?;
                Ok(self.current.is_some())
            }
            Some(current) => self.go_on(current, &mut listing),
        }
    }

    fn go_on(&mut self, mut current: Growing, listing: &mut Listing) -> Result<bool> {
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
                let replaced = current.file.named_len().map_err(|error| current.read_error(error))?.is_none();
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
            Some(link) if link.first > next_seq => self.overtaken(current, listing),
            // Another journal in its place.
            Some(_) => {
                self.from_seq = self.from_seq.max(next_seq);
                Ok(true)
            }
        }
    }

    /// Goes on with a plain segment, once all of the one before it was read.
    fn finish(&mut self, mut current: Growing, found: File, next_seq: u64) -> Result<bool> {
        if !current.complete {
            current.complete = true;
            self.current = Some(current);
            return Ok(true);
        }
        self.current = found.open(Some(next_seq))?;
        Ok(true)
    }

    /// The journal has gone on elsewhere: what is left of this segment is read first.
    fn overtaken(&mut self, mut current: Growing, listing: &mut Listing) -> Result<bool> {
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
    fn missed(&mut self) -> Result<()> {
        self.misses += 1;
        if self.misses < MISSES_MAX {
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
struct Listing {
    disk: Arc<dyn Disk>,
    /// Oldest first.
    archived: Vec<(u64, PathBuf)>,
    active: Option<(PathBuf, Arc<dyn DiskFile>)>,
    newest: u64,
}

impl Listing {
    /// The segment that holds `from_seq`, or will; 0 stands for the oldest record.
    fn begin(&mut self, path: &Path, from_seq: u64) -> Result<Option<Growing>> {
        if from_seq > 0 {
            for index in (0..=self.archived.len()).rev() {
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
    fn after(&mut self, number: u64) -> Result<(Option<File>, bool)> {
        // Rotation skips the numbers of files that are not the journal's.
        let next = self.archived.iter().position(|(other, _)| *other > number);
        let follows = next.is_some() || self.newest == number;
        Ok((self.open(next.unwrap_or(self.archived.len()))?, follows))
    }

    fn oldest(&mut self) -> Result<Option<(usize, File)>> {
        for index in 0..=self.archived.len() {
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
    fn beginning_with(&mut self, seq: u64) -> Result<Option<File>> {
        for index in (0..=self.archived.len()).rev() {
            let found = self.open(index)?;
            if let Some(file) = found.filter(|file| file.header.link().is_some_and(|link| link.first == seq))
            {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    /// Opens one of the files; `None` where it is gone, or has no header yet.
    fn open(&mut self, index: usize) -> Result<Option<File>> {
        let (path, file, number, archived) = match self.archived.get(index) {
            Some((number, path)) => match self.disk.open(path, Open::Read) {
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
        if !archived && is_begun(&*file, header.as_ref().ok().copied()).map_err(failed)? {
            return Ok(None);
        }
        match header {
            Ok(header) => Ok(Some(File { path, file, header, number })),
            // One of several files: the error names it.
            Err(fault) if archived => Err(refused(&path, HeaderFault::Damaged(fault.to_string()))),
            Err(fault) => Err(refused(&path, fault)),
        }
    }

    /// Plain segments do not state their numbers: they count back from the first segment that does, else from 1.
    fn first_of_plain(&mut self, index: usize) -> Result<u64> {
        let mut records = 0;
        for index in index..=self.archived.len() {
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
fn is_begun(file: &dyn DiskFile, header: Option<Header>) -> io::Result<bool> {
    let len = file.len()?;
    match header {
        Some(Header::Plain) => Ok(before_last_lf(file, 0, len.min(HEADER_BYTES_MAX))?.is_none()),
        Some(Header::Sealed(_)) => Ok(false),
        None => Ok(len == 0 || (len < MAGIC.len() as u64 && begins_as_a_journal(file)?)),
    }
}

impl File {
    /// Reads its header. What it begins with it states itself, or `first_seq` does.
    fn open(self, first_seq: Option<u64>) -> Result<Option<Growing>> {
        let opened = Scanner::open(Arc::clone(&self.file), Collect::Nothing)
            .map_err(MiniStoreError::file(&self.path, "read"))?;
        let scanner = opened.map_err(|fault| refused(&self.path, fault))?;
        let stated = scanner.header().link().map(|link| link.first);
        let first_seq = stated.or(first_seq).unwrap_or(1);
        let start = (scanner.header(), scanner.place());
        Ok(Some(Growing::new(self.path.into(), self.file, start, self.number, first_seq)))
    }

    fn damage(&self, reason: &str) -> MiniStoreError {
        refused(&self.path, HeaderFault::Damaged(reason.into()))
    }
}

fn refused(path: &Path, fault: HeaderFault) -> MiniStoreError {
    match fault {
        HeaderFault::NotAJournal => MiniStoreError::MissingInitialState,
        HeaderFault::Damaged(reason) => {
            MiniStoreError::Corrupt { segment: path.into(), offset: 0, line: 1, seq: None, reason }
        }
    }
}
