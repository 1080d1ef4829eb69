//! When the next segment is prepared, and how the writer turns to it.
//!
//! A rotation runs beside the commits:
//!
//! 1. Halfway through a segment the housekeeper prepares `NAME.next`: padding, durable, under a durable name.
//! 2. When the segment is full it gets its archived name, and the directory is synced. Commits go on into it.
//! 3. The writer turns to the prepared file, and makes its header durable there.
//! 4. The file is renamed to `NAME`; only then is anything in it acknowledged, so that every reader finds it.
//! 5. The housekeeper syncs the directory, closes the archived segment, deletes the oldest, one a job.
//!
//! Wherever this is cut off, recovery finds every acknowledged record and completes it.

use std::{
    io, mem,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Writer,
    ahead::Extending,
    housekeeper::{Archived, Job, Outcome, Retiring, Unprepared},
    retry::{Failure, Retry},
    segment::Segment,
};
use crate::{
    MiniStoreError, Result,
    device::{CommitError, Disk, DiskFile, RenameError, is_at, is_no_room, rename_to_free_name},
    error::copy_of,
    format::{Header, Link},
    names::{NUMBER_MAX, Names},
    ownership::{moved_away, remove_own},
    planted::{Bug, planted},
    request::answer,
    shared::Shared,
    sync::oneshot,
};

/// Where a rotation stands.
#[derive(Debug)]
pub(super) struct Rotation {
    next: Next,
    archive: Archive,
    /// Somebody asked for a rotation, whatever the size.
    requested: bool,
    /// What failed before it changed anything, and when it is attempted again.
    retry: Retry,
    /// What is to be done with the old segment once the new one has its name.
    retire: Option<Retiring>,
    /// Archived segments that there was no room to close, oldest first.
    unretired: Vec<Retiring>,
    newest_archived: u64,
    /// The number that is tried for the next archived segment: other files may have those after the newest.
    next_number: u64,
    clock: Clock,
}

/// How long a rotation takes.
#[derive(Debug, Default)]
struct Clock {
    /// When it was due.
    due: Option<Instant>,
    /// The segment that it archived, and since when it was due, until the new one has its name.
    turned: Option<(PathBuf, Instant)>,
    /// For how long the writer could not commit.
    held: Duration,
}

impl Clock {
    fn note(&mut self, is_due: bool) {
        self.due = is_due.then(|| self.due.unwrap_or_else(Instant::now));
    }

    fn turn(&mut self, archived: PathBuf) {
        let due = self.due.take().unwrap_or_else(Instant::now);
        self.turned = Some((archived, due));
    }

    fn held_since(&mut self, began: Instant) {
        self.held += began.elapsed();
    }
}

/// Whether the housekeeper looks after retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retaining {
    No,
    /// It is to, for the journal was just opened.
    AtOpening,
    Asked,
    /// It is to go on, for segments are left to be deleted.
    Unfinished,
}

#[derive(Debug)]
enum Next {
    Absent,
    Requested {
        bytes: u64,
    },
    /// `open`: it is open for commits, too, so that the writer can turn to it without another descriptor.
    Ready {
        file: Arc<dyn DiskFile>,
        bytes: u64,
        open: bool,
    },
}

#[derive(Debug)]
enum Archive {
    Not,
    Requested { to: PathBuf, number: u64 },
    Done { to: PathBuf, number: u64 },
}

impl Rotation {
    pub(super) fn new(newest_archived: u64) -> Self {
        Self {
            next: Next::Absent,
            archive: Archive::Not,
            requested: false,
            retry: Retry::default(),
            retire: None,
            unretired: Vec::new(),
            newest_archived,
            next_number: newest_archived + 1,
            clock: Clock::default(),
        }
    }

