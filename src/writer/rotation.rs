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
    housekeeper::{Archived, Job, Outcome, Retiring},
    segment::Segment,
};
use crate::{
    MiniStoreError, Result,
    device::{CommitError, Disk, DiskFile, RenameError, is_no_room, rename_to_free_name},
    error::copy_of,
    format::{Header, Link},
    names::{NUMBER_MAX, Names},
    ownership::{moved_away, refuse, remove_own},
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
    /// The housekeeper found no room: nothing is asked of it until somebody appends or rotates again.
    stalled: bool,
    /// That was told already.
    said: bool,
    /// What is to be done with the old segment once the new one has its name.
    retire: Option<Retiring>,
    /// Archived segments that there was no room to close, oldest first.
    unretired: Vec<Retiring>,
    newest_archived: u64,
    /// The number that is tried for the next archived segment: other files may have those after the newest.
    next_number: u64,
    /// The file that keeps a rotation from going on, and why.
    blocked: Option<(PathBuf, String)>,
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
    Requested { bytes: u64 },
    Ready { file: Arc<dyn DiskFile>, bytes: u64 },
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
            stalled: false,
            said: false,
            retire: None,
            unretired: Vec::new(),
            newest_archived,
            next_number: newest_archived + 1,
            blocked: None,
            clock: Clock::default(),
        }
    }

    /// Takes an outcome in. Whatever is not a lack of room stops the journal.
    pub(super) fn note(&mut self, outcome: &Outcome, names: &Names, shared: &Shared) {
        let said = &mut self.said;
        let mut failed = |error: &io::Error| {
            if !is_no_room(error) {
                shared.poison(copy_of(error));
            }
            // It is tried again with every append.
            if !mem::replace(said, true) {
                tracing::warn!(journal = %shared.path.display(), %error, "could not prepare or rotate a segment");
            }
        };
        match outcome {
            Outcome::Extended(Ok(_)) => self.said = false,
            Outcome::Retired(Ok(())) | Outcome::Retained(Ok(())) => {}
            Outcome::Extended(Err(error)) => {
                self.stalled = true;
                failed(error);
            }
            Outcome::Prepared(Ok(file)) => {
                self.said = false;
                self.blocked = None;
                if let Next::Requested { bytes } = self.next {
                    self.next = Next::Ready { file: Arc::clone(file), bytes };
                }
            }
            Outcome::Prepared(Err(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.next = Next::Absent;
                self.block(names.next(), "another process created it: move it away".into(), shared);
            }
            Outcome::Prepared(Err(error)) => {
                self.next = Next::Absent;
                self.stalled = true;
                failed(error);
            }
            Outcome::Archived(Ok(Archived::NoRoom)) => {
                self.archive = Archive::Not;
                self.stalled = true;
            }
            Outcome::Archived(Ok(Archived::Renamed)) => {
                self.blocked = None;
                if let Archive::Requested { to, number } = mem::replace(&mut self.archive, Archive::Not) {
                    self.archive = Archive::Done { to, number };
                }
            }
            Outcome::Archived(Ok(Archived::Taken(path))) => {
                self.archive = Archive::Not;
                let (journal, file, number) = (shared.path.display(), path.display(), self.next_number);
                tracing::warn!(%journal, %file, number, "a file of another journal has the next segment's name; using the next number");
                if self.next_number < NUMBER_MAX {
                    self.next_number += 1;
                } else {
                    self.block(
                        path.clone(),
                        "no number is left for another segment: move it away".into(),
                        shared,
                    );
                }
            }
            Outcome::Archived(Ok(Archived::Refused(reason))) => {
                self.archive = Archive::Not;
                self.block(names.active(), reason.clone(), shared);
            }
            // Whether the name changed is not known: that is no state to go on from.
            Outcome::Archived(Err(error)) => {
                self.archive = Archive::Not;
                shared.poison(copy_of(error));
            }
            Outcome::Retired(Err(error)) | Outcome::Retained(Err(error)) => shared.poison(copy_of(error)),
            Outcome::Unretired(retiring) => {
                tracing::warn!(journal = %shared.path.display(), "no room to close an archived segment");
                self.unretired.push(retiring.clone());
            }
        }
    }

    /// Nothing was changed, and the rotation cannot go on. It is tried again with the next append.
    fn block(&mut self, path: PathBuf, reason: String, shared: &Shared) {
        self.stalled = true;
        if self.blocked.is_none() {
            tracing::warn!(journal = %shared.path.display(), file = %path.display(), reason, "cannot rotate");
        }
        self.blocked = Some((path, reason));
    }

    /// The newest archived segment whose successor has its name. (The housekeeper, asked now, comes to sync that first.)
    fn newest_succeeded(&self) -> u64 {
        self.newest_archived - u64::from(self.retire.is_some())
    }

    /// The housekeeper is to be left alone: it found no room, or the segment is being archived.
    pub(super) fn holds_back(&self) -> bool {
        self.stalled || !matches!(self.archive, Archive::Not)
    }

    /// The rotation cannot go on before somebody tries again.
    fn gave_up(&self) -> bool {
        self.stalled
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
        self.write_ahead();
        self.prepare_next();
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
        self.rotation.note(outcome, &self.names, &self.shared);
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
        let half_used = self.segment.data_end() >= self.options.max_bytes_per_segment / 2;
        let due = self.rotation_is_due();
        let wanted = self.segment.records > 0 && (half_used || due);
        if !matches!(self.rotation.next, Next::Absent) || self.rotation.stalled || !wanted {
            return;
        }
        let bytes = self.next_prepared_bytes();
        self.rotation.next = Next::Requested { bytes };
        self.housekeeper.ask(Job::Prepare { bytes, cached: self.cached() });
    }

    /// Starts what can be started of a rotation that is due; turns to the next segment when it can.
    fn advance_rotation(&mut self) {
        if !self.rotation_is_due() {
            return;
        }
        match (&self.rotation.next, &self.rotation.archive) {
            (Next::Ready { .. }, Archive::Not) if !self.rotation.stalled => {
                let number = self.rotation.next_number;
                let to = self.names.archived(number);
                self.segment.archived_as = Some(to.clone());
                self.housekeeper.ask(Job::Archive { file: Arc::clone(&self.segment.file), to: to.clone() });
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
        tracing::info!(segment = %archived.display(), next_seq, ?took, ?held, "rotated: archived a segment");
    }

    fn rotation_is_due(&self) -> bool {
        let full = self.segment.data_end() >= self.options.max_bytes_per_segment;
        self.segment.records > 0 && (full || self.rotation.requested)
    }

    /// Where a segment is much larger than it should be, the rotation is waited for: it bounds what an append can
    /// leave behind, and makes tiny segments as regular as the original's.
    pub(super) fn finish_overdue_rotation(&mut self) {
        let allowed = self.options.max_bytes_per_segment;
        while self.segment.data_end() >= allowed.saturating_add(allowed / 8) && self.step_rotation() {}
    }

    /// A closed journal is not left with a rotation due.
    pub(super) fn finish_rotation_before_closing(&mut self) {
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
        let Next::Ready { file, bytes } = mem::replace(&mut self.rotation.next, Next::Absent) else { return };
        let Archive::Done { to, number } = mem::replace(&mut self.rotation.archive, Archive::Not) else {
            return;
        };
        debug_assert_eq!(self.extending, Extending::No, "padding was asked for before the archived name was");
        let counted =
            if planted(Bug::NumberNotCarriedOver) { self.segment.records + 1 } else { self.next_seq };
        let link = Link { first: counted, prev: self.segment.last_seal().unwrap_or(0) };
        let header = if self.options.seals { Header::Sealed(link) } else { Header::Plain };
        let write_ahead = self.options.write_ahead;
        let mut newborn = Segment::unborn(file, self.names.next(), bytes, header, write_ahead);
        if let Err(error) = newborn.attach(&mut *self.lane, self.options.commits()) {
            self.shared.poison(error);
            return;
        }
        if let Err(error) = self.lock.cover(&newborn.path, Arc::clone(&newborn.file)) {
            self.shared.poison(io::Error::other(error));
            return;
        }
        let old = mem::replace(&mut self.segment, newborn);
        self.rotation.newest_archived = number;
        self.rotation.next_number = number + 1;
        self.rotation.requested = false;
        self.rotation.clock.turn(to);
        self.shared.counters.segment_archived();
        self.shared.counters.written_ahead(bytes);
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
        let renamed = rename_to_free_name(&*self.disk, self.names.dir(), &self.segment.path, &active);
        renamed.map_err(|error| match error {
            RenameError::Refused(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                CommitError::Failed(moved_away(&active))
            }
            error => CommitError::Failed(error.into_io()),
        })?;
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

    /// Waits for all that was asked of the housekeeper, and for the deletions that it left to later jobs.
    pub(super) fn finish_housekeeping(&mut self) {
        while self.settle_one() {
            if self.retaining == Retaining::Unfinished {
                self.retain_if_asked();
            }
        }
    }

    /// Somebody asks for a rotation.
    pub(super) fn rotate(&mut self, done: oneshot::Sender<Result<()>>) {
        self.rotation.requested = true;
        self.rotation.stalled = false;
        self.rotate_waiters.push(done);
    }

    /// An append or a rotation is about to be tried: there may be room again.
    pub(super) fn try_again(&mut self) {
        self.rotation.stalled = false;
    }

    fn answer_rotate_waiters(&mut self) {
        let poisoned = self.shared.poisoned().is_some();
        let stalled = self.rotation.gave_up();
        if self.segment.records > 0 && self.rotation.requested && !stalled && !poisoned {
            return;
        }
        self.rotation.requested = false;
        for done in self.rotate_waiters.drain(..) {
            let no_room = || MiniStoreError::StorageFull {
                path: self.names.next(),
                source: Arc::new(io::ErrorKind::StorageFull.into()),
            };
            let outcome = match self.shared.poisoned() {
                Some(poisoned) => Err(poisoned),
                None if let Some((path, reason)) = self.rotation.blocked.as_ref().filter(|_| stalled) => {
                    Err(refuse(path, format!("it keeps the segment from being rotated: {reason}")))
                }
                None if stalled => Err(no_room()),
                None => Ok(()),
            };
            answer(done, outcome);
        }
    }
}
