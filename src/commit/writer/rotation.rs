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
    preallocate::Preallocating,
    retry::{Failure, Retry},
    segment::ActiveSegment,
};
use crate::{
    MiniStoreError, Result,
    background::worker::{BackgroundJob, JobResult, PrepareError, RenameResult, RotatedSegment},
    commit::inner::StoreInner,
    error::clone_io_error,
    format::{ChainLink, Header},
    io::{CommitError, FileHandle, FileSystem, RenameError, is_at, is_storage_full, rename_to_free_name},
    journal::file_names::{FileNames, NUMBER_MAX},
    journal::ownership::{moved_away, remove_own},
    journal::reply::reply,
    seeded_bugs::{Bug, seeded},
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
    to_close: Option<RotatedSegment>,
    /// Archived segments that there was no room to close, oldest first.
    close_deferred: Vec<RotatedSegment>,
    newest_rotated: u64,
    /// The number that is tried for the next archived segment: other files may have those after the newest.
    next_number: u64,
    timer: RotationTimer,
}

/// How long a rotation takes.
#[derive(Debug, Default)]
struct RotationTimer {
    /// When it was due.
    due: Option<Instant>,
    /// The segment that it archived, and since when it was due, until the new one has its name.
    switched: Option<(PathBuf, Instant)>,
    /// For how long the writer could not commit.
    held: Duration,
}

impl RotationTimer {
    fn on_result(&mut self, is_due: bool) {
        self.due = is_due.then(|| self.due.unwrap_or_else(Instant::now));
    }

    fn switched(&mut self, rotated: PathBuf) {
        let due = self.due.take().unwrap_or_else(Instant::now);
        self.switched = Some((rotated, due));
    }

    fn add_stall(&mut self, began: Instant) {
        self.held += began.elapsed();
    }
}

/// Whether the housekeeper looks after retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetentionPhase {
    Idle,
    /// It is to, for the journal was just opened.
    OnOpen,
    Running,
    /// It is to go on, for segments are left to be deleted.
    Deferred,
}

