//! What the writer tells an operator, through `tracing`: each thing once, where it begins. What is told is documented in
//! docs/reference/events.md, with its fields: they are an interface.

use std::{io, mem, path::Path, time::Duration};

use super::Writer;
use crate::{BackendKind, OpenReport, SyncKind, SyncMode, commit::queue::CommitInfo, io::CommitMethod};

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct LogOnce {
    /// Direct writes are refused, or not trusted.
    buffered: bool,
    /// The sync mode that was asked for is not used.
    overridden: bool,
    /// The disk is full.
    no_room: bool,
    /// Commits cannot begin.
    not_begun: bool,
}

pub(super) fn opened(
    journal: &Path,
    backend: BackendKind,
    method: CommitMethod,
    report: &OpenReport,
    elapsed: Duration,
) {
    let OpenReport { created, next_seq, .. } = *report;
    let journal = journal.display();
    if report.rotation_completed {
        tracing::info!(%journal, next_seq, "completed interrupted rotation");
    }
    if report.legacy_upgraded {
        tracing::info!(%journal, next_seq, "added checksums to a legacy segment");
    }
    let truncated_bytes = report.truncated.as_ref().map_or(0, |cut| cut.bytes);
    let CommitMethod { direct: direct_io, sync: sync_mode, .. } = method;
    tracing::info!(%journal, %backend, direct_io, %sync_mode, created, next_seq, truncated_bytes, ?elapsed, "opened");
}

/// Tells a program with 0.1.7's options that rotations delete: it did not choose that.
pub(super) fn legacy_retention(journal: &Path, segments: usize, max_segments: usize, deletes_next: bool) {
    let journal = journal.display();
    tracing::info!(%journal, segments, max_segments, "rotations keep at most max_segments segments and delete older ones");
    if deletes_next {
        tracing::warn!(%journal, segments, max_segments, "the next rotation deletes the oldest segment");
    }
}

pub(super) fn log_fallback(journal: &Path, source: &io::Error, hint: &str) {
    let journal = journal.display();
    tracing::warn!(%journal, error = %source, hint, "io_uring unavailable; using blocking system calls");
}

impl Writer {
    /// Records how commits to the active segment are made durable. Reports, once each, that the file system is not
    /// trusted with the flags that were asked for, or refuses direct writes.
    pub(super) fn log_commit_method(&mut self) {
        let method = self.commit_backend.method();
        self.inner.status.counters.method(method);
        let segment = self.segment.path.display();
        let refused = !method.direct && self.options.direct_io && self.segment.is_preallocated();
        let is_fdatasync = method.sync == SyncKind::Fdatasync && !method.trusted;
        let overridden = self.options.sync_mode == SyncMode::Dsync && is_fdatasync;
        if overridden && !mem::replace(&mut self.log_once.overridden, true) {
            tracing::warn!(%segment, "O_DSYNC not trusted on this file system; using fdatasync");
        }
        if refused && !mem::replace(&mut self.log_once.buffered, true) {
            if method.trusted {
                tracing::info!(%segment, "O_DIRECT not supported; using buffered writes");
            } else {
                tracing::info!(%segment, "O_DIRECT not trusted on this file system; using buffered writes");
            }
        }
    }

    /// A commit has succeeded.
    pub(super) fn log_commit(&mut self, committed: &CommitInfo, latency: Duration) {
        if self.log_once.no_room {
            self.log_once.no_room = false;
            tracing::info!(journal = %self.inner.status.path.display(), "disk space available; accepting appends");
        }
        self.log_once.not_begun = false;
        if self.options.slow_commit_threshold.is_none_or(|threshold| latency < threshold) {
            return;
        }
        self.inner.status.counters.slow_commit();
        let &CommitInfo { seq, group_records: records, group_bytes: bytes, .. } = committed;
        let segment = self.segment.path.display();
        tracing::warn!(%segment, ?latency, seq, records, bytes, "slow commit");
    }

    /// A commit could not begin.
    pub(super) fn log_not_begun(&mut self, action: &'static str, error: &io::Error) {
        if !self.log_once.not_begun {
            self.log_once.not_begun = true;
            let journal = self.inner.status.path.display();
            tracing::warn!(%journal, action, %error, "system call failed; rejecting appends until it succeeds");
        }
    }

    /// A commit was refused for want of room.
    pub(super) fn log_disk_full(&mut self, error: &io::Error) {
        if !self.log_once.no_room {
            self.log_once.no_room = true;
            let journal = self.inner.status.path.display();
            tracing::warn!(%journal, %error, "disk full; rejecting appends until space is freed");
        }
    }
}
