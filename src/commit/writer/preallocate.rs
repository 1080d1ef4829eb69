//! Writing ahead: padding for groups to come, so that a commit changes no file size.
//!
//! The housekeeper extends the padding before it runs out. A group that needs more than there is waits for it, or
//! extends the file by its own write where padding does not pay or does not fit on the disk.

use std::{io, sync::Arc};

use super::{Writer, segment::WriteKind};
use crate::{
    background::worker::{BackgroundJob, PageCache},
    format::PADDING_STEP_BYTES,
    io::CommitError,
    seeded_bugs::{Bug, seeded},
};

/// Smallest step of writing ahead, and what steps are multiples of.
const STEP_BYTES_MIN: u64 = PADDING_STEP_BYTES;

/// Largest step of writing ahead.
const STEP_BYTES_MAX: u64 = 16 << 20;

/// A group that needs this much more room is not padded for: its own write extends the file.
const LARGE_GROUP_BYTES: u64 = 4 << 20;

/// Where groups are this large on average, padding does not pay: writing every byte twice costs more than making a new
/// size durable with each group (docs/reports/2026-11-performance.md).
const UNPADDED_GROUP_BYTES: u64 = 256 << 10;

/// The average counts the last group for one part in this many.
const AVERAGE_OVER: u64 = 4;

/// How large groups are, lately.
#[derive(Debug, Default)]
pub(super) struct GroupSizeEma {
    average: u64,
}

impl GroupSizeEma {
    pub(super) fn note(&mut self, bytes: u64) {
        self.average = self.average - self.average / AVERAGE_OVER + bytes / AVERAGE_OVER;
    }

    fn is_worth_preallocating(&self) -> bool {
        self.average < UNPADDED_GROUP_BYTES
    }
}

/// Padding that is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preallocating {
    Idle,
    /// Padding is being written behind what commits touch.
    Concurrent {
        from: u64,
    },
    /// Padding is being written in a page that commits touch: they wait.
    Exclusive {
        from: u64,
    },
}

impl Writer {
    /// Extends the padding before it runs out.
    pub(super) fn preallocate(&mut self) {
        let segment = &self.segment;
        let left = segment.prepared_end().saturating_sub(segment.data_end());
        let step = step_after(segment.prepared_end());
        let pays = self.group_size.is_worth_preallocating();
        if !segment.is_preallocated() || self.rotation.is_blocked() || left >= step / 2 || !pays {
            return;
        }
        let to = (segment.prepared_end() + step).min(self.padded_end_max());
        self.preallocate_to(to.next_multiple_of(STEP_BYTES_MIN));
    }

    fn preallocate_to(&mut self, to: u64) {
        let from = self.segment.prepared_end();
        if self.preallocating != Preallocating::Idle || to <= from {
            return;
        }
        let shares_page = !from.is_multiple_of(STEP_BYTES_MIN);
        self.preallocating =
            if shares_page { Preallocating::Exclusive { from } } else { Preallocating::Concurrent { from } };
        let cut = self.segment.cut_before_padding();
        let from = if seeded(Bug::PaddingOverwritesCommits) { self.segment.data_end() } else { from };
        self.background.submit(BackgroundJob::Preallocate {
            file: Arc::clone(&self.segment.file),
            cut,
            from,
            to,
            page_cache: self.page_cache(),
        });
    }

    /// Sees to it that a group that ends at `end` can be written; says whether its write extends the file.
    pub(super) fn ensure_space(&mut self, end: u64) -> Result<WriteKind, CommitError> {
        if !self.segment.is_preallocated() {
            return Ok(WriteKind::Extending);
        }
        let mut asked = false;
        loop {
            let fits = end <= self.segment.prepared_end();
            match self.preallocating {
                Preallocating::Concurrent { .. } if fits => return Ok(WriteKind::InPlace),
                Preallocating::Idle if fits => return Ok(WriteKind::InPlace),
                Preallocating::Idle if asked || !self.is_padded_for(end) => {
                    // Large, or there was no room for the padding; there may be for the group.
                    let added = self.segment.pad_to(if asked { 1 } else { STEP_BYTES_MIN });
                    self.inner.status.counters.preallocated(added);
                    return Ok(WriteKind::Extending);
                }
                Preallocating::Idle => {
                    asked = true;
                    let step = step_after(self.segment.prepared_end());
                    self.preallocate_to((end + step / 2).next_multiple_of(STEP_BYTES_MIN));
                }
                Preallocating::Concurrent { .. } | Preallocating::Exclusive { .. } => {
                    self.wait_result();
                    if self.inner.status.poisoned().is_some() {
                        return Err(CommitError::Failed(io::Error::other("writing ahead failed")));
                    }
                }
            }
        }
    }

    /// Whether padding is to be waited for by a group that ends at `end`, which lies behind it.
    fn is_padded_for(&self, end: u64) -> bool {
        self.group_size.is_worth_preallocating() && end - self.segment.prepared_end() <= LARGE_GROUP_BYTES
    }

    /// The housekeeper is done with the padding, up to `to` where there was room.
    pub(super) fn extended(&mut self, to: Option<u64>) {
        let preallocating = std::mem::replace(&mut self.preallocating, Preallocating::Idle);
        if let (Some(to), Preallocating::Concurrent { from } | Preallocating::Exclusive { from }) =
            (to, preallocating)
        {
            self.segment.prepared(to);
            self.inner.status.counters.preallocated(to - from);
        }
    }

    /// Waits for padding that is under way: the file is about to be cut, and must not get padding behind a hole then.
    pub(super) fn finish_extending(&mut self) {
        while self.preallocating != Preallocating::Idle && self.wait_result() {}
    }

    pub(super) fn page_cache(&self) -> PageCache {
        if self.commit_backend.is_direct() { PageCache::Drop } else { PageCache::Keep }
    }

    /// How far the next segment is written ahead before it is needed: about as far as this one was used, so that
    /// small segments, rotated on request, stay small.
    pub(super) fn next_prepared_bytes(&self) -> u64 {
        let preallocate = self.options.preallocate && self.options.checksums;
        match (preallocate, self.group_size.is_worth_preallocating()) {
            (false, _) => 0,
            (true, true) => self.padded_end_max().min(step_after(self.segment.data_end())),
            (true, false) => STEP_BYTES_MIN,
        }
    }

    /// Padding does not go further than a full segment with what may be added to it while it is rotated.
    fn padded_end_max(&self) -> u64 {
        let full = self.options.max_segment_bytes;
        full.saturating_add(full / 8)
            .saturating_add(1)
            .checked_next_multiple_of(STEP_BYTES_MIN)
            .unwrap_or(full)
    }
}

/// Steps grow with the segment: a small journal stays small.
fn step_after(prepared_end: u64) -> u64 {
    prepared_end.next_multiple_of(STEP_BYTES_MIN).clamp(STEP_BYTES_MIN, STEP_BYTES_MAX)
}
