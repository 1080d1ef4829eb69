//! Preallocation: padding after the data, over which later groups are written, so that a commit changes no file size.
//!
//! The background thread extends the padding before it runs out. A group that needs more padding than there is waits
//! for it. It extends the file by its own write where padding does not pay, or where the disk has no space for it.

use std::{io, sync::Arc};

use super::{Writer, segment::WriteKind};
use crate::{
    background::job::{BackgroundJob, PageCache},
    format::PADDING_STEP_BYTES,
    io::CommitError,
};

/// The smallest step of preallocation. Steps are multiples of it.
const STEP_BYTES_MIN: u64 = PADDING_STEP_BYTES;

/// The largest step of preallocation.
const STEP_BYTES_MAX: u64 = 16 << 20;

/// The most bytes of one preallocation, so that no group and no other job waits long for it.
const JOB_BYTES_MAX: u64 = 1 << 20;

/// No padding is written for a group that needs more than this beyond the padding: its own write extends the file.
const LARGE_GROUP_BYTES: u64 = 4 << 20;

/// With groups that are this large on average, padding does not pay: writing every byte twice costs more than making a
/// new file size durable with each group (docs/reports/2026-12-performance.md).
const UNPADDED_GROUP_BYTES: u64 = 256 << 10;

/// Once padding has not paid, it pays again when groups are smaller than this on average.
const PADDED_GROUP_BYTES: u64 = 64 << 10;

/// The weight of the last group in the average is 1 / `AVERAGE_WINDOW`.
const AVERAGE_WINDOW: u64 = 4;

/// The moving average of group sizes.
#[derive(Debug, Default)]
pub(super) struct GroupSizeEma {
    average: u64,
    is_large: bool,
}

impl GroupSizeEma {
    pub(super) fn record(&mut self, bytes: u64) {
        self.average = self.average - self.average / AVERAGE_WINDOW + bytes / AVERAGE_WINDOW;
        self.is_large = self.average >= if self.is_large { PADDED_GROUP_BYTES } else { UNPADDED_GROUP_BYTES };
    }

    fn is_worth_preallocating(&self) -> bool {
        !self.is_large
    }
}

/// Whether the background thread is writing padding to the active segment, and from which offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preallocating {
    Idle,
    /// It writes pages that commits do not write.
    Concurrent {
        from: u64,
    },
    /// It writes a page that commits write, too: they wait for it.
    Exclusive {
        from: u64,
    },
}

impl Writer {
    /// Requests more padding before it runs out.
    pub(super) fn preallocate(&mut self) {
        let segment = &self.segment;
        let left = segment.prepared_end().saturating_sub(segment.data_end());
        let step = self.padding_step();
        let pays = self.group_size.is_worth_preallocating();
        if !segment.is_preallocated() || self.rotation.is_blocked() || left >= step / 2 || !pays {
            return;
        }
        let to = (segment.prepared_end() + step.min(JOB_BYTES_MAX)).min(self.padded_end_max());
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
        let truncate_at = self.segment.file.truncate_before_padding();
        self.background.submit(BackgroundJob::Preallocate {
            file: Arc::clone(&self.segment.file.handle),
            truncate_at,
            from,
            to,
            page_cache: self.page_cache(),
        });
    }

