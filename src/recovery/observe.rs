//! What is there. Reads only.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    decide::{ActiveState, ArchivedState, Culprit, NextState, States, Step},
    newest::Newest,
    numbering::{Continuation, Uncounted, continuation_of},
    scanned::{Scanned, check_plain_lines},
    seen::Seen,
};
use crate::{
    MiniStoreError, Result,
    device::{Disk, DiskFile, Open},
    format::{HeaderFault, Link, PADDING, header},
    names::{NUMBER_MAX, Names},
    ownership::{Place, check_companions, check_left_out, follows},
    planted::{Bug, planted},
    scan::{End, LineReader, Tail, begins_as_a_journal},
};

/// A header lies in it, whole.
const FIRST_SECTOR_BYTES: usize = 512;

/// The files of a journal, as found.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(super) active: Option<Active>,
    /// Oldest first.
    pub(super) archived: Vec<(u64, PathBuf)>,
    newest: Newest,
    /// What follows the archived segments, where the active one does not say so. Known before anything is changed:
    /// what cannot be numbered is refused.
    continuation: std::result::Result<Continuation, Uncounted>,
    next: NextState,
    next_path: PathBuf,
    /// Names that a file has besides its new one, where a rename by links was cut off.
    old_names: Vec<PathBuf>,
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
    Unusable(HeaderFault),
    Scanned(Scanned),
}

impl Journal {
    /// Looks at everything; at what an earlier look has verified, from its last groups on.
    pub(crate) fn observe(disk: &dyn Disk, names: &Names, seen: &mut Seen) -> Result<Self> {
        let listed = tracing::debug_span!("list").in_scope(|| disk.list(names.dir()));
        let listed = listed.map_err(MiniStoreError::file(names.dir(), "list the directory"))?;
        let has = |path: PathBuf| {
            let wanted = path.file_name();
            listed.iter().any(|name: &OsString| wanted == Some(name))
        };
        check_companions(names, &listed)?;
        let archived = names.archived_in(&listed);
        let newest = archived.last().map(|(_, path)| path.as_path());
        let old_names = old_names(disk, names, newest).map_err(MiniStoreError::file(names.dir(), "stat"))?;
        let is_there = |path: PathBuf| has(path.clone()) && !old_names.contains(&path);
        let active =
            if is_there(names.active()) { Some(Active::observe(disk, names.active(), seen)?) } else { None };
        check_oldest(disk, names, &listed, &archived, active.as_ref())?;
        let successor = active.as_ref().and_then(Active::link);
        let newest = match archived.last() {
            Some((number, _)) if *number > NUMBER_MAX => {
                Newest::damaged("no number is left for the segments that are to follow it")
            }
            Some((_, path)) => {
                Newest::observe(disk, path, successor, seen).map_err(MiniStoreError::file(path, "read"))?
            }
            None => Newest::Absent,
        };
        let newest = match &archived[..] {
            // No active segment says that the newest one is part of the journal.
            [.., (_, before), (_, path)] if successor.is_none() && !continues(disk, before, path)? => {
                Newest::damaged(
                    "it does not continue the segment before it: a segment is missing or is not of this journal",
                )
            }
            _ => newest,
        };
        let next = if is_there(names.next()) {
            observe_next(disk, names, &newest, seen).map_err(MiniStoreError::file(names.next(), "read"))?
        } else {
            NextState::Absent
        };
        let open = |path: &PathBuf| disk.open(path, Open::Read);
        let continuation = match successor {
            Some(link) => Ok(Continuation { next_seq: link.first, last_seal: Some(link.prev) }),
            None => continuation_of(&archived, open, seen)?,
        };
        Ok(Self { active, archived, newest, continuation, next, next_path: names.next(), old_names })
    }

    pub(crate) fn states(&self) -> States {
        let active = match &self.active {
            None => ActiveState::Absent,
            Some(active) => active.state(),
        };
        let archived = match &self.newest {
            _ if self.continuation.is_err() => ArchivedState::Damaged,
            Newest::Absent => ArchivedState::Absent,
            Newest::Closed { .. } => ArchivedState::Closed,
            Newest::Unfinished { .. } => ArchivedState::Unfinished,
            Newest::Damaged { .. } => ArchivedState::Damaged,
        };
        States { active, archived, next: self.next }
    }

    pub(super) fn newest_archived(&self) -> Option<&Path> {
        self.archived.last().map(|(_, path)| path.as_path())
    }

    pub(super) fn old_names(&self) -> &[PathBuf] {
        &self.old_names
    }

    /// The newest archived segment, where it was left unfinished.
    pub(super) fn unfinished(&self) -> Option<(&PathBuf, &Scanned)> {
        match (&self.newest, self.archived.last()) {
            (Newest::Unfinished { scanned }, Some((_, path))) => Some((path, scanned)),
            _ => None,
        }
    }

    /// The file that a step mends.
    pub(crate) fn file_of(&self, step: Step) -> Option<PathBuf> {
        match step {
            Step::CutActive | Step::WriteHeader => self.active.as_ref().map(|active| active.path.clone()),
            Step::FinishArchived => self.unfinished().map(|(path, _)| path.clone()),
            // Once it has its name, what does not verify at its end is cut.
            Step::AdoptNext | Step::SetNextAside => Some(self.next_path.clone()),
            _ => None,
        }
    }

