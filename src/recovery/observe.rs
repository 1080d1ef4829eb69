//! What is there. Reads only.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::de::IgnoredAny;

use super::decide::{ActiveState, ArchivedState, Culprit, NextState, States};
use crate::{
    MiniStoreError, Result,
    device::{Disk, DiskFile, Open},
    format::{CLOSED_MARK, Header, HeaderFault, LF, Link, SEAL_LEN, header, seal},
    names::Names,
    scan::{Block, Collect, End, LineReader, ReadAt, Scanner, Step, Tail},
};

/// The files of a journal, as found.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(super) active: Option<Active>,
    /// Oldest first.
    pub(super) archived: Vec<(u64, PathBuf)>,
    newest: Newest,
    next: NextState,
    next_path: PathBuf,
}

/// The active file.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Blank,
    /// The reason why it cannot be used.
    Unusable(Unusable),
    Scanned(Scanned),
}

#[derive(Debug)]
pub(super) enum Unusable {
    NotAJournal,
    Damaged(String),
}

/// A segment, read to its end.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) header: Header,
    /// Records that verify.
    pub(crate) records: u64,
    pub(crate) end: End,
}

/// The newest archived segment, as far as it had to be read.
#[derive(Debug)]
enum Newest {
    Absent,
    Closed { last_seal: Option<u32> },
    Unfinished { scanned: Scanned },
    Damaged { tail: Option<Tail>, reason: String },
}

impl Journal {
    pub(crate) fn observe(disk: &dyn Disk, names: &Names) -> Result<Self> {
        let listed =
            disk.list(names.dir()).map_err(MiniStoreError::file(names.dir(), "list the directory"))?;
        let has = |path: PathBuf| listed.iter().any(|name: &OsString| path.file_name() == Some(name));
        let archived = names.archived_in(&listed);
        let active = if has(names.active()) { Some(Active::observe(disk, names.active())?) } else { None };
        let successor = active.as_ref().and_then(Active::link);
        let newest = match archived.last() {
            Some((_, path)) => {
                Newest::observe(disk, path, successor).map_err(MiniStoreError::file(path, "read"))?
            }
            None => Newest::Absent,
        };
        let next = if has(names.next()) {
            observe_next(disk, names, &newest).map_err(MiniStoreError::file(names.next(), "read"))?
        } else {
            NextState::Absent
        };
        Ok(Self { active, archived, newest, next, next_path: names.next() })
    }

    pub(crate) fn states(&self) -> States {
        let active = match &self.active {
            None => ActiveState::Absent,
            Some(active) => active.state(),
        };
        let archived = match &self.newest {
            Newest::Absent => ArchivedState::Absent,
            Newest::Closed { .. } => ArchivedState::Closed,
            Newest::Unfinished { .. } => ArchivedState::Unfinished,
            Newest::Damaged { .. } => ArchivedState::Damaged,
        };
        States { active, archived, next: self.next }
    }

    /// The newest archived segment, where it was left unfinished.
    pub(super) fn unfinished(&self) -> Option<(&PathBuf, &Scanned)> {
        match (&self.newest, self.archived.last()) {
            (Newest::Unfinished { scanned }, Some((_, path))) => Some((path, scanned)),
            _ => None,
        }
    }

    /// What does not verify at the end of the active segment.
    pub(crate) fn active_tail(&self) -> Option<&Tail> {
        match &self.active.as_ref()?.content {
            Content::Scanned(scanned) => scanned.end.tail.as_ref(),
            Content::Blank | Content::Unusable(_) => None,
        }
    }

    /// The error that names what is damaged.
    pub(crate) fn refusal(&self, culprit: Culprit) -> MiniStoreError {
        let corrupt = |segment: PathBuf, tail: Option<&Tail>, seq, reason: String| MiniStoreError::Corrupt {
            segment,
            offset: tail.map_or(0, |tail| tail.offset),
            line: tail.map_or(1, |tail| tail.line),
            seq,
            reason,
        };
        match (culprit, &self.active, &self.newest) {
            (Culprit::Active, Some(active), _) => match &active.content {
                Content::Unusable(Unusable::NotAJournal) => MiniStoreError::MissingInitialState,
                Content::Unusable(Unusable::Damaged(reason)) => {
                    corrupt(active.path.clone(), None, None, reason.clone())
                }
                Content::Scanned(Scanned { header, records, end: End { tail: Some(tail), .. } }) => {
                    let seq = header.link().map(|link| link.first + records);
                    corrupt(active.path.clone(), Some(tail), seq, tail.reason.into())
                }
                _ => corrupt(active.path.clone(), None, None, "it cannot be read".into()),
            },
            (Culprit::Archived, _, Newest::Damaged { tail, reason }) => {
                let path = self.archived.last().map(|(_, path)| path.clone()).unwrap_or_default();
                corrupt(path, tail.as_ref(), None, reason.clone())
            }
            _ => corrupt(
                self.next_path.clone(),
                None,
                None,
                "it holds records that do not continue the journal".into(),
            ),
        }
    }
}

