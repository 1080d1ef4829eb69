//! Inspects the files of a journal. Never writes.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use super::{
    active::{ActiveContent, ActiveFile},
    decide::{ActiveState, DamagedFile, JournalStates, NextState, RotatedState, Step},
    last_rotated::LastRotated,
    next::inspect_next,
    scan_cache::ScanCache,
};
use crate::{
    MiniStoreError, RecoveryPolicy, Result,
    format::scan::{SegmentEnd, Tail},
    format::{ChainLink, HeaderError, OPEN_SEQ_MAX},
    io::{FileSystem, OpenMode},
    journal::{
        adoption::check_adoption,
        chain::{ChainRelation, follows},
        file_names::{FileNames, NUMBER_MAX},
        legacy::{CountError, NextPosition, next_position},
        older_copy::{find_original, older_copy_reason},
        ownership::{check_companions, check_left_out},
        segment_summary::SegmentSummary,
    },
};

/// The files of a journal, as found.
#[derive(Debug)]
pub(crate) struct JournalState {
    pub(super) active: Option<ActiveFile>,
    /// Oldest first.
    pub(super) rotated: Vec<(u64, PathBuf)>,
    newest: LastRotated,
    /// The position after the rotated segments: from the link of the active segment, or counted. It is computed before any file is
    /// changed, because recovery fails if it is unknown.
    next_position: std::result::Result<NextPosition, CountError>,
    next: NextState,
    next_path: PathBuf,
    /// The rotated segment of which the file with the active name is an older copy. That file counts as absent.
    original_of_active: Option<PathBuf>,
    /// Old names of files that also have their new names: a rename by links was interrupted.
    old_names: Vec<PathBuf>,
}

