//! The results of background jobs, as far as a rotation depends on them.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use rustix::io::Errno;

use super::{
    super::retry::Failure,
    Rotation,
    state::{PreviousSegment, RotatedName, RotationEvent, RotationState},
};
use crate::{
    background::job::{JobResult, PrepareError, RenameResult},
    commit::inner::StoreInner,
    error::{clone_io_error, is_storage_full},
    io::FileHandle,
    journal::file_names::{FileNames, NUMBER_MAX},
};

impl Rotation {
    /// Handles a job result. A failed write or sync, and a rename with unknown outcome, poisons the store; a call that
    /// failed before it changed anything is attempted again.
    pub(in crate::commit::writer) fn on_result(
        &mut self,
        result: &JobResult,
        names: &FileNames,
        inner: &StoreInner,
        now: Duration,
    ) {
        match result {
            JobResult::Preallocated(Ok(_)) => self.retry.found_space(inner),
            JobResult::Preallocated(Err(error)) if is_storage_full(error) => {
                self.failed(names.active(), "preallocate", clone_io_error(error), now, inner);
            }
            JobResult::RetentionApplied(Ok(_)) => {}
            JobResult::Created(created) => self.on_created(created, names, now, inner),
            JobResult::Renamed(Ok(renamed)) => self.on_renamed(renamed, names, now, inner),
            // The rename may or may not have happened, or may not be durable: the names on disk are unknown.
            JobResult::Renamed(Err(error)) => {
                self.apply(RotationEvent::NotRenamed);
                inner.poison(clone_io_error(error));
            }
            JobResult::Closed(closed) => {
                self.previous = PreviousSegment::Closed;
                if let Err(error) = closed {
                    inner.poison(clone_io_error(error));
                }
            }
            JobResult::CloseDeferred(rotated, _) => {
                tracing::warn!(journal = %inner.status.path.display(), "disk full; closing a rotated segment later");
                self.previous = PreviousSegment::Deferred(rotated.clone());
                self.failed(names.rotated(rotated.number), "close", Errno::NOSPC.into(), now, inner);
            }
            JobResult::Preallocated(Err(error))
            | JobResult::Lost(error)
            | JobResult::RetentionApplied(Err(error)) => {
                inner.poison(clone_io_error(error));
            }
        }
    }

    fn on_created(
        &mut self,
        created: &Result<Arc<dyn FileHandle>, PrepareError>,
        names: &FileNames,
        now: Duration,
        inner: &StoreInner,
    ) {
        match created {
            Ok(file) => {
                self.retry.succeeded(inner);
                self.apply(RotationEvent::Created(Arc::clone(file)));
                return;
            }
            Err(PrepareError::Taken) => {
                let reason = "another process created it: move it away".into();
                self.retry.blocked(names.next(), reason, now, inner);
            }
            Err(PrepareError::NotStarted { action, source }) => {
                self.failed(names.next(), action, clone_io_error(source), now, inner);
            }
            Err(PrepareError::NotDurable(error)) => inner.poison(clone_io_error(error)),
        }
        self.apply(RotationEvent::NotCreated);
    }

    fn on_renamed(&mut self, renamed: &RenameResult, names: &FileNames, now: Duration, inner: &StoreInner) {
        match renamed {
            RenameResult::Renamed => {
                self.retry.succeeded(inner);
                return self.apply(RotationEvent::Renamed);
            }
            RenameResult::NextGone => return self.apply(RotationEvent::NextLost),
            RenameResult::NotRenamed(source) => {
                if let RotationState::Renaming(_, RotatedName { path, .. }) = &self.state {
                    let (path, source) = (path.clone(), clone_io_error(source));
                    self.failed(path, "give the active segment this name", source, now, inner);
                }
            }
            RenameResult::Taken(path) => {
                let (journal, file, number) = (inner.status.path.display(), path.display(), self.next_number);
                tracing::warn!(%journal, %file, number, "a file of another journal has the next segment's name; using the next number");
                if self.next_number < NUMBER_MAX {
                    self.next_number += 1;
                } else {
                    let reason = "no number is left for another segment: move it away".into();
                    self.retry.blocked(path.clone(), reason, now, inner);
                }
            }
            RenameResult::Refused(reason) => {
                self.retry.blocked(names.active(), reason.clone(), now, inner);
            }
        }
        self.apply(RotationEvent::NotRenamed);
    }

    fn failed(
        &mut self,
        path: PathBuf,
        action: &'static str,
        source: io::Error,
        now: Duration,
        inner: &StoreInner,
    ) {
        self.retry.failed(Failure { path, action, source }, now, inner);
    }
}