impl Active {
    fn observe(disk: &dyn Disk, path: PathBuf) -> Result<Self> {
        let file = disk.open(&path, Open::Existing).map_err(MiniStoreError::file(&path, "open"))?;
        let content = Content::observe(&*file).map_err(MiniStoreError::file(&path, "read"))?;
        Ok(Self { path, file, content })
    }

    fn link(&self) -> Option<Link> {
        match &self.content {
            Content::Scanned(scanned) => scanned.header.link(),
            _ => None,
        }
    }

    fn state(&self) -> ActiveState {
        match &self.content {
            Content::Blank => ActiveState::Blank,
            Content::Unusable(_) => ActiveState::Unusable,
            Content::Scanned(Scanned { end: End { tail: None, .. }, .. }) => ActiveState::Clean,
            Content::Scanned(Scanned { end: End { tail: Some(tail), .. }, .. }) => {
                if tail.damaged {
                    ActiveState::Damaged
                } else {
                    ActiveState::Torn
                }
            }
        }
    }
}

impl Content {
    fn observe(file: &dyn DiskFile) -> io::Result<Self> {
        if file.len()? == 0 {
            return Ok(Self::Blank);
        }
        match scan_to_end(file)? {
            Ok(mut scanned) => {
                if scanned.header == Header::Plain && scanned.end.last_seal.is_none() {
                    check_plain_lines(file, &mut scanned.records, &mut scanned.end)?;
                }
                Ok(Self::Scanned(scanned))
            }
            Err(_) if is_blank(file)? => Ok(Self::Blank),
            Err(HeaderFault::NotAJournal) => Ok(Self::Unusable(Unusable::NotAJournal)),
            Err(HeaderFault::Damaged(reason)) => Ok(Self::Unusable(Unusable::Damaged(reason))),
        }
    }
}

impl Newest {
    /// `successor` is what the active segment's header says of this one.
    fn observe(disk: &dyn Disk, path: &Path, successor: Option<Link>) -> io::Result<Self> {
        let file = disk.open(path, Open::Existing)?;
        let closed = |last_seal: Option<u32>| match successor {
            Some(link) if last_seal.is_some_and(|seal| seal != link.prev) => Self::unlinked(),
            _ => Self::Closed { last_seal },
        };
        if let Some(seal) = closing_seal(&*file)? {
            return Ok(closed(Some(seal)));
        }
        if ends_plainly(&*file)? && successor.is_some() {
            return Ok(closed(None));
        }
        let scanned = match scan_to_end(&*file)? {
            Ok(scanned) => scanned,
            Err(HeaderFault::NotAJournal) => return Ok(Self::damaged("it does not begin as a journal does")),
            Err(HeaderFault::Damaged(reason)) => return Ok(Self::damaged(&reason)),
        };
        let End { last_seal, ref tail, terminated, data_end, file_end, marked, .. } = scanned.end;
        if let Some(tail) = tail.as_ref().filter(|tail| tail.damaged) {
            return Ok(Self::Damaged { reason: tail.reason.into(), tail: Some(tail.clone()) });
        }
        if successor.is_some_and(|link| last_seal.unwrap_or(0) != link.prev) {
            return Ok(Self::unlinked());
        }
        let whole = tail.is_none() && terminated && file_end <= data_end + 2;
        if whole && (marked || scanned.header == Header::Plain) {
            return Ok(Self::Closed { last_seal });
        }
        Ok(Self::Unfinished { scanned })
    }

    fn damaged(reason: &str) -> Self {
        Self::Damaged { tail: None, reason: reason.into() }
    }

    fn unlinked() -> Self {
        Self::damaged(
            "the active segment does not continue it: a segment is missing or is not of this journal",
        )
    }