    /// How the active segment continues the archived ones.
    pub(super) fn link(&self) -> Result<Link> {
        match &self.continuation {
            Ok(Continuation { next_seq, last_seal }) => {
                Ok(Link { first: *next_seq, prev: last_seal.unwrap_or(0) })
            }
            Err(_) => Err(self.refusal(Culprit::Archived)),
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
                Content::Unusable(HeaderFault::NotAJournal) => MiniStoreError::MissingInitialState,
                Content::Unusable(HeaderFault::Damaged(reason)) => {
                    corrupt(active.path.clone(), None, None, reason.clone())
                }
                Content::Scanned(Scanned { header, records, end: End { tail: Some(tail), .. }, .. }) => {
                    let seq = header.link().map(|link| link.first + records);
                    corrupt(active.path.clone(), Some(tail), seq, tail.reason.into())
                }
                _ => corrupt(active.path.clone(), None, None, "it cannot be read".into()),
            },
            (Culprit::Archived, _, Newest::Damaged { tail, reason }) => {
                let path = self.archived.last().map(|(_, path)| path.clone()).unwrap_or_default();
                corrupt(path, tail.as_ref(), None, reason.clone())
            }
            (Culprit::Archived, ..) => match &self.continuation {
                Err(Uncounted { segment, offset, line, reason }) => MiniStoreError::Corrupt {
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
    fn observe(disk: &dyn Disk, path: PathBuf, seen: &mut Seen) -> Result<Self> {
        let file = disk.open(&path, Open::Existing).map_err(MiniStoreError::file(&path, "open"))?;
        let content = Content::observe(&path, &*file, seen).map_err(MiniStoreError::file(&path, "read"))?;
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
    fn observe(path: &Path, file: &dyn DiskFile, seen: &mut Seen) -> io::Result<Self> {
        if file.len()? == 0 {
            return Ok(Self::Blank);
        }
        match seen.scan(path, file)? {
            Ok(mut scanned) => {
                if !scanned.is_sealed() {
                    check_plain_lines(file, &mut scanned.records, &mut scanned.end)?;
                }
                Ok(Self::Scanned(scanned))
            }
            Err(_) if is_blank(file)? => Ok(Self::Blank),
            Err(fault) => Ok(Self::Unusable(fault)),
        }
    }
}

/// Returns the names that a rename by links would have removed next: the file has its new name already.
fn old_names(disk: &dyn Disk, names: &Names, newest: Option<&Path>) -> io::Result<Vec<PathBuf>> {
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
fn continues(disk: &dyn Disk, before: &Path, path: &Path) -> Result<bool> {
    let compare =
        || Ok(follows(&*disk.open(before, Open::Read)?, &*disk.open(path, Open::Read)?)? != Place::Elsewhere);
    compare().map_err(MiniStoreError::file(path, "compare with the segment before it"))
}

fn check_oldest(
    disk: &dyn Disk,
    names: &Names,
    listed: &[OsString],
    archived: &[(u64, PathBuf)],
    active: Option<&Active>,
) -> Result<()> {
    if names.foreign_in(listed).is_empty() {
        return Ok(());
    }
    match (archived.first(), active) {
        (Some((number, path)), _) => {
            let file = disk.open(path, Open::Read).map_err(MiniStoreError::file(path, "open"))?;
            check_left_out(disk, names, listed, Some(&*file), *number)
        }
        (None, Some(active)) => check_left_out(disk, names, listed, Some(&*active.file), u64::MAX),
        (None, None) => Ok(()),
    }
}

/// Whether there is nothing in it but padding, or a header that was cut off.
fn is_blank(file: &dyn DiskFile) -> io::Result<bool> {
    let _span = tracing::debug_span!("scan").entered();
    let mut first = [0];
    if file.read_at(&mut first, 0)? > 0 && first[0] != PADDING && !begins_as_a_journal(file)? {
        return Ok(false);
    }
    let mut lines = LineReader::new(file, 0);
    let blank = lines.next()?.is_none_or(|line| {
        !line.terminated && (line.bytes.trim_ascii().is_empty() || header::is_torn_header(line.bytes))
    });
    Ok(blank)
}

fn observe_next(disk: &dyn Disk, names: &Names, newest: &Newest, seen: &mut Seen) -> io::Result<NextState> {
    let file = disk.open(&names.next(), Open::Existing)?;
    if is_blank(&*file)? || is_unwritten(&*file)? {
        return Ok(NextState::Blank);
    }
    let Content::Scanned(scanned) = Content::observe(&names.next(), &*file, seen)? else {
        return Ok(NextState::Foreign);
    };
    // The oldest segments may be gone, all of them, too.
    let fits = matches!(newest, Newest::Absent)
        || scanned.header.link().is_none_or(|link| link.prev == newest.last_seal().unwrap_or(0));
    let fits = fits || planted(Bug::NextUnchecked);
    // Nothing in it was acknowledged under this name: what is damaged did not come from a rotation.
    let damaged = scanned.end.tail.is_some_and(|tail| tail.damaged);
    Ok(if fits && !damaged { NextState::Continues } else { NextState::Foreign })
}

/// Whether it is what a power cut leaves of padding, or of a header that was never synced: its size may be durable before
/// its bytes are, and the file system fills in zeros. Only of a prepared file: the active name is given to durable
/// bytes alone.
fn is_unwritten(file: &dyn DiskFile) -> io::Result<bool> {
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
