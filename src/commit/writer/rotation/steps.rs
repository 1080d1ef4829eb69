//! The steps of a rotation on the writer thread.

use std::{io, mem, sync::Arc, time::Instant};

use super::{
    super::{Writer, preallocate::Preallocating, retry::Failure, segment::ActiveSegment},
    state::{RotatedName, RotationEvent, RotationFacts, RotationState, RotationStep},
    timer::RotationTimes,
};
use crate::{
    Result,
    background::job::{BackgroundJob, RotatedSegment},
    format::{ChainLink, SegmentHeader},
    io::{CommitError, CommitOptions, RenameError, is_at, rename_to_free_name},
    journal::{ownership::moved_away, reply::reply},
    sync::oneshot,
};

impl Writer {
    /// Starts the steps of a rotation that can be started now. Never waits.
    pub(in crate::commit::writer) fn advance_rotation(&mut self) {
        let is_due = self.rotation_is_due();
        self.rotation.timer.update(is_due);
        while self.inner.status.poisoned().is_none()
            && let Some(step) = self.rotation.state.next_step(self.rotation_facts())
        {
            match step {
                RotationStep::CreateNext => self.create_next(),
                RotationStep::OpenNext => self.open_next(),
                RotationStep::ClosePrevious => self.submit_close(),
                RotationStep::RenameActive => self.rename_active(),
                RotationStep::Switch => {
                    let began = Instant::now();
                    self.switch_segment();
                    self.rotation.timer.add_stall(began);
                }
                RotationStep::Publish => {
                    if let Err(CommitError::Failed(error)) = self.publish_segment() {
                        self.inner.poison(error);
                    }
                }
            }
        }
    }

