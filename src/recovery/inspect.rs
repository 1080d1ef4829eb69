//! What is there. Reads only.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    decide::{ActiveState, DamagedFile, JournalStates, NextState, RotatedState, Step},
    last_rotated::LastRotated,
    numbering::{CountError, NextPosition, next_position},
    scan_cache::ScanCache,
};
use crate::{
    MiniStoreError, Result,
    format::scan::{LineReader, SegmentEnd, Tail, has_magic},
    format::{ChainLink, HeaderError, PADDING, header},
    io::{FileHandle, FileSystem, OpenMode},
    journal::file_names::{FileNames, NUMBER_MAX},
    journal::ownership::{Place, check_companions, check_left_out, follows},
    journal::segment_summary::{SegmentSummary, check_plain_lines},
    seeded_bugs::{Bug, seeded},
};

/// A header lies in it, whole.
const FIRST_SECTOR_BYTES: usize = 512;

/// The files of a journal, as found.
#[derive(Debug)]
pub(crate) struct JournalState {
    pub(super) active: Option<Active>,
    /// Oldest first.
    pub(super) rotated: Vec<(u64, PathBuf)>,
    newest: LastRotated,
    /// What follows the archived segments, where the active one does not say so. Known before anything is changed:
    /// what cannot be numbered is refused.
    next_position: std::result::Result<NextPosition, CountError>,
    next: NextState,
    next_path: PathBuf,
    /// Names that a file has besides its new one, where a rename by links was cut off.
    old_names: Vec<PathBuf>,
}

/// The active file.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn FileHandle>,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Empty,
    Invalid(HeaderError),
    SegmentSummary(SegmentSummary),
}

impl JournalState {
    /// Looks at everything; at what an earlier look has verified, from its last groups on.
    pub(crate) fn inspect(disk: &dyn FileSystem, names: &FileNames, cache: &mut ScanCache) -> Result<Self> {
        let listed = tracing::debug_span!("list").in_scope(|| disk.list(names.dir()));
        let listed = listed.map_err(MiniStoreError::file(names.dir(), "list the directory"))?;
        let has = |path: PathBuf| {
            let wanted = path.file_name();
            listed.iter().any(|name: &OsString| wanted == Some(name))
        };
        check_companions(names, &listed)?;
        let rotated = names.rotated_in(&listed);
        let newest = rotated.last().map(|(_, path)| path.as_path());
        let old_names = old_names(disk, names, newest).map_err(MiniStoreError::file(names.dir(), "stat"))?;
        let is_there = |path: PathBuf| has(path.clone()) && !old_names.contains(&path);
        let active =
            if is_there(names.active()) { Some(Active::inspect(disk, names.active(), cache)?) } else { None };
        check_oldest(disk, names, &listed, &rotated, active.as_ref())?;
        let successor = active.as_ref().and_then(Active::link);
        let newest = match rotated.last() {
            Some((number, _)) if *number > NUMBER_MAX => {
                LastRotated::damaged("no number is left for the segments that are to follow it")
            }
            Some((_, path)) => LastRotated::inspect(disk, path, successor, cache)
                .map_err(MiniStoreError::file(path, "read"))?,
            None => LastRotated::Absent,
        };
        let newest = match &rotated[..] {
            // No active segment says that the newest one is part of the journal.
            [.., (_, before), (_, path)] if successor.is_none() && !continues(disk, before, path)? => {
                LastRotated::damaged(
                    "it does not continue the segment before it: a segment is missing or is not of this journal",
                )
            }
            _ => newest,
        };
        let next = if is_there(names.next()) {
            observe_next(disk, names, &newest, cache).map_err(MiniStoreError::file(names.next(), "read"))?
        } else {
            NextState::Absent
        };
        let open = |path: &PathBuf| disk.open(path, OpenMode::ReadOnly);
        let next_position = match successor {
            Some(link) => Ok(NextPosition { next_seq: link.first, last_seal: Some(link.prev) }),
            None => next_position(&rotated, open, cache)?,
        };
        Ok(Self { active, rotated, newest, next_position, next, next_path: names.next(), old_names })
    }

    pub(crate) fn states(&self) -> JournalStates {
        let active = match &self.active {
            None => ActiveState::Absent,
            Some(active) => active.state(),
        };
        let rotated = match &self.newest {
            _ if self.next_position.is_err() => RotatedState::Corrupt,
            LastRotated::Absent => RotatedState::Absent,
            LastRotated::Closed { .. } => RotatedState::Closed,
            LastRotated::Unfinished { .. } => RotatedState::Unfinished,
            LastRotated::Corrupt { .. } => RotatedState::Corrupt,
        };
        JournalStates { active, rotated, next: self.next }
    }

    pub(super) fn newest_rotated(&self) -> Option<&Path> {
        self.rotated.last().map(|(_, path)| path.as_path())
    }