    /// Takes an outcome in. A failed write or sync, and a rename with unknown outcome, stops the journal; whatever
    /// failed before it changed anything is attempted again.
    pub(super) fn note(&mut self, outcome: &Outcome, names: &Names, shared: &Shared, now: Duration) {
        match outcome {
            Outcome::Extended(Ok(_)) => self.retry.found_space(shared),
            Outcome::Retired(Ok(())) | Outcome::Retained(Ok(())) => {}
            Outcome::Extended(Err(error)) if is_no_room(error) => {
                let failure = Failure { path: names.active(), action: "preallocate", source: copy_of(error) };
                self.retry.failed(failure, now, shared);
            }
            Outcome::Prepared(Ok(file)) => {
                self.retry.succeeded(shared);
                if let Next::Requested { bytes } = self.next {
                    self.next = Next::Ready { file: Arc::clone(file), bytes, open: false };
                }
            }
            Outcome::Prepared(Err(Unprepared::Taken)) => {
                self.next = Next::Absent;
                let reason = "another process created it: move it away".into();
                self.retry.blocked(names.next(), reason, now, shared);
            }
            Outcome::Prepared(Err(Unprepared::NotBegun { action, source })) => {
                self.next = Next::Absent;
                let failure = Failure { path: names.next(), action, source: copy_of(source) };
                self.retry.failed(failure, now, shared);
            }
            Outcome::Archived(Ok(Archived::NotRenamed(source))) => {
                if let Archive::Requested { to, .. } = mem::replace(&mut self.archive, Archive::Not) {
                    let action = "give the active segment this name";
                    self.retry.failed(Failure { path: to, action, source: copy_of(source) }, now, shared);
                }
            }
            Outcome::Archived(Ok(Archived::Renamed)) => {
                self.retry.succeeded(shared);
                if let Archive::Requested { to, number } = mem::replace(&mut self.archive, Archive::Not) {
                    self.archive = Archive::Done { to, number };
                }
            }
            Outcome::Archived(Ok(Archived::NextGone)) => {
                (self.next, self.archive) = (Next::Absent, Archive::Not);
            }
            Outcome::Archived(Ok(Archived::Taken(path))) => {
                self.archive = Archive::Not;
                let (journal, file, number) = (shared.path.display(), path.display(), self.next_number);
                tracing::warn!(%journal, %file, number, "a file of another journal has the next segment's name; using the next number");
                if self.next_number < NUMBER_MAX {
                    self.next_number += 1;
                } else {
                    let reason = "no number is left for another segment: move it away".into();
                    self.retry.blocked(path.clone(), reason, now, shared);
                }
            }
            Outcome::Archived(Ok(Archived::Refused(reason))) => {
                self.archive = Archive::Not;
                self.retry.blocked(names.active(), reason.clone(), now, shared);
            }
            Outcome::Prepared(Err(Unprepared::NotDurable(error))) => {
                self.next = Next::Absent;
                shared.poison(copy_of(error));
            }
            // The rename may or may not have happened, or may not be durable.
            Outcome::Archived(Err(error)) => {
                self.archive = Archive::Not;
                shared.poison(copy_of(error));
            }
            Outcome::Extended(Err(error)) | Outcome::Retired(Err(error)) | Outcome::Retained(Err(error)) => {
                shared.poison(copy_of(error));
            }
            Outcome::Unretired(retiring) => {
                tracing::warn!(journal = %shared.path.display(), "disk full; closing a rotated segment later");
                self.unretired.push(retiring.clone());
            }
        }
    }

    /// The newest archived segment whose successor has its name. (The housekeeper, asked now, comes to sync that first.)
    fn newest_succeeded(&self) -> u64 {
        self.newest_archived - u64::from(self.retire.is_some())
    }

    /// The housekeeper is to be left alone: it found no room, or the segment is being archived.
    pub(super) fn holds_back(&self) -> bool {
        self.retry.is_waiting() || !matches!(self.archive, Archive::Not)
    }

    /// The rotation cannot go on before somebody tries again.
    fn gave_up(&self) -> bool {
        self.retry.is_waiting()
            && matches!((&self.next, &self.archive), (Next::Absent | Next::Ready { .. }, Archive::Not))
    }

    /// What is still to be done with archived segments: those that there was no room to close, and the one
    /// whose successor had not got its name.
    pub(super) fn take_retire(&mut self) -> Vec<Job> {
        let unretired = mem::take(&mut self.unretired).into_iter();
        unretired.chain(self.retire.take()).map(Job::Retire).collect()
    }