    /// Waits for padding up to `end` if that pays. Returns whether the write of the group that ends there extends the
    /// file.
    pub(super) fn ensure_space(&mut self, end: u64) -> Result<WriteKind, CommitError> {
        if !self.segment.is_preallocated() {
            return Ok(WriteKind::Extending);
        }
        let mut requested = false;
        loop {
            let fits = end <= self.segment.prepared_end();
            match self.preallocating {
                Preallocating::Concurrent { .. } if fits => return Ok(WriteKind::InPlace),
                Preallocating::Idle if fits => return Ok(WriteKind::InPlace),
                Preallocating::Idle if requested || !self.waits_for_padding(end) => {
                    // The group is large, or the disk has no space for the padding. It may have space for the group.
                    let added = self.segment.pad_to(if requested { 1 } else { STEP_BYTES_MIN });
                    self.inner.status.counters.add_preallocated_bytes(added);
                    return Ok(WriteKind::Extending);
                }
                Preallocating::Idle => {
                    requested = true;
                    self.preallocate_to(self.padding_for(end));
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

    /// Returns whether a group that ends at `end`, after the padding, waits for more padding.
    fn waits_for_padding(&self, end: u64) -> bool {
        self.group_size.is_worth_preallocating()
            && end - self.segment.prepared_end() <= LARGE_GROUP_BYTES
            && self.padding_for(end) - self.segment.data_end() <= self.segment.padding_max
    }

    /// Returns the end of the padding that is written for a group that ends at `end`, after the padding.
    fn padding_for(&self, end: u64) -> u64 {
        (end + self.padding_step().min(JOB_BYTES_MAX) / 2).next_multiple_of(STEP_BYTES_MIN)
    }

    /// Returns the next step of the active segment. More padding is requested where half of it is left, and a job writes far less than
    /// the other half, so the padding stays below [`padding_max`](super::segment::ActiveSegment::padding_max).
    fn padding_step(&self) -> u64 {
        step_after(self.segment.prepared_end()).min(self.segment.padding_max)
    }

    /// Records that the padding is written up to `to`, or that it failed.
    pub(super) fn on_preallocated(&mut self, to: Option<u64>) {
        let preallocating = std::mem::replace(&mut self.preallocating, Preallocating::Idle);
        if let (Some(to), Preallocating::Concurrent { from } | Preallocating::Exclusive { from }) =
            (to, preallocating)
        {
            self.segment.file.on_preallocated(to);
            self.inner.status.counters.add_preallocated_bytes(to - from);
        }
    }

    /// Waits until no padding is being written. Called before the file is truncated: padding that is written after that
    /// would follow a hole.
    pub(super) fn wait_preallocated(&mut self) {
        while self.preallocating != Preallocating::Idle && self.wait_result() {}
    }

    pub(super) fn page_cache(&self) -> PageCache {
        if self.commit_backend.is_direct() { PageCache::Drop } else { PageCache::Keep }
    }

    /// Returns how far the next segment is preallocated before it is used: about as far as this one was used, so that
    /// small segments, rotated on request, stay small.
    pub(super) fn next_prepared_bytes(&self) -> u64 {
        let preallocate = self.options.preallocate && self.options.checksums;
        match (preallocate, self.group_size.is_worth_preallocating()) {
            (false, _) => 0,
            (true, true) => self.padded_end_max().min(step_after(self.segment.data_end())).min(JOB_BYTES_MAX),
            (true, false) => STEP_BYTES_MIN,
        }
    }

    /// Returns the largest end of the padding: a full segment, with what may be added to it during its rotation.
    fn padded_end_max(&self) -> u64 {
        let full = self.options.max_segment_bytes;
        full.saturating_add(full / 8)
            .saturating_add(1)
            .checked_next_multiple_of(STEP_BYTES_MIN)
            .unwrap_or(full)
    }
}

/// Returns the step after padding up to `prepared_end`. Steps grow with the segment, so that a small journal stays
/// small.
fn step_after(prepared_end: u64) -> u64 {
    prepared_end.next_multiple_of(STEP_BYTES_MIN).clamp(STEP_BYTES_MIN, STEP_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_pays_again_only_below_the_lower_limit() {
        let mut size = GroupSizeEma::default();
        let mut after = |bytes: u64| {
            (0..100).for_each(|_| size.record(bytes));
            size.is_worth_preallocating()
        };
        assert!(after(UNPADDED_GROUP_BYTES - 1), "as at the start");
        assert!(!after(UNPADDED_GROUP_BYTES * 2));
        assert!(!after(PADDED_GROUP_BYTES * 2), "between the limits nothing changes");
        assert!(after(PADDED_GROUP_BYTES / 2));
        assert!(after(PADDED_GROUP_BYTES * 2), "between the limits nothing changes");
    }
}
