//! What the writer tells an operator, through `tracing`: each thing once, where it begins. What is told is documented in
//! docs/observing.md, with its fields: they are an interface.

use std::{io, path::Path, time::Duration};

use super::Writer;
use crate::{BackendKind, OpenReport, queue::Committed};

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Direct writes are refused.
    buffered: bool,
    /// The disk is full.
    no_room: bool,
}

pub(super) fn opened(
    journal: &Path,
    backend: BackendKind,
    direct: bool,
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
    tracing::info!(%journal, %backend, direct, created, next_seq, cut_bytes, ?took, "opened");
}

pub(super) fn fell_back(journal: &Path, source: &io::Error, hint: &str) {
    let journal = journal.display();
    tracing::warn!(%journal, %source, hint, "io_uring is not available: using blocking system calls");
}

impl Writer {
    /// Takes note of whether commits bypass the page cache, and tells where they should and do not.
    pub(super) fn note_directness(&mut self) {
        let direct = self.lane.is_direct();
        self.shared.counters.direct(direct);
        let refused = !direct && self.options.direct && self.segment.is_written_ahead();
        if refused && !self.said.buffered {
            self.said.buffered = true;
            let segment = self.segment.path.display();
            tracing::info!(%segment, "direct writes are refused here: writing through the page cache");
        }
    }

    /// A commit has succeeded.
    pub(super) fn say_committed(&mut self, committed: &Committed, latency: Duration) {
        if self.said.no_room {
            self.said.no_room = false;
            tracing::info!(journal = %self.shared.path.display(), "there is room on the disk again");
        }
        if latency < self.options.slow_commit {
            return;
        }
        self.shared.counters.slow_commit();
        let &Committed { seq, group_records: records, group_bytes: bytes, .. } = committed;
        let segment = self.segment.path.display();
        tracing::warn!(%segment, ?latency, seq, records, bytes, "a commit was slow");
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