    pub(super) fn old_names(&self) -> &[PathBuf] {
        &self.old_names
    }

    /// The newest archived segment, where it was left unfinished.
    pub(super) fn unfinished(&self) -> Option<(&PathBuf, &SegmentSummary)> {
        match (&self.newest, self.rotated.last()) {
            (LastRotated::Unfinished { summary }, Some((_, path))) => Some((path, summary)),
            _ => None,
        }
    }

    /// The file that a step mends.
    pub(crate) fn file_of(&self, step: Step) -> Option<PathBuf> {
        match step {
            Step::TruncateActive | Step::WriteHeader => {
                self.active.as_ref().map(|active| active.path.clone())
            }
            Step::CloseRotated => self.unfinished().map(|(path, _)| path.clone()),
            // Once it has its name, what does not verify at its end is cut.
            Step::PromoteNext | Step::QuarantineNext => Some(self.next_path.clone()),
            _ => None,
        }
    }

    /// How the active segment continues the archived ones.
    pub(super) fn link(&self) -> Result<ChainLink> {
        match &self.next_position {
            Ok(NextPosition { next_seq, last_seal }) => {
                Ok(ChainLink { first: *next_seq, prev: last_seal.unwrap_or(0) })
            }
            Err(_) => Err(self.to_error(DamagedFile::Rotated)),
        }
    }

    /// What does not verify at the end of the active segment.
    pub(crate) fn active_tail(&self) -> Option<&Tail> {
        match &self.active.as_ref()?.content {
            Content::SegmentSummary(summary) => summary.end.tail.as_ref(),
            Content::Empty | Content::Invalid(_) => None,
        }
    }