#[derive(Debug)]
enum Next {
    Absent,
    Requested {
        bytes: u64,
    },
    /// `open`: it is open for commits, too, so that the writer can turn to it without another descriptor.
    Ready {
        file: Arc<dyn FileHandle>,
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
    pub(super) fn new(newest_rotated: u64) -> Self {
        Self {
            next: Next::Absent,
            archive: Archive::Not,
            requested: false,
            retry: Retry::default(),
            to_close: None,
            close_deferred: Vec::new(),
            newest_rotated,
            next_number: newest_rotated + 1,
            timer: RotationTimer::default(),
        }
    }

    /// Takes an outcome in. A failed write or sync, and a rename with unknown outcome, stops the journal; whatever
    /// failed before it changed anything is attempted again.
    pub(super) fn on_result(
        &mut self,
        outcome: &JobResult,
        names: &FileNames,
        inner: &StoreInner,
        now: Duration,
    ) {
        match outcome {
            JobResult::Preallocated(Ok(_)) => self.retry.found_space(inner),
            JobResult::Closed(Ok(())) | JobResult::RetentionApplied(Ok(())) => {}
            JobResult::Preallocated(Err(error)) if is_storage_full(error) => {
                let failure =
                    Failure { path: names.active(), action: "preallocate", source: clone_io_error(error) };
                self.retry.failed(failure, now, inner);
            }
            JobResult::Created(Ok(file)) => {
                self.retry.succeeded(inner);
                if let Next::Requested { bytes } = self.next {
                    self.next = Next::Ready { file: Arc::clone(file), bytes, open: false };
                }
            }
            JobResult::Created(Err(PrepareError::Taken)) => {
                self.next = Next::Absent;
                let reason = "another process created it: move it away".into();
                self.retry.blocked(names.next(), reason, now, inner);
            }
            JobResult::Created(Err(PrepareError::NotBegun { action, source })) => {
                self.next = Next::Absent;
                let failure = Failure { path: names.next(), action, source: clone_io_error(source) };
                self.retry.failed(failure, now, inner);
            }
            JobResult::RenameResult(Ok(RenameResult::NotRenamed(source))) => {
                if let Archive::Requested { to, .. } = mem::replace(&mut self.archive, Archive::Not) {
                    let action = "give the active segment this name";
                    self.retry.failed(
                        Failure { path: to, action, source: clone_io_error(source) },
                        now,
                        inner,
                    );
                }
            }
            JobResult::RenameResult(Ok(RenameResult::Renamed)) => {
                self.retry.succeeded(inner);
                if let Archive::Requested { to, number } = mem::replace(&mut self.archive, Archive::Not) {
                    self.archive = Archive::Done { to, number };
                }
            }
            JobResult::RenameResult(Ok(RenameResult::NextGone)) => {
                (self.next, self.archive) = (Next::Absent, Archive::Not);
            }
            JobResult::RenameResult(Ok(RenameResult::Taken(path))) => {
                self.archive = Archive::Not;
                let (journal, file, number) = (inner.status.path.display(), path.display(), self.next_number);
                tracing::warn!(%journal, %file, number, "a file of another journal has the next segment's name; using the next number");
                if self.next_number < NUMBER_MAX {
                    self.next_number += 1;
                } else {
                    let reason = "no number is left for another segment: move it away".into();
                    self.retry.blocked(path.clone(), reason, now, inner);
                }
            }
            JobResult::RenameResult(Ok(RenameResult::Refused(reason))) => {
                self.archive = Archive::Not;
                self.retry.blocked(names.active(), reason.clone(), now, inner);
            }
            JobResult::Created(Err(PrepareError::NotDurable(error))) => {
                self.next = Next::Absent;
                inner.poison(clone_io_error(error));
            }
            // The rename may or may not have happened, or may not be durable.
            JobResult::RenameResult(Err(error)) => {
                self.archive = Archive::Not;
                inner.poison(clone_io_error(error));
            }
            JobResult::Preallocated(Err(error))
            | JobResult::Closed(Err(error))
            | JobResult::RetentionApplied(Err(error)) => {
                inner.poison(clone_io_error(error));
            }
            JobResult::CloseDeferred(rotated) => {
                tracing::warn!(journal = %inner.status.path.display(), "disk full; closing a rotated segment later");
                self.close_deferred.push(rotated.clone());
            }
        }
    }

    /// The newest archived segment whose successor has its name. (The housekeeper, asked now, comes to sync that first.)
    fn newest_succeeded(&self) -> u64 {
        self.newest_rotated - u64::from(self.to_close.is_some())
    }

    /// The housekeeper is to be left alone: it found no room, or the segment is being archived.
    pub(super) fn is_blocked(&self) -> bool {
        self.retry.is_waiting() || !matches!(self.archive, Archive::Not)
    }

    /// The rotation cannot go on before somebody tries again.
    fn is_stuck(&self) -> bool {
        self.retry.is_waiting()
            && matches!((&self.next, &self.archive), (Next::Absent | Next::Ready { .. }, Archive::Not))
    }

    /// What is still to be done with archived segments: those that there was no room to close, and the one
    /// whose successor had not got its name.
    pub(super) fn take_unclosed(&mut self) -> Vec<BackgroundJob> {
        let close_deferred = mem::take(&mut self.close_deferred).into_iter();
        close_deferred.chain(self.to_close.take()).map(BackgroundJob::Close).collect()
    }

    /// At closing: a segment that was prepared and not needed.
    pub(super) fn remove_next_segment(&mut self, disk: &dyn FileSystem, names: &FileNames) -> Result<()> {
        if let Next::Ready { file, .. } = mem::replace(&mut self.next, Next::Absent) {
            remove_own(disk, &names.next(), &*file).map_err(MiniStoreError::file(names.next(), "remove"))?;
        }
        Ok(())
    }
}

impl Writer {
    /// Asks for whatever is due. Never waits.
    pub(super) fn schedule_background_work(&mut self) {
        self.maybe_run_retention();
        if self.inner.status.poisoned().is_some() {
            self.reply_to_rotate_callers();
            return;
        }
        self.preallocate();
        self.prepare_next();
        self.open_next();
        if let Err(CommitError::Failed(error)) = self.publish_header() {
            self.inner.poison(error);
        }
        self.rotation.timer.on_result(self.rotation_is_due());
        self.poll_rotation();
        self.record_rotated();
        self.reply_to_rotate_callers();
    }

    /// Takes in what the housekeeper has done so far.
    pub(super) fn drain_results(&mut self) {
        while let Some(outcome) = self.background.poll() {
            self.on_job_result(&outcome);
        }
    }

    pub(super) fn on_job_result(&mut self, outcome: &JobResult) {
        if let JobResult::Preallocated(extended) = outcome {
            self.extended(extended.as_ref().ok().copied());
        }
        if let JobResult::RetentionApplied(_) = outcome {
            self.retention_phase = RetentionPhase::Idle;
        }
        if let JobResult::RetentionApplied(_) | JobResult::Closed(_) | JobResult::CloseDeferred(_) = outcome
            && self.retention_phase == RetentionPhase::Idle
            && self.background.has_deferred()
        {
            self.retention_phase = RetentionPhase::Deferred;
        }
        self.rotation.on_result(outcome, &self.names, &self.inner, self.disk.elapsed());
        if matches!(outcome, JobResult::RenameResult(Ok(rotated)) if !matches!(rotated, RenameResult::Renamed))
        {
            self.segment.archived_as = None;
        }
    }

