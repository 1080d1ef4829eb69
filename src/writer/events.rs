//! What the writer tells an operator, through `tracing`: each thing once, where it begins. What is told is documented in
//! docs/observing.md, with its fields: they are an interface.

use std::{io, mem, path::Path, time::Duration};

use super::Writer;
use crate::{BackendKind, OpenReport, SyncKind, SyncMode, device::CommitMethod, queue::Committed};

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct Said {
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
    took: Duration,
) {
    let OpenReport { created, next_seq, .. } = *report;
    let journal = journal.display();
    if report.rotation_completed {
        tracing::info!(%journal, next_seq, "completed a rotation that was cut off");
    }
    if report.plain_sealed {
        tracing::info!(%journal, next_seq, "sealed lines that had no seal");
    }
    let cut_bytes = report.cut.as_ref().map_or(0, |cut| cut.bytes);
    let CommitMethod { direct, sync: sync_mode, .. } = method;
    tracing::info!(%journal, %backend, direct, %sync_mode, created, next_seq, cut_bytes, ?took, "opened");
}

pub(super) fn fell_back(journal: &Path, source: &io::Error, hint: &str) {
    let journal = journal.display();
    tracing::warn!(%journal, %source, hint, "io_uring is not available: using blocking system calls");
}

impl Writer {
    /// Records how commits to the active segment are made durable. Reports, once each, that the file system is not
    /// trusted with the flags that were asked for, or refuses direct writes.
    pub(super) fn note_method(&mut self) {
        let method = self.lane.method();
        self.shared.counters.method(method);
        let segment = self.segment.path.display();
        let refused = !method.direct && self.options.direct && self.segment.is_written_ahead();
        let is_fdatasync = method.sync == SyncKind::Fdatasync && !method.trusted;
        let overridden = self.options.sync_mode == SyncMode::Dsync && is_fdatasync;
        if overridden && !mem::replace(&mut self.said.overridden, true) {
            tracing::warn!(%segment, "sync mode dsync is not trusted on this file system: using fdatasync");
        }
        if refused && !mem::replace(&mut self.said.buffered, true) {
            if method.trusted {
                tracing::info!(%segment, "direct writes are refused here: writing through the page cache");
            } else {
                tracing::info!(%segment, "direct writes are not trusted on this file system: writing through the page cache");
            }
        }
    }

    /// A commit has succeeded.
    pub(super) fn say_committed(&mut self, committed: &Committed, latency: Duration) {
        if self.said.no_room {
            self.said.no_room = false;
            tracing::info!(journal = %self.shared.path.display(), "there is room on the disk again");
        }
        self.said.not_begun = false;
        if latency < self.options.slow_commit {
            return;
        }
        self.shared.counters.slow_commit();
        let &Committed { seq, group_records: records, group_bytes: bytes, .. } = committed;
        let segment = self.segment.path.display();
        tracing::warn!(%segment, ?latency, seq, records, bytes, "a commit was slow");
    }

    /// A commit could not begin.
    pub(super) fn say_not_begun(&mut self, action: &'static str, error: &io::Error) {
        if !self.said.not_begun {
            self.said.not_begun = true;
            let journal = self.shared.path.display();
            tracing::warn!(%journal, action, %error, "appends are refused until a system call succeeds");
        }
    }

    /// A commit was refused for want of room.
    pub(super) fn say_no_room(&mut self, error: &io::Error) {
        if !self.said.no_room {
            self.said.no_room = true;
            let journal = self.shared.path.display();
            tracing::warn!(%journal, %error, "no room on the disk: appends are refused until there is");
        }
    }
}
