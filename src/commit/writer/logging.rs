//! The log events of the writer thread. Conditions that last are logged once, when they begin. Names and fields of the
//! events are a public interface, documented in docs/reference/events.md.

use std::{io, mem, path::Path, time::Duration};

use super::Writer;
use crate::{BackendKind, OpenReport, SyncKind, SyncMode, commit::queue::CommitInfo, io::CommitMethod};

/// The conditions that are already logged.
#[derive(Debug, Default)]
pub(super) struct LogOnce {
    /// Direct I/O is not supported or not trusted.
    buffered: bool,
    /// The requested sync mode is not used.
    overridden: bool,
    disk_full: bool,
    /// Commits cannot begin.
    not_begun: bool,
}

pub(super) fn log_opened(
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
    let truncated_bytes = report.truncated.as_ref().map_or(0, |tail| tail.bytes);
    let CommitMethod { direct: direct_io, sync: sync_mode, .. } = method;
    tracing::info!(%journal, %backend, direct_io, %sync_mode, created, next_seq, truncated_bytes, ?elapsed, "opened");
}

/// Logs that rotations delete segments: a program with the options of `ministore` 0.1.7 did not choose that.
pub(super) fn log_legacy_retention(journal: &Path, segments: usize, max_segments: usize, deletes_next: bool) {
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
    /// Records in the statistics how commits to the active segment are made durable. Logs, once each, that the file
    /// system is not trusted with the requested flags, or does not support direct I/O.
    pub(super) fn log_commit_method(&mut self) {
        let method = self.commit_backend.method();
        self.inner.status.counters.set_method(method);
        let segment = self.segment.file.path.display();
        let buffered = !method.direct && self.options.direct_io && self.segment.is_preallocated();
        let is_fdatasync = method.sync == SyncKind::Fdatasync && !method.trusted;
        let overridden = self.options.sync_mode == SyncMode::Dsync && is_fdatasync;
        if overridden && !mem::replace(&mut self.log_once.overridden, true) {
            tracing::warn!(%segment, "O_DSYNC not trusted on this file system; using fdatasync");
        }
        if buffered && !mem::replace(&mut self.log_once.buffered, true) {
            if method.trusted {
                tracing::info!(%segment, "O_DIRECT not supported; using buffered writes");
            } else {
                tracing::info!(%segment, "O_DIRECT not trusted on this file system; using buffered writes");
            }
        }
    }

    /// Logs a slow commit, and the end of a full disk. Called after each commit.
    pub(super) fn log_commit(&mut self, committed: &CommitInfo, latency: Duration) {
        if self.log_once.disk_full {
            self.log_once.disk_full = false;
            tracing::info!(journal = %self.inner.status.path.display(), "disk space available; accepting appends");
        }
        self.log_once.not_begun = false;
        if self.options.slow_commit_threshold.is_none_or(|threshold| latency < threshold) {
            return;
        }
        self.inner.status.counters.count_slow_commit();
        let &CommitInfo { seq, group_records: records, group_bytes: bytes, .. } = committed;
        let segment = self.segment.file.path.display();
        tracing::warn!(%segment, ?latency, seq, records, bytes, "slow commit");
    }

    /// Logs that a commit could not begin.
    pub(super) fn log_not_begun(&mut self, action: &'static str, error: &io::Error) {
        if !self.log_once.not_begun {
            self.log_once.not_begun = true;
            let journal = self.inner.status.path.display();
            tracing::warn!(%journal, action, %error, "system call failed; rejecting appends until it succeeds");
        }
    }

    /// Logs that a commit failed because the disk is full.
    pub(super) fn log_disk_full(&mut self, error: &io::Error) {
        if !self.log_once.disk_full {
            self.log_once.disk_full = true;
            let journal = self.inner.status.path.display();
            tracing::warn!(%journal, %error, "disk full; rejecting appends until space is freed");
        }
    }
}