    /// At closing: a segment that was prepared and not needed.
    pub(super) fn discard_prepared(&mut self, disk: &dyn Disk, names: &Names) -> Result<()> {
        if let Next::Ready { file, .. } = mem::replace(&mut self.next, Next::Absent) {
            remove_own(disk, &names.next(), &*file).map_err(MiniStoreError::file(names.next(), "remove"))?;
        }
        Ok(())
    }
}

impl Writer {
    /// Asks for whatever is due. Never waits.
    pub(super) fn keep_house(&mut self) {
        self.retain_if_asked();
        if self.shared.poisoned().is_some() {
            self.answer_rotate_waiters();
            return;
        }
        self.preallocate();
        self.prepare_next();
        self.open_next();
        if let Err(CommitError::Failed(error)) = self.name_header() {
            self.shared.poison(error);
        }
        self.rotation.clock.note(self.rotation_is_due());
        self.advance_rotation();
        self.note_rotated();
        self.answer_rotate_waiters();
    }

    /// Takes in what the housekeeper has done so far.
    pub(super) fn settle_pending(&mut self) {
        while let Some(outcome) = self.housekeeper.poll() {
            self.take_in(&outcome);
        }
    }

    pub(super) fn take_in(&mut self, outcome: &Outcome) {
        if let Outcome::Extended(extended) = outcome {
            self.extended(extended.as_ref().ok().copied());
        }
        if let Outcome::Retained(_) = outcome {
            self.retaining = Retaining::No;
        }
        if let Outcome::Retained(_) | Outcome::Retired(_) | Outcome::Unretired(_) = outcome
            && self.retaining == Retaining::No
            && self.housekeeper.is_unfinished()
        {
            self.retaining = Retaining::Unfinished;
        }
        self.rotation.note(outcome, &self.names, &self.shared, self.disk.elapsed());
        if matches!(outcome, Outcome::Archived(Ok(archived)) if !matches!(archived, Archived::Renamed)) {
            self.segment.archived_as = None;
        }
    }

    /// Waits for one outcome. `false` where none is to come.
    pub(super) fn settle_one(&mut self) -> bool {
        let outcome = self.housekeeper.await_one();
        outcome.is_some_and(|outcome| {
            self.take_in(&outcome);
            true
        })
    }

    /// Prepares the next segment when half of this one is used up, or as soon as it is needed.
    fn prepare_next(&mut self) {
        let half_used = self.segment.data_end() >= self.options.max_segment_bytes / 2;
        let due = self.rotation_is_due();
        let wanted = self.segment.records > 0 && (half_used || due);
        if !matches!(self.rotation.next, Next::Absent) || self.rotation.retry.is_waiting() || !wanted {
            return;
        }
        let bytes = self.next_prepared_bytes();
        self.rotation.next = Next::Requested { bytes };
        self.housekeeper.ask(Job::Prepare { bytes, cached: self.cached() });
    }