    /// Waits for one outcome. `false` where none is to come.
    pub(super) fn wait_result(&mut self) -> bool {
        let outcome = self.background.recv();
        outcome.is_some_and(|outcome| {
            self.on_job_result(&outcome);
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
        self.background.submit(BackgroundJob::CreateNext { bytes, page_cache: self.page_cache() });
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
        let opened =
            self.commit_backend.prepare(&path, options).and_then(|()| is_at(&*self.disk, &path, &**file));
        let opened =
            opened.and_then(|is_own| if is_own { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) });
        match opened {
            Ok(()) => {
                *open = true;
                retry.succeeded(&self.inner);
            }
            // Another process removed it: another one is created.
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                *next = Next::Absent;
                self.prepare_next();
            }
            Err(source) => {
                let failure = Failure { path, action: "open for commits", source };
                retry.failed(failure, self.disk.elapsed(), &self.inner);
            }
        }
    }

    /// Starts what can be started of a rotation that is due; turns to the next segment when it can.
    fn poll_rotation(&mut self) {
        if !self.rotation_is_due() {
            return;
        }
        match (&self.rotation.next, &self.rotation.archive) {
            (Next::Ready { file: next, open: true, .. }, Archive::Not)
                if !self.rotation.retry.is_waiting() =>
            {
                let number = self.rotation.next_number;
                let to = self.names.rotated(number);
                self.segment.archived_as = Some(to.clone());
                let (file, next) = (Arc::clone(&self.segment.file), Arc::clone(next));
                self.background.submit(BackgroundJob::Rename { file, next, to: to.clone() });
                self.rotation.archive = if seeded(Bug::SwitchBeforeRename) {
                    Archive::Done { to, number }
                } else {
                    Archive::Requested { to, number }
                };
            }
            (Next::Ready { .. }, Archive::Done { .. }) => {
                let began = Instant::now();
                self.switch_segment();
                self.rotation.timer.add_stall(began);
            }
            _ => {}
        }
    }

    /// Once the new segment has its name the rotation is over.
    fn record_rotated(&mut self) {
        let Some((rotated, due)) =
            self.rotation.timer.switched.take_if(|_| self.segment.path == self.names.active())
        else {
            return;
        };
        let (took, held) = (due.elapsed(), mem::take(&mut self.rotation.timer.held));
        self.inner.status.counters.rotation(took, held);
        let next_seq = self.next_seq;
        tracing::info!(segment = %rotated.display(), next_seq, elapsed = ?took, stall = ?held, "rotated segment");
    }

    fn rotation_is_due(&self) -> bool {
        let full = self.segment.data_end() >= self.options.max_segment_bytes;
        self.segment.records > 0 && (full || self.rotation.requested)
    }

    /// Where a segment is much larger than it should be, the rotation is waited for: it bounds what an append can
    /// leave behind, and makes tiny segments as regular as the original's.
    pub(super) fn wait_overdue_rotation(&mut self) {
        let allowed = self.options.max_segment_bytes;
        while self.segment.data_end() >= allowed.saturating_add(allowed / 8) && self.wait_rotation_step() {}
    }

    /// A closed journal is not left with a rotation due.
    pub(super) fn finish_rotation_before_closing(&mut self) {
        self.rotation.retry.resume_now();
        while self.wait_rotation_step() {}
    }

    /// Waits for one step of a rotation that is due. `false` where there is none, or no room for it.
    fn wait_rotation_step(&mut self) -> bool {
        let rotated = !matches!(self.rotation.archive, Archive::Not);
        if self.inner.status.poisoned().is_some() || !(self.rotation_is_due() || rotated) {
            return false;
        }
        self.schedule_background_work();
        if !self.rotation_is_due() || self.rotation.is_stuck() {
            return false;
        }
        let began = Instant::now();
        let settled = self.wait_result();
        self.rotation.timer.add_stall(began);
        settled
    }