    fn last_seal(&self) -> Option<u32> {
        match self {
            Self::Closed { last_seal } => *last_seal,
            Self::Unfinished { scanned } => scanned.end.last_seal,
            Self::Absent | Self::Damaged { .. } => None,
        }
    }
}

/// Reads a segment to its end, collecting nothing.
pub(crate) fn scan_to_end(
    source: &(impl ReadAt + ?Sized),
) -> io::Result<std::result::Result<Scanned, HeaderFault>> {
    let mut scanner = match Scanner::open(source, Collect::Nothing)? {
        Ok(scanner) => scanner,
        Err(fault) => return Ok(Err(fault)),
    };
    let mut block = Block::default();
    let mut records = 0;
    loop {
        match scanner.next(&mut block)? {
            Step::Group(group) => records += group.records,
            Step::End(end) => return Ok(Ok(Scanned { header: scanner.header(), records, end })),
        }
    }
}

/// Lines without a seal can only be checked for being JSON. From the first that is not, the same rule holds as
/// for groups: if a good line follows, it is damage. Shortens the segment to the lines before it.
pub(crate) fn check_plain_lines(
    source: &(impl ReadAt + ?Sized),
    records: &mut u64,
    end: &mut End,
) -> io::Result<()> {
    let text_end = end.tail.as_ref().map_or(end.data_end, |tail| tail.offset + tail.bytes);
    let mut lines = LineReader::with_limit(source, 0, end.data_end);
    let mut number = 0;
    let mut fault: Option<Tail> = None;
    let mut good_end = 0;
    while let Some(line) = lines.next()? {
        number += 1;
        let good = number == 1 || serde_json::from_slice::<IgnoredAny>(line.bytes).is_ok();
        match &mut fault {
            Some(fault) => fault.damaged |= good,
            None if good => good_end = line.offset + line.bytes.trim_ascii_end().len() as u64,
            None => {
                *records = number - 2;
                fault = Some(Tail {
                    offset: good_end,
                    line: number,
                    bytes: text_end - good_end,
                    damaged: false,
                    reason: "a line is not JSON",
                });
            }
        }
    }
    if fault.is_some() {
        end.data_end = good_end;
        end.tail = fault;
    }
    Ok(())
}

/// The seal of a file that ends as a closed one does.
fn closing_seal(file: &dyn DiskFile) -> io::Result<Option<u32>> {
    let mut closing = [0; SEAL_LEN + 2];
    let Some(offset) = file.len()?.checked_sub(closing.len() as u64) else { return Ok(None) };
    if file.read_at(&mut closing, offset)? != closing.len() || !closing.ends_with(&[CLOSED_MARK, LF]) {
        return Ok(None);
    }
    Ok(seal::decode(&closing))
}

/// Whether it is plain and ends in LF, as the original leaves it.
fn ends_plainly(file: &dyn DiskFile) -> io::Result<bool> {
    let mut last = [0];
    let Some(offset) = file.len()?.checked_sub(1) else { return Ok(false) };
    file.read_at(&mut last, offset)?;
    let mut lines = LineReader::new(file, 0);
    let plain = lines.next()?.is_some_and(|line| Header::parse(line.bytes) == Ok(Header::Plain));
    Ok(plain && last == [LF])
}

/// Whether there is nothing in it but padding, or a header that was cut off.
fn is_blank(file: &dyn DiskFile) -> io::Result<bool> {
    let mut lines = LineReader::new(file, 0);
    let blank = lines.next()?.is_none_or(|line| {
        !line.terminated && (line.bytes.trim_ascii().is_empty() || header::is_torn_header(line.bytes))
    });
    Ok(blank)
}

fn observe_next(disk: &dyn Disk, names: &Names, newest: &Newest) -> io::Result<NextState> {
    let file = disk.open(&names.next(), Open::Existing)?;
    if is_blank(&*file)? {
        return Ok(NextState::Blank);
    }
    let mut lines = LineReader::new(&*file, 0);
    let header = lines.next()?.map(|line| Header::parse(line.bytes));
    Ok(match header {
        Some(Ok(Header::Plain)) => NextState::Continues,
        Some(Ok(Header::Sealed(link))) if link.prev == newest.last_seal().unwrap_or(0) => {
            NextState::Continues
        }
        _ => NextState::Foreign,
    })
}