    /// Opens the prepared segment for commits, before anything of the rotation is done: at the turn it is too late to
    /// find that there are no descriptors.
    fn open_next(&mut self) {
        let Rotation { next, retry, .. } = &mut self.rotation;
        let Next::Ready { file, open: open @ false, .. } = next else { return };
        if retry.is_waiting() {
            return;
        }
        let path = self.names.next();
        let options = self.options.commits(self.options.checksums);
        // The lane looks the name up: another process may have moved the file, and created another one.
        let opened = self.lane.prepare(&path, options).and_then(|()| is_at(&*self.disk, &path, &**file));
        let opened =
            opened.and_then(|is_own| if is_own { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) });
        match opened {
            Ok(()) => {
                *open = true;
                retry.succeeded(&self.shared);
            }
            // Another process removed it: another one is created.
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                *next = Next::Absent;
                self.prepare_next();
            }
            Err(source) => {
                let failure = Failure { path, action: "open for commits", source };
                retry.failed(failure, self.disk.elapsed(), &self.shared);
            }
        }
    }

    /// Starts what can be started of a rotation that is due; turns to the next segment when it can.
    fn advance_rotation(&mut self) {
        if !self.rotation_is_due() {
            return;
        }
        match (&self.rotation.next, &self.rotation.archive) {
            (Next::Ready { file: next, open: true, .. }, Archive::Not)
                if !self.rotation.retry.is_waiting() =>
            {
                let number = self.rotation.next_number;
                let to = self.names.archived(number);
                self.segment.archived_as = Some(to.clone());
                let (file, next) = (Arc::clone(&self.segment.file), Arc::clone(next));
                self.housekeeper.ask(Job::Archive { file, next, to: to.clone() });
                self.rotation.archive = if planted(Bug::TurnsBeforeArchived) {
                    Archive::Done { to, number }
                } else {
                    Archive::Requested { to, number }
                };
            }
            (Next::Ready { .. }, Archive::Done { .. }) => {
                let began = Instant::now();
                self.turn_to_next();
                self.rotation.clock.held_since(began);
            }
            _ => {}
        }
    }

    /// Once the new segment has its name the rotation is over.
    fn note_rotated(&mut self) {
        let Some((archived, due)) =
            self.rotation.clock.turned.take_if(|_| self.segment.path == self.names.active())
        else {
            return;
        };
        let (took, held) = (due.elapsed(), mem::take(&mut self.rotation.clock.held));
        self.shared.counters.rotation(took, held);
        let next_seq = self.next_seq;
        tracing::info!(segment = %archived.display(), next_seq, elapsed = ?took, stall = ?held, "rotated segment");
    }

    fn rotation_is_due(&self) -> bool {
        let full = self.segment.data_end() >= self.options.max_segment_bytes;
        self.segment.records > 0 && (full || self.rotation.requested)
    }

    /// Where a segment is much larger than it should be, the rotation is waited for: it bounds what an append can
    /// leave behind, and makes tiny segments as regular as the original's.
    pub(super) fn finish_overdue_rotation(&mut self) {
        let allowed = self.options.max_segment_bytes;
        while self.segment.data_end() >= allowed.saturating_add(allowed / 8) && self.step_rotation() {}
    }

    /// A closed journal is not left with a rotation due.
    pub(super) fn finish_rotation_before_closing(&mut self) {
        self.rotation.retry.resume_now();
        while self.step_rotation() {}
    }

    /// Waits for one step of a rotation that is due. `false` where there is none, or no room for it.
    fn step_rotation(&mut self) -> bool {
        let archived = !matches!(self.rotation.archive, Archive::Not);
        if self.shared.poisoned().is_some() || !(self.rotation_is_due() || archived) {
            return false;
        }
        self.keep_house();
        if !self.rotation_is_due() || self.rotation.gave_up() {
            return false;
        }
        let began = Instant::now();
        let settled = self.settle_one();
        self.rotation.clock.held_since(began);
        settled
    }

    /// Makes the prepared file the segment that is written to. The old one is left to the housekeeper.
    fn turn_to_next(&mut self) {
        let Next::Ready { file, bytes, .. } = mem::replace(&mut self.rotation.next, Next::Absent) else {
            return;
        };
        let Archive::Done { to, number } = mem::replace(&mut self.rotation.archive, Archive::Not) else {
            return;
        };
        debug_assert_eq!(self.extending, Extending::No, "padding was asked for before the archived name was");
        let counted =
            if planted(Bug::NumberNotCarriedOver) { self.segment.records + 1 } else { self.next_seq };
        let link = Link { first: counted, prev: self.segment.last_seal().unwrap_or(0) };
        let header = if self.options.checksums { Header::Sealed(link) } else { Header::Plain };
        let preallocate = self.options.preallocate;
        let mut newborn = Segment::unborn(file, self.names.next(), bytes, header, preallocate);
        // The housekeeper has locked the file, and the lane has opened it: nothing here can fail.
        newborn.switch(&mut *self.lane);
        self.lock.cover_locked(Arc::clone(&newborn.file));
        let old = mem::replace(&mut self.segment, newborn);
        self.rotation.newest_archived = number;
        self.rotation.next_number = number + 1;
        self.rotation.requested = false;
        self.rotation.clock.turn(to);
        self.shared.counters.segment_rotated();
        self.shared.counters.preallocated(bytes);
        self.rotation.retire = Some(Retiring {
            file: Arc::clone(&old.file),
            data_end: old.data_end(),
            sealed: old.is_sealed(),
            number: self.rotation.newest_archived,
            retains: true,
        });
        if planted(Bug::HeaderWithFirstGroup) {
            return;
        }
        if planted(Bug::NamedBeforeHeader)
            && let Err(CommitError::Failed(error)) = self.name_newborn()
        {
            self.shared.poison(error);
        }
        // Header first: nobody must ever find the active name without one. Without room for it, the next commit
        // tries again.
        if let Err(CommitError::Failed(error)) = self.commit_header() {
            self.shared.poison(error);
        }
    }

    /// Once its header is durable, a new segment takes the active name. What it holds is acknowledged after that.
    pub(super) fn name_newborn(&mut self) -> std::result::Result<(), CommitError> {
        let active = self.names.active();
        if self.segment.path == active {
            return Ok(());
        }
        if self.rotation.retry.is_waiting() {
            return Err(self.rotation.retry.commit_error());
        }
        match rename_to_free_name(&*self.disk, self.names.dir(), &self.segment.path, &active) {
            Ok(()) => {}
            Err(RenameError::Unknown(error)) => return Err(CommitError::Failed(error)),
            Err(RenameError::Refused(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(CommitError::Failed(moved_away(&active)));
            }
            Err(RenameError::Refused(source) | RenameError::Unsupported(source)) => {
                let failure = Failure { path: active, action: "give the new segment this name", source };
                self.rotation.retry.failed(failure, self.disk.elapsed(), &self.shared);
                return Err(self.rotation.retry.commit_error());
            }
        }
        self.rotation.retry.succeeded(&self.shared);
        self.segment.path = active;
        for retire in self.rotation.take_retire() {
            self.housekeeper.ask(retire);
        }
        Ok(())
    }

    /// Has the housekeeper look after retention, where somebody asked for that.
    pub(super) fn retain_if_asked(&mut self) {
        let asks = &self.shared.retention.asks;
        if self.shared.poisoned().is_some() {
            let refusal = || self.shared.refusal();
            asks.take().into_iter().for_each(|ask| ask.refuse(refusal()));
            self.housekeeper.refuse_unfinished();
            if self.retaining != Retaining::Asked {
                // Nothing is to be gone on with: whoever asks from now on is heard, and refused.
                self.retaining = Retaining::No;
            }
        } else if matches!(self.retaining, Retaining::AtOpening | Retaining::Unfinished)
            || (self.retaining == Retaining::No && asks.are_waiting())
        {
            let opening = self.retaining == Retaining::AtOpening;
            self.retaining = Retaining::Asked;
            self.housekeeper.ask(Job::Retain { newest: self.rotation.newest_succeeded(), opening });
        }
    }

    /// Waits for all that was asked of the housekeeper, and serves who asked something of retention by then. What
    /// the limits delete is finished; what callers released is left.
    pub(super) fn finish_housekeeping(&mut self) {
        loop {
            while self.settle_one() {
                if self.retaining == Retaining::Unfinished {
                    self.retain_if_asked();
                }
            }
            if !self.shared.retention.asks.are_waiting() {
                return;
            }
            self.retain_if_asked();
        }
    }

    /// Somebody asks for a rotation.
    pub(super) fn rotate(&mut self, done: oneshot::Sender<Result<()>>) {
        self.rotation.requested = true;
        self.try_again();
        self.rotate_waiters.push(done);
    }

    /// An append or a rotation comes: what failed is attempted again, once its back-off has passed.
    pub(super) fn try_again(&mut self) {
        let Self { rotation, disk, .. } = self;
        rotation.retry.resume(|| disk.elapsed());
    }

    fn answer_rotate_waiters(&mut self) {
        let poisoned = self.shared.poisoned().is_some();
        let stalled = self.rotation.gave_up();
        if self.segment.records > 0 && self.rotation.requested && !stalled && !poisoned {
            return;
        }
        self.rotation.requested = false;
        for done in self.rotate_waiters.drain(..) {
            let outcome = match self.shared.poisoned() {
                Some(poisoned) => Err(poisoned),
                // Once the writer has turned to the new segment, the rotation is over for the caller.
                None if stalled && self.segment.records > 0 => {
                    Err(self.rotation.retry.error(self.names.next()))
                }
                None => Ok(()),
            };
            answer(done, outcome);
        }
    }
}
