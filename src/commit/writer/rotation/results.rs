//! The results of background jobs, as far as a rotation depends on them.

use std::{mem, sync::Arc, time::Duration};

use rustix::io::Errno;

use super::{super::retry::Failure, ActiveRename, NextSegment, Rotation};
use crate::{
    background::job::{JobResult, PrepareError, RenameResult},
    commit::inner::StoreInner,
    error::{clone_io_error, is_storage_full},
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
        if let JobResult::Closed(_) | JobResult::CloseDeferred(_) = result {
            self.is_closing = false;
        }
        match result {
            JobResult::Preallocated(Ok(_)) => self.retry.found_space(inner),
            JobResult::Closed(Ok(())) | JobResult::RetentionApplied(Ok(())) => {}
            JobResult::Preallocated(Err(error)) if is_storage_full(error) => {
                let failure =
                    Failure { path: names.active(), action: "preallocate", source: clone_io_error(error) };
                self.retry.failed(failure, now, inner);
            }
            JobResult::Created(Ok(file)) => {
                self.retry.succeeded(inner);
                if let NextSegment::Requested { bytes } = self.next {
                    self.next = NextSegment::Ready { file: Arc::clone(file), bytes, open: false };
                }
            }
            JobResult::Created(Err(PrepareError::Taken)) => {
                self.next = NextSegment::Absent;
                let reason = "another process created it: move it away".into();
                self.retry.blocked(names.next(), reason, now, inner);
            }
            JobResult::Created(Err(PrepareError::NotStarted { action, source })) => {
                self.next = NextSegment::Absent;
                let failure = Failure { path: names.next(), action, source: clone_io_error(source) };
                self.retry.failed(failure, now, inner);
            }
            JobResult::Renamed(Ok(RenameResult::NotRenamed(source))) => {
                if let ActiveRename::Requested { to, .. } = mem::replace(&mut self.rename, ActiveRename::Idle)
                {
                    let action = "give the active segment this name";
                    self.retry.failed(
                        Failure { path: to, action, source: clone_io_error(source) },
                        now,
                        inner,
                    );
                }
            }
            JobResult::Renamed(Ok(RenameResult::Renamed)) => {
                self.retry.succeeded(inner);
                if let ActiveRename::Requested { to, number } =
                    mem::replace(&mut self.rename, ActiveRename::Idle)
                {
                    self.rename = ActiveRename::Done { to, number };
                }
            }
            JobResult::Renamed(Ok(RenameResult::NextGone)) => {
                (self.next, self.rename) = (NextSegment::Absent, ActiveRename::Idle);
            }
            JobResult::Renamed(Ok(RenameResult::Taken(path))) => {
                self.rename = ActiveRename::Idle;
                let (journal, file, number) = (inner.status.path.display(), path.display(), self.next_number);
                tracing::warn!(%journal, %file, number, "a file of another journal has the next segment's name; using the next number");
                if self.next_number < NUMBER_MAX {
                    self.next_number += 1;
                } else {
                    let reason = "no number is left for another segment: move it away".into();
                    self.retry.blocked(path.clone(), reason, now, inner);
                }
            }
            JobResult::Renamed(Ok(RenameResult::Refused(reason))) => {
                self.rename = ActiveRename::Idle;
                self.retry.blocked(names.active(), reason.clone(), now, inner);
            }
            JobResult::Created(Err(PrepareError::NotDurable(error))) => {
                self.next = NextSegment::Absent;
                inner.poison(clone_io_error(error));
            }
            // The rename may or may not have happened, or may not be durable: the names on disk are unknown.
            JobResult::Renamed(Err(error)) => {
                self.rename = ActiveRename::Idle;
                inner.poison(clone_io_error(error));
            }
            JobResult::Preallocated(Err(error))
            | JobResult::Closed(Err(error))
            | JobResult::Lost(error)
            | JobResult::RetentionApplied(Err(error)) => {
                inner.poison(clone_io_error(error));
            }
            JobResult::CloseDeferred(rotated) => {
                tracing::warn!(journal = %inner.status.path.display(), "disk full; closing a rotated segment later");
                self.close_deferred = Some(rotated.clone());
                let path = names.rotated(rotated.number);
                let source = Errno::NOSPC.into();
                self.retry.failed(Failure { path, action: "close", source }, now, inner);
            }
        }
    }
}