    fn rotation_facts(&self) -> RotationFacts<'_> {
        let half_used = self.segment.data_end() >= self.options.max_segment_bytes / 2;
        let is_due = self.rotation_is_due();
        RotationFacts {
            wants_next: self.segment.records > 0 && (half_used || is_due),
            is_due,
            retry_waits: self.rotation.retry.is_waiting(),
            previous: &self.rotation.previous,
            header_written: !self.segment.is_unwritten(),
        }
    }

    fn create_next(&mut self) {
        let bytes = self.next_prepared_bytes();
        self.rotation.apply(RotationEvent::CreateSubmitted { bytes });
        self.background.submit(BackgroundJob::CreateNext { bytes, page_cache: self.page_cache() });
    }

    /// Opens the next segment for commits, before any other step of the rotation: at the switch it would be too late to
    /// find that no file descriptor is free.
    fn open_next(&mut self) {
        let RotationState::Created(next) = &self.rotation.state else { return };
        let path = self.names.next();
        let options = CommitOptions::for_segment(&self.options, self.options.checksums);
        // The backend opens the file by name: another process may have moved the file and created another one.
        let opened =
            self.commit_backend.prepare(&path, options).and_then(|()| is_at(&*self.fs, &path, &*next.file));
        match opened.and_then(|is_own| if is_own { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }) {
            Ok(()) => {
                self.rotation.apply(RotationEvent::OpenedForCommits);
                self.rotation.retry.succeeded(&self.inner);
            }
            // Another process removed it: create a new one.
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                self.rotation.apply(RotationEvent::NextLost);
            }
            Err(source) => {
                let failure = Failure { path, action: "open for commits", source };
                self.rotation.retry.failed(failure, self.fs.elapsed(), &self.inner);
            }
        }
    }

    /// Submits the job that closes the segment before the active one.
    fn submit_close(&mut self) {
        if let Some(close) = self.rotation.take_unclosed() {
            self.background.submit(close);
        }
    }

    fn rename_active(&mut self) {
        let RotationState::Prepared(next) = &self.rotation.state else { return };
        let number = self.rotation.next_number;
        let to = self.names.rotated(number);
        self.segment.file.rotated_path = Some(to.clone());
        let (file, next) = (Arc::clone(&self.segment.file.handle), Arc::clone(&next.file));
        self.background.submit(BackgroundJob::Rename { file, next, to: to.clone() });
        self.rotation.apply(RotationEvent::RenameSubmitted(RotatedName { path: to, number }));
    }

    /// Ends the rotation in the statistics and the log, once the new segment has its name.
    pub(in crate::commit::writer) fn record_rotated(&mut self) {
        if self.segment.file.path != self.names.active() {
            return;
        }
        let Some(RotationTimes { rotated, elapsed, stall }) = self.rotation.timer.finish() else { return };
        self.inner.status.counters.record_rotation(elapsed, stall);
        let next_seq = self.next_seq;
        tracing::info!(segment = %rotated.display(), next_seq, ?elapsed, ?stall, "rotated segment");
    }

    fn rotation_is_due(&self) -> bool {
        let full = self.segment.data_end() >= self.options.max_segment_bytes;
        self.segment.records > 0 && (full || self.rotation.requested)
    }

    /// Waits for a rotation if the segment is much larger than its limit. This bounds what an append can add to a
    /// segment, and makes tiny segments as regular as those of `ministore` 0.1.7.
    pub(in crate::commit::writer) fn wait_overdue_rotation(&mut self) {
        let limit = self.options.max_segment_bytes;
        while self.segment.data_end() >= limit.saturating_add(limit / 8) && self.wait_rotation_step() {}
    }

    /// Completes a rotation that is due, so that the journal is not closed before it.
    pub(in crate::commit::writer) fn finish_rotation_before_closing(&mut self) {
        self.rotation.retry.resume_now();
        while self.wait_rotation_step() {}
    }

    /// Waits for one step of a rotation that is due. Returns `false` if none is due, or if it cannot continue.
    fn wait_rotation_step(&mut self) -> bool {
        let renaming = self.rotation.state.is_renaming();
        if self.inner.status.poisoned().is_some() || !(self.rotation_is_due() || renaming) {
            return false;
        }
        self.schedule_background_work();
        if !self.rotation_is_due() || self.rotation.is_stuck() {
            return false;
        }
        let began = Instant::now();
        let received = self.wait_result();
        self.rotation.timer.add_stall(began);
        received
    }

    /// Makes the next segment the active one. The background thread closes the old one.
    fn switch_segment(&mut self) {
        let RotationState::Renamed(next, RotatedName { path: to, number }) = self.rotation.state.clone()
        else {
            return;
        };
        debug_assert_eq!(
            self.preallocating,
            Preallocating::Idle,
            "padding was requested before the rename, and jobs run in order"
        );
        let link = ChainLink { first_seq: self.next_seq, prev_seal: self.segment.last_seal().unwrap_or(0) };
        let header = if self.options.checksums {
            SegmentHeader::of(self.options.header, link)
        } else {
            SegmentHeader::Plain
        };
        let preallocate = self.options.preallocate;
        let mut new_segment =
            ActiveSegment::new_unwritten(next.file, self.names.next(), next.bytes, header, preallocate);
        // The background thread has locked the file, and the commit backend has opened it: nothing here can fail.
        new_segment.switch(&mut *self.commit_backend);
        self.lock.lock_segment_with(Arc::clone(&new_segment.file.handle));
        let old = mem::replace(&mut self.segment, new_segment);
        self.rotation.newest_rotated = number;
        self.rotation.next_number = number + 1;
        self.rotation.requested = false;
        self.rotation.timer.switched(&to);
        self.inner.status.counters.count_rotation();
        self.inner.status.counters.add_preallocated_bytes(next.bytes);
        self.rotation.apply(RotationEvent::Switched(RotatedSegment {
            file: Arc::clone(&old.file.handle),
            data_end: old.data_end(),
            checksummed: old.is_checksummed(),
            number,
            applies_retention: true,
        }));
        // The header before the name: no reader may find the active name without a header. If the disk has no space for
        // it, the next commit tries again.
        if let Err(CommitError::Failed(error)) = self.commit_header() {
            self.inner.poison(error);
        }
    }

    /// Publishes a new segment that has a header and no name yet.
    pub(in crate::commit::writer) fn publish_header(&mut self) -> std::result::Result<(), CommitError> {
        if self.segment.is_unwritten() || self.inner.status.poisoned().is_some() {
            Ok(())
        } else {
            self.publish_segment()
        }
    }

    /// Renames a new segment whose header is durable to the active name. Its records are acknowledged after that.
    pub(in crate::commit::writer) fn publish_segment(&mut self) -> std::result::Result<(), CommitError> {
        let active = self.names.active();
        if self.segment.file.path == active {
            return Ok(());
        }
        if self.rotation.retry.is_waiting() {
            return Err(self.rotation.retry.commit_error());
        }
        match rename_to_free_name(&*self.fs, self.names.dir(), &self.segment.file.path, &active) {
            Ok(()) => {}
            Err(RenameError::Unknown(error)) => return Err(CommitError::Failed(error)),
            Err(RenameError::Refused(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(CommitError::Failed(moved_away(&active)));
            }
            Err(RenameError::Refused(source) | RenameError::Unsupported(source)) => {
                let failure = Failure { path: active, action: "give the new segment this name", source };
                self.rotation.retry.failed(failure, self.fs.elapsed(), &self.inner);
                return Err(self.rotation.retry.commit_error());
            }
        }
        self.rotation.retry.succeeded(&self.inner);
        self.segment.file.path = active;
        if let RotationState::Publishing(rotated) = &self.rotation.state {
            let rotated = rotated.clone();
            self.rotation.apply(RotationEvent::Published);
            let close = self.rotation.close_job(rotated);
            self.background.submit(close);
        }
        Ok(())
    }

    /// Requests a rotation for a caller.
    pub(in crate::commit::writer) fn rotate(&mut self, reply_tx: oneshot::Sender<Result<()>>) {
        self.rotation.requested = true;
        self.resume_retries();
        self.rotate_callers.push(reply_tx);
    }

    /// Allows another attempt of what failed, once its back-off has passed. Called for each append and each rotation.
    pub(in crate::commit::writer) fn resume_retries(&mut self) {
        let Self { rotation, fs, .. } = self;
        rotation.retry.resume(|| fs.elapsed());
    }

    /// Replies to the callers of a rotation, once it is complete, cannot continue, or the store is poisoned.
    pub(in crate::commit::writer) fn reply_to_rotate_callers(&mut self) {
        let poisoned = self.inner.status.poisoned().is_some();
        let is_stuck = self.rotation.is_stuck();
        if self.segment.records > 0 && self.rotation.requested && !is_stuck && !poisoned {
            return;
        }
        self.rotation.requested = false;
        for reply_tx in self.rotate_callers.drain(..) {
            let outcome = match self.inner.status.poisoned() {
                Some(poisoned) => Err(poisoned),
                // Once commits go to the new segment, the rotation is complete for the caller.
                None if is_stuck && self.segment.records > 0 => {
                    Err(self.rotation.retry.error(self.names.next()))
                }
                None => Ok(()),
            };
            reply(reply_tx, outcome);
        }
    }
}