impl JournalState {
    /// Inspects all files. A segment that an earlier inspection scanned is scanned from its last groups.
    pub(crate) fn inspect(fs: &dyn FileSystem, names: &FileNames, cache: &mut ScanCache) -> Result<Self> {
        let listed = tracing::debug_span!("list").in_scope(|| fs.list(names.dir()));
        let listed = listed.map_err(MiniStoreError::file(names.dir(), "list the directory"))?;
        let has = |path: PathBuf| {
            let wanted = path.file_name();
            listed.iter().any(|name: &OsString| wanted == Some(name))
        };
        check_companions(names, &listed)?;
        let rotated = names.rotated_in(&listed);
        let newest = rotated.last().map(|(_, path)| path.as_path());
        let old_names = old_names(fs, names, newest).map_err(MiniStoreError::file(names.dir(), "stat"))?;
        let exists = |path: PathBuf| has(path.clone()) && !old_names.contains(&path);
        let mut active =
            if exists(names.active()) { Some(ActiveFile::inspect(fs, names.active(), cache)?) } else { None };
        check_oldest(fs, names, &listed, &rotated, active.as_ref())?;
        check_adoption(fs, names, &listed, &rotated)?;
        let mut successor = active.as_ref().and_then(ActiveFile::link);
        let mut newest = match rotated.last() {
            Some((number, _)) if *number > NUMBER_MAX => {
                LastRotated::corrupt("no number is left for the segments that are to follow it")
            }
            Some((_, path)) => LastRotated::inspect(fs, path, successor, cache)
                .map_err(MiniStoreError::file(path, "read"))?,
            None => LastRotated::Absent,
        };
        let mut original_of_active = None;
        if let (LastRotated::Corrupt { .. }, Some(file), Some(link)) = (&newest, &active, successor) {
            let found = find_original(fs, &*file.file, link, &rotated);
            original_of_active =
                found.map_err(MiniStoreError::file(names.active(), "compare with the rotated segments"))?;
        }
        if let (Some(_), Some((_, path))) = (&original_of_active, rotated.last()) {
            (active, successor) = (None, None);
            newest =
                LastRotated::inspect(fs, path, None, cache).map_err(MiniStoreError::file(path, "read"))?;
        }
        let newest = match &rotated[..] {
            // No link of an active segment shows that the newest rotated one is part of the journal.
            [.., (_, before), (_, path)] if successor.is_none() && !continues(fs, before, path)? => {
                LastRotated::corrupt(
                    "it does not continue the segment before it: a segment is missing or is not of this journal",
                )
            }
            _ => newest,
        };
        let next = if exists(names.next()) {
            inspect_next(fs, names, &newest, cache).map_err(MiniStoreError::file(names.next(), "read"))?
        } else {
            NextState::Absent
        };
        let next_position = match successor {
            Some(link) => Ok(NextPosition { next_seq: link.first_seq, last_seal: Some(link.prev_seal) }),
            None => next_position(&rotated, |path| {
                let file = fs.open(path, OpenMode::ReadOnly).map_err(MiniStoreError::file(path, "open"))?;
                cache.scan(path, &*file).map_err(MiniStoreError::file(path, "read"))
            })?,
        };
        Ok(Self {
            active,
            rotated,
            newest,
            next_position,
            next,
            next_path: names.next(),
            original_of_active,
            old_names,
        })
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

    /// Returns the rotated segment of which the file with the active name is an older copy.
    pub(crate) fn original_of_active(&self) -> Option<&Path> {
        self.original_of_active.as_deref()
    }

    pub(super) fn old_names(&self) -> &[PathBuf] {
        &self.old_names
    }

    /// Returns the newest rotated segment if it is not closed.
    pub(super) fn unfinished(&self) -> Option<(&PathBuf, &SegmentSummary)> {
        match (&self.newest, self.rotated.last()) {
            (LastRotated::Unfinished { summary }, Some((_, path))) => Some((path, summary)),
            _ => None,
        }
    }

    /// Returns the file that a step repairs.
    pub(crate) fn file_of(&self, step: Step) -> Option<PathBuf> {
        match step {
            Step::TruncateActive | Step::WriteHeader => {
                self.active.as_ref().map(|active| active.path.clone())
            }
            Step::CloseRotated => self.unfinished().map(|(path, _)| path.clone()),
            // After a promotion the file is the active segment, and its tail is truncated.
            Step::PromoteNext | Step::QuarantineNext => Some(self.next_path.clone()),
            _ => None,
        }
    }

    /// Returns the link of the active segment to the rotated ones.
    pub(super) fn link(&self) -> Result<ChainLink> {
        match &self.next_position {
            Ok(NextPosition { next_seq, last_seal }) => {
                Ok(ChainLink { first_seq: *next_seq, prev_seal: last_seal.unwrap_or(0) })
            }
            Err(_) => Err(self.to_error(DamagedFile::Rotated)),
        }
    }

    /// Returns an error if too few sequence numbers are left for the records to come.
    pub(super) fn check_seq_left(&self, names: &FileNames) -> Result<()> {
        let Some(seq) = self.next_seq().filter(|seq| *seq > OPEN_SEQ_MAX) else { return Ok(()) };
        Err(MiniStoreError::Corrupt {
            segment: names.active(),
            offset: 0,
            line: 1,
            seq: Some(seq),
            reason: format!(
                "no sequence numbers are left: a journal that is written to has at most {OPEN_SEQ_MAX} records"
            ),
        })
    }

    /// Returns an error if the file with the active name is an older copy of a segment and the policy leaves files as they are:
    /// the real active segment may be elsewhere.
    pub(super) fn check_older_copy(&self, names: &FileNames, policy: RecoveryPolicy) -> Result<()> {
        match self.original_of_active() {
            Some(original) if policy == RecoveryPolicy::Strict => {
                let reason = older_copy_reason(original);
                Err(MiniStoreError::Corrupt {
                    segment: names.active(),
                    offset: 0,
                    line: 1,
                    seq: None,
                    reason,
                })
            }
            _ => Ok(()),
        }
    }

    /// Returns the sequence number after all records that verify, if it is known.
    pub(crate) fn next_seq(&self) -> Option<u64> {
        let records = match self.active.as_ref().map(|active| &active.content) {
            Some(ActiveContent::Segment(summary)) => summary.records,
            _ => 0,
        };
        Some(self.next_position.as_ref().ok()?.next_seq + records)
    }

    /// Returns the tail of the active segment, which does not verify.
    pub(crate) fn active_tail(&self) -> Option<&Tail> {
        match &self.active.as_ref()?.content {
            ActiveContent::Segment(summary) => summary.end.tail.as_ref(),
            ActiveContent::Empty | ActiveContent::Invalid(_) => None,
        }
    }

    /// Returns the error for a damaged file.
    pub(crate) fn to_error(&self, file: DamagedFile) -> MiniStoreError {
        let corrupt = |segment: PathBuf, tail: Option<&Tail>, seq, reason: String| MiniStoreError::Corrupt {
            segment,
            offset: tail.map_or(0, |tail| tail.offset),
            line: tail.map_or(1, |tail| tail.line),
            seq,
            reason,
        };
        match (file, &self.active, &self.newest) {
            (DamagedFile::Active, Some(active), _) => match &active.content {
                ActiveContent::Invalid(HeaderError::BadMagic) => MiniStoreError::MissingInitialState,
                ActiveContent::Invalid(HeaderError::Corrupt(reason)) => {
                    corrupt(active.path.clone(), None, None, reason.clone())
                }
                ActiveContent::Segment(SegmentSummary {
                    header,
                    records,
                    end: SegmentEnd { tail: Some(tail), .. },
                    ..
                }) => {
                    let seq = header.link().map(|link| link.first_seq + records);
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

/// Returns the names that a rename by links would have removed next: the file has its new name already.
fn old_names(fs: &dyn FileSystem, names: &FileNames, newest: Option<&Path>) -> io::Result<Vec<PathBuf>> {
    let renames =
        [(Some(names.active()), newest.map(Path::to_path_buf)), (Some(names.next()), Some(names.active()))];
    let mut found = Vec::new();
    for (from, to) in renames {
        let (Some(from), Some(to)) = (from, to) else { continue };
        if fs.id_at(&from)?.is_some_and(|id| fs.id_at(&to).is_ok_and(|other| other == Some(id))) {
            found.push(from);
        }
    }
    Ok(found)
}

/// Returns `false` where the second segment provably does not continue the first.
fn continues(fs: &dyn FileSystem, before: &Path, path: &Path) -> Result<bool> {
    let compare = || {
        Ok(follows(&*fs.open(before, OpenMode::ReadOnly)?, &*fs.open(path, OpenMode::ReadOnly)?)?
            != ChainRelation::Unrelated)
    };
    compare().map_err(MiniStoreError::file(path, "compare with the segment before it"))
}

/// Checks that the oldest segment does not continue a file with a lock file of its own.
fn check_oldest(
    fs: &dyn FileSystem,
    names: &FileNames,
    listed: &[OsString],
    rotated: &[(u64, PathBuf)],
    active: Option<&ActiveFile>,
) -> Result<()> {
    if names.foreign_in(listed).is_empty() {
        return Ok(());
    }
    match (rotated.first(), active) {
        (Some((number, path)), _) => {
            let file = fs.open(path, OpenMode::ReadOnly).map_err(MiniStoreError::file(path, "open"))?;
            check_left_out(fs, names, listed, Some(&*file), *number)
        }
        (None, Some(active)) => check_left_out(fs, names, listed, Some(&*active.file), u64::MAX),
        (None, None) => Ok(()),
    }
}