    /// Makes the prepared file the segment that is written to. The old one is left to the housekeeper.
    fn switch_segment(&mut self) {
        let Next::Ready { file, bytes, .. } = mem::replace(&mut self.rotation.next, Next::Absent) else {
            return;
        };
        let Archive::Done { to, number } = mem::replace(&mut self.rotation.archive, Archive::Not) else {
            return;
        };
        debug_assert_eq!(
            self.preallocating,
            Preallocating::Idle,
            "padding was asked for before the archived name was"
        );
        let counted =
            if seeded(Bug::SeqRestartsAtRotation) { self.segment.records + 1 } else { self.next_seq };
        let link = ChainLink { first: counted, prev: self.segment.last_seal().unwrap_or(0) };
        let header = if self.options.checksums { Header::Checksummed(link) } else { Header::Plain };
        let preallocate = self.options.preallocate;
        let mut new_segment =
            ActiveSegment::new_unwritten(file, self.names.next(), bytes, header, preallocate);
        // The housekeeper has locked the file, and the lane has opened it: nothing here can fail.
        new_segment.switch(&mut *self.commit_backend);
        self.lock.lock_segment_with(Arc::clone(&new_segment.file));
        let old = mem::replace(&mut self.segment, new_segment);
        self.rotation.newest_rotated = number;
        self.rotation.next_number = number + 1;
        self.rotation.requested = false;
        self.rotation.timer.switched(to);
        self.inner.status.counters.segment_rotated();
        self.inner.status.counters.preallocated(bytes);
        self.rotation.to_close = Some(RotatedSegment {
            file: Arc::clone(&old.file),
            data_end: old.data_end(),
            sealed: old.is_sealed(),
            number: self.rotation.newest_rotated,
            applies_retention: true,
        });
        if seeded(Bug::HeaderWithFirstGroup) {
            return;
        }
        if seeded(Bug::NameBeforeHeader)
            && let Err(CommitError::Failed(error)) = self.publish_segment()
        {
            self.inner.poison(error);
        }
        // Header first: nobody must ever find the active name without one. Without room for it, the next commit
        // tries again.
        if let Err(CommitError::Failed(error)) = self.commit_header() {
            self.inner.poison(error);
        }
    }

    /// Once its header is durable, a new segment takes the active name. What it holds is acknowledged after that.
    pub(super) fn publish_segment(&mut self) -> std::result::Result<(), CommitError> {
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
                self.rotation.retry.failed(failure, self.disk.elapsed(), &self.inner);
                return Err(self.rotation.retry.commit_error());
            }
        }
        self.rotation.retry.succeeded(&self.inner);
        self.segment.path = active;
        for to_close in self.rotation.take_unclosed() {
            self.background.submit(to_close);
        }
        Ok(())
    }

    /// Has the housekeeper look after retention, where somebody asked for that.
    pub(super) fn maybe_run_retention(&mut self) {
        let requests = &self.retention_requests;
        if self.inner.status.poisoned().is_some() {
            let closed_error = || self.inner.status.closed_error();
            requests.take().into_iter().for_each(|ask| ask.refuse(closed_error()));
            self.background.cancel_deferred();
            if self.retention_phase != RetentionPhase::Running {
                // Nothing is to be gone on with: whoever asks from now on is heard, and refused.
                self.retention_phase = RetentionPhase::Idle;
            }
        } else if matches!(self.retention_phase, RetentionPhase::OnOpen | RetentionPhase::Deferred)
            || (self.retention_phase == RetentionPhase::Idle && requests.has_pending())
        {
            let opening = self.retention_phase == RetentionPhase::OnOpen;
            self.retention_phase = RetentionPhase::Running;
            self.background
                .submit(BackgroundJob::ApplyRetention { newest: self.rotation.newest_succeeded(), opening });
        }
    }

    /// Waits for all that was asked of the housekeeper, and serves who asked something of retention by then. What
    /// the limits delete is finished; what callers released is left.
    pub(super) fn drain_background(&mut self) {
        loop {
            while self.wait_result() {
                if self.retention_phase == RetentionPhase::Deferred {
                    self.maybe_run_retention();
                }
            }
            if !self.retention_requests.has_pending() {
                return;
            }
            self.maybe_run_retention();
        }
    }

    /// Somebody asks for a rotation.
    pub(super) fn rotate(&mut self, done: oneshot::Sender<Result<()>>) {
        self.rotation.requested = true;
        self.clear_disk_full();
        self.rotate_callers.push(done);
    }

    /// An append or a rotation comes: what failed is attempted again, once its back-off has passed.
    pub(super) fn clear_disk_full(&mut self) {
        let Self { rotation, disk, .. } = self;
        rotation.retry.resume(|| disk.elapsed());
    }

    fn reply_to_rotate_callers(&mut self) {
        let poisoned = self.inner.status.poisoned().is_some();
        let is_disk_full = self.rotation.is_stuck();
        if self.segment.records > 0 && self.rotation.requested && !is_disk_full && !poisoned {
            return;
        }
        self.rotation.requested = false;
        for done in self.rotate_callers.drain(..) {
            let outcome = match self.inner.status.poisoned() {
                Some(poisoned) => Err(poisoned),
                // Once the writer has turned to the new segment, the rotation is over for the caller.
                None if is_disk_full && self.segment.records > 0 => {
                    Err(self.rotation.retry.error(self.names.next()))
                }
                None => Ok(()),
            };
            reply(done, outcome);
        }
    }
}