    /// The error that names what is damaged.
    pub(crate) fn to_error(&self, culprit: DamagedFile) -> MiniStoreError {
        let corrupt = |segment: PathBuf, tail: Option<&Tail>, seq, reason: String| MiniStoreError::Corrupt {
            segment,
            offset: tail.map_or(0, |tail| tail.offset),
            line: tail.map_or(1, |tail| tail.line),
            seq,
            reason,
        };
        match (culprit, &self.active, &self.newest) {
            (DamagedFile::Active, Some(active), _) => match &active.content {
                Content::Invalid(HeaderError::BadMagic) => MiniStoreError::MissingInitialState,
                Content::Invalid(HeaderError::Corrupt(reason)) => {
                    corrupt(active.path.clone(), None, None, reason.clone())
                }
                Content::SegmentSummary(SegmentSummary {
                    header,
                    records,
                    end: SegmentEnd { tail: Some(tail), .. },
                    ..
                }) => {
                    let seq = header.link().map(|link| link.first + records);
                    corrupt(active.path.clone(), Some(tail), seq, tail.reason.into())
                }
                _ => corrupt(active.path.clone(), None, None, "it cannot be read".into()),
            },
            (DamagedFile::Rotated, _, LastRotated::Corrupt { tail, reason }) => {
                let path = self.rotated.last().map(|(_, path)| path.clone()).unwrap_or_default();
                corrupt(path, tail.as_ref(), None, reason.clone())
            }
            (DamagedFile::Rotated, ..) => match &self.next_position {
                Err(CountError { segment, offset, line, reason }) => MiniStoreError::Corrupt {
                    segment: segment.clone(),
                    offset: *offset,
                    line: *line,
                    seq: None,
                    reason: reason.clone(),
                },
                Ok(_) => corrupt(self.next_path.clone(), None, None, "it cannot be read".into()),
            },
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
    fn inspect(disk: &dyn FileSystem, path: PathBuf, cache: &mut ScanCache) -> Result<Self> {
        let file = disk.open(&path, OpenMode::ReadWrite).map_err(MiniStoreError::file(&path, "open"))?;
        let content = Content::inspect(&path, &*file, cache).map_err(MiniStoreError::file(&path, "read"))?;
        Ok(Self { path, file, content })
    }

    fn link(&self) -> Option<ChainLink> {
        match &self.content {
            Content::SegmentSummary(summary) => summary.header.link(),
            _ => None,
        }
    }

    fn state(&self) -> ActiveState {
        match &self.content {
            Content::Empty => ActiveState::Empty,
            Content::Invalid(_) => ActiveState::Invalid,
            Content::SegmentSummary(SegmentSummary { end: SegmentEnd { tail: None, .. }, .. }) => {
                ActiveState::Clean
            }
            Content::SegmentSummary(SegmentSummary { end: SegmentEnd { tail: Some(tail), .. }, .. }) => {
                if tail.is_corrupt {
                    ActiveState::Corrupt
                } else {
                    ActiveState::Torn
                }
            }
        }
    }
}

impl Content {
    fn inspect(path: &Path, file: &dyn FileHandle, cache: &mut ScanCache) -> io::Result<Self> {
        if file.len()? == 0 {
            return Ok(Self::Empty);
        }
        match cache.scan(path, file)? {
            Ok(mut summary) => {
                if !summary.is_sealed() {
                    check_plain_lines(file, &mut summary.records, &mut summary.end)?;
                }
                Ok(Self::SegmentSummary(summary))
            }
            Err(_) if is_blank(file)? => Ok(Self::Empty),
            Err(fault) => Ok(Self::Invalid(fault)),
        }
    }
}

/// Returns the names that a rename by links would have removed next: the file has its new name already.
fn old_names(disk: &dyn FileSystem, names: &FileNames, newest: Option<&Path>) -> io::Result<Vec<PathBuf>> {
    let renames =
        [(Some(names.active()), newest.map(Path::to_path_buf)), (Some(names.next()), Some(names.active()))];
    let mut found = Vec::new();
    for (from, to) in renames {
        let (Some(from), Some(to)) = (from, to) else { continue };
        if disk.id_at(&from)?.is_some_and(|id| disk.id_at(&to).is_ok_and(|other| other == Some(id))) {
            found.push(from);
        }
    }
    Ok(found)
}

/// Returns `false` where the second segment provably does not continue the first.
fn continues(disk: &dyn FileSystem, before: &Path, path: &Path) -> Result<bool> {
    let compare = || {
        Ok(follows(&*disk.open(before, OpenMode::ReadOnly)?, &*disk.open(path, OpenMode::ReadOnly)?)?
            != Place::Elsewhere)
    };
    compare().map_err(MiniStoreError::file(path, "compare with the segment before it"))
}

fn check_oldest(
    disk: &dyn FileSystem,
    names: &FileNames,
    listed: &[OsString],
    rotated: &[(u64, PathBuf)],
    active: Option<&Active>,
) -> Result<()> {
    if names.foreign_in(listed).is_empty() {
        return Ok(());
    }
    match (rotated.first(), active) {
        (Some((number, path)), _) => {
            let file = disk.open(path, OpenMode::ReadOnly).map_err(MiniStoreError::file(path, "open"))?;
            check_left_out(disk, names, listed, Some(&*file), *number)
        }
        (None, Some(active)) => check_left_out(disk, names, listed, Some(&*active.file), u64::MAX),
        (None, None) => Ok(()),
    }
}

/// Whether there is nothing in it but padding, or a header that was cut off.
fn is_blank(file: &dyn FileHandle) -> io::Result<bool> {
    let _span = tracing::debug_span!("scan").entered();
    let mut first = [0];
    if file.read_at(&mut first, 0)? > 0 && first[0] != PADDING && !has_magic(file)? {
        return Ok(false);
    }
    let mut lines = LineReader::new(file, 0);
    let blank = lines.next()?.is_none_or(|line| {
        !line.has_newline && (line.bytes.trim_ascii().is_empty() || header::is_torn_header(line.bytes))
    });
    Ok(blank)
}

fn observe_next(
    disk: &dyn FileSystem,
    names: &FileNames,
    newest: &LastRotated,
    cache: &mut ScanCache,
) -> io::Result<NextState> {
    let file = disk.open(&names.next(), OpenMode::ReadWrite)?;
    if is_blank(&*file)? || is_unwritten(&*file)? {
        return Ok(NextState::Empty);
    }
    let Content::SegmentSummary(summary) = Content::inspect(&names.next(), &*file, cache)? else {
        return Ok(NextState::Unexpected);
    };
    // The oldest segments may be gone, all of them, too.
    let fits = matches!(newest, LastRotated::Absent)
        || summary.header.link().is_none_or(|link| link.prev == newest.last_seal().unwrap_or(0));
    let fits = fits || seeded(Bug::NextSegmentUnchecked);
    // Nothing in it was acknowledged under this name: what is damaged did not come from a rotation.
    let damaged = summary.end.tail.is_some_and(|tail| tail.is_corrupt);
    Ok(if fits && !damaged { NextState::Valid } else { NextState::Unexpected })
}

/// Whether it is what a power cut leaves of padding, or of a header that was never synced: its size may be durable before
/// its bytes are, and the file system fills in zeros. Only of a prepared file: the active name is given to durable
/// bytes alone.
fn is_unwritten(file: &dyn FileHandle) -> io::Result<bool> {
    let mut buffer = vec![0; 64 << 10];
    let count = file.read_at(&mut buffer[..FIRST_SECTOR_BYTES], 0)?;
    let first_zero = buffer[..count].iter().position(|&byte| byte == 0);
    let mut offset = match first_zero {
        Some(end) if header::is_begun(&buffer[..end]) => end as u64,
        _ => 0,
    };
    loop {
        let count = file.read_at(&mut buffer, offset)?;
        if !buffer[..count].iter().all(|byte| matches!(byte, &PADDING | 0)) {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
        }
        offset += count as u64;
    }
}
