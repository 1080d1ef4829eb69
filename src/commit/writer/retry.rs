//! Temporary failures: a call that failed before it changed anything is attempted again, with back-off, and logged.
//!
//! A full disk has no back-off: each append finds out anyway whether there is space again. Neither has a file that is
//! in the way: once it is moved away, `rotate` may be called at once.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use crate::{
    MiniStoreError,
    commit::inner::StoreInner,
    error::{clone_io_error, is_storage_full},
    io::CommitError,
    journal::ownership::not_owned,
};

/// The delay after the first failure. It doubles with each further failure.
const DELAY_MIN: Duration = Duration::from_millis(10);

/// The longest delay.
const DELAY_MAX: Duration = Duration::from_secs(1);

/// While the failure lasts, it is logged again after this long.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// A call that failed before it changed anything.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) path: PathBuf,
    pub(super) action: &'static str,
    pub(super) source: io::Error,
}

/// The reason why a rotation cannot continue.
#[derive(Debug)]
enum Cause {
    Failure(Failure),
    /// This file is in the way, or cannot be renamed safely.
    Blocked {
        file: PathBuf,
        reason: String,
    },
}

/// Whether a rotation may be attempted now. All times are those of
/// [`FileSystem::elapsed`](crate::io::FileSystem::elapsed).
#[derive(Debug, Default)]
pub(super) struct Retry {
    /// Why the last attempt failed, until one succeeds.
    cause: Option<Cause>,
    /// No attempt is made until [`resume`](Self::resume) allows it.
    waiting: bool,
    not_before: Duration,
    delay: Duration,
    logged: Option<Duration>,
}

impl Retry {
    /// Records a failure: no attempt is made until the back-off has passed and an append or a rotation asks for one.
    pub(super) fn failed(&mut self, failure: Failure, now: Duration, inner: &StoreInner) {
        let Failure { path, action, source } = &failure;
        self.waiting = true;
        if is_storage_full(source) {
            (self.delay, self.not_before) = (Duration::ZERO, now);
        } else {
            self.delay = (self.delay * 2).clamp(DELAY_MIN, DELAY_MAX);
            self.not_before = now + self.delay;
            inner.status.counters.count_transient_error(source.raw_os_error());
        }
        if self.should_log(!matches!(self.cause, Some(Cause::Blocked { .. })), now) {
            let (journal, path) = (inner.status.path.display(), path.display());
            tracing::warn!(%journal, %path, action, error = %source, "could not create or rotate a segment; will retry");
        }
        self.cause = Some(Cause::Failure(failure));
    }

    /// Records that a file is in the way. Nothing was changed; the next append or rotation makes another attempt.
    pub(super) fn blocked(&mut self, file: PathBuf, reason: String, now: Duration, inner: &StoreInner) {
        self.waiting = true;
        (self.delay, self.not_before) = (Duration::ZERO, now);
        if self.should_log(!matches!(self.cause, Some(Cause::Failure(_))), now) {
            tracing::warn!(journal = %inner.status.path.display(), file = %file.display(), reason, "cannot rotate");
        }
        self.cause = Some(Cause::Blocked { file, reason });
    }

    fn should_log(&mut self, is_known: bool, now: Duration) -> bool {
        let is_due = !is_known || self.logged.is_none_or(|logged| now >= logged + LOG_INTERVAL);
        if is_due {
            self.logged = Some(now);
        }
        is_due
    }

    /// Records that the call that failed has succeeded, or another one that shows that it would.
    pub(super) fn succeeded(&mut self, inner: &StoreInner) {
        if self.logged.is_some() {
            tracing::info!(journal = %inner.status.path.display(), "rotation works again");
        }
        *self = Self::default();
    }

    /// Records that the disk has space again.
    pub(super) fn found_space(&mut self, inner: &StoreInner) {
        if matches!(&self.cause, Some(Cause::Failure(failure)) if is_storage_full(&failure.source)) {
            self.succeeded(inner);
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Allows another attempt if the back-off has passed. Called for each append and each rotation.
    pub(super) fn resume(&mut self, now: impl FnOnce() -> Duration) {
        if self.waiting {
            self.waiting = now() < self.not_before;
        }
    }

    /// Allows another attempt at once, because the journal is being closed.
    pub(super) fn resume_now(&mut self) {
        self.waiting = false;
    }

    /// Returns the error for the caller of a rotation that cannot continue.
    pub(super) fn error(&self, next: PathBuf) -> MiniStoreError {
        match &self.cause {
            Some(Cause::Blocked { file, reason }) => {
                not_owned(file, format!("it keeps the segment from being rotated: {reason}"))
            }
            Some(Cause::Failure(Failure { path, action, source })) if !is_storage_full(source) => {
                MiniStoreError::Unavailable {
                    path: path.clone(),
                    action,
                    source: Arc::new(clone_io_error(source)),
                }
            }
            Some(Cause::Failure(Failure { source, .. })) => {
                MiniStoreError::StorageFull { path: next, source: Arc::new(clone_io_error(source)) }
            }
            None => MiniStoreError::StorageFull {
                path: next,
                source: Arc::new(io::ErrorKind::StorageFull.into()),
            },
        }
    }

    /// Returns the error for a commit that cannot begin before another attempt.
    pub(super) fn commit_error(&self) -> CommitError {
        match &self.cause {
            Some(Cause::Blocked { reason, .. }) => {
                CommitError::NotStarted { action: "rotate", source: io::Error::other(reason.clone()) }
            }
            Some(Cause::Failure(Failure { action, source, .. })) if !is_storage_full(source) => {
                CommitError::NotStarted { action, source: clone_io_error(source) }
            }
            Some(Cause::Failure(Failure { source, .. })) => CommitError::StorageFull(clone_io_error(source)),
            None => CommitError::StorageFull(io::ErrorKind::StorageFull.into()),
        }
    }
}
