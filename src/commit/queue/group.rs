//! A commit group: callers add appends to it, the writer thread commits it.

use std::{iter, mem, sync::Arc, time::Instant};

use super::{
    capacity::CapacityGuard,
    completion::{AppendOutcome, GroupCompletion, PendingCommit, Slot},
    queued_append::{COPY_THRESHOLD_BYTES, Payload, QueuedAppend},
};
use crate::{caller_code::catch_caller_panic, format::LF, journal::status::StoreStatus};

/// The most bytes of each buffer of a completed group that are kept for later groups.
pub(super) const RETAINED_CAPACITY_BYTES: usize = 4 << 20;

/// Appends that are committed together, in the order in which they were issued.
#[derive(Debug)]
pub(crate) struct Group {
    buffers: GroupBuffers,
    /// The group is full when it has this many bytes.
    full_bytes: u64,
    /// Bytes of all lines, without the LFs between the appends.
    bytes: u64,
    records: u64,
    /// Appends that have a record.
    nonempty_appends: u64,
    /// Bytes that its appends took of the queue's capacity.
    permits: u64,
    /// Frees that capacity. Set when the group is taken from the queue.
    capacity: Option<CapacityGuard>,
    /// If set, the group is a single append, which is written only if its first record gets this sequence number.
    expected_seq: Option<u64>,
    first_append_at: Instant,
    completion: Arc<GroupCompletion>,
}

/// The memory of a group, reused for later groups.
#[derive(Debug, Default)]
pub(super) struct GroupBuffers {
    appends: Vec<GroupedAppend>,
    /// Copied payloads, separated by LF.
    copied: Vec<u8>,
    /// Moved payloads.
    moved: Vec<Payload>,
}

#[derive(Debug)]
struct GroupedAppend {
    records: u64,
    bytes: usize,
    moved: bool,
}

impl Group {
    /// Returns an empty group that is full when it has `full_bytes`.
    pub(super) fn with_buffers(buffers: GroupBuffers, full_bytes: u64, status: Arc<StoreStatus>) -> Self {
        let (first_append_at, completion) = (Instant::now(), Arc::new(GroupCompletion::new(status)));
        Self {
            buffers,
            full_bytes,
            bytes: 0,
            records: 0,
            nonempty_appends: 0,
            permits: 0,
            capacity: None,
            expected_seq: None,
            first_append_at,
            completion,
        }
    }

    /// Moves or copies the lines into the group. What remains in `queued` is dropped by the caller, outside the lock,
    /// because dropping it may run code of the caller.
    pub(super) fn add(&mut self, queued: &mut QueuedAppend) -> PendingCommit {
        let GroupBuffers { appends, copied, moved } = &mut self.buffers;
        let &mut QueuedAppend { ref mut lines, records, permits, expected_seq, ref mut callback } = queued;
        let slot = Slot {
            index: appends.len(),
            records_before: self.records,
            bytes_before: self.bytes + self.nonempty_appends,
        };
        let pending = self.completion.pending(slot);
        if let Some(callback) = callback.take() {
            pending.set_callback(callback);
        }
        self.expected_seq = expected_seq;
        let bytes = lines.bytes().len();
        let is_moved = bytes >= COPY_THRESHOLD_BYTES;
        appends.push(GroupedAppend { records, bytes, moved: is_moved });
        if is_moved {
            moved.push(mem::take(lines));
        } else if records > 0 {
            if !copied.is_empty() {
                copied.push(LF);
            }
            reserve(copied, bytes, self.full_bytes);
            copied.extend_from_slice(lines.bytes());
        }
        self.bytes += bytes as u64;
        self.nonempty_appends += u64::from(records > 0);
        self.records += records;
        self.permits += u64::from(permits);
        pending
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.full_bytes || self.expected_seq.is_some()
    }

    /// Returns the sequence number that its first record must get, if the append has that condition.
    pub(crate) fn expected_seq(&self) -> Option<u64> {
        self.expected_seq
    }

    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    pub(crate) fn first_append_at(&self) -> Instant {
        self.first_append_at
    }

    /// Returns the bytes that its appends took of the queue's capacity.
    pub(super) fn permits(&self) -> u64 {
        self.permits
    }

    pub(super) fn set_capacity(&mut self, capacity: CapacityGuard) {
        self.capacity = Some(capacity);
    }

    /// Returns the guard that frees its capacity.
    pub(super) fn take_capacity(&mut self) -> Option<CapacityGuard> {
        self.capacity.take()
    }

    pub(crate) fn appends(&self) -> usize {
        self.buffers.appends.len()
    }

    /// Returns the bytes of JSON: without the LFs between lines.
    pub(crate) fn json_bytes(&self) -> u64 {
        self.buffers.appends.iter().map(GroupedAppend::json_bytes).sum()
    }

    /// Returns all lines, in pieces that are contiguous in memory. The caller writes an LF between two pieces.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let GroupBuffers { appends, copied, moved } = &self.buffers;
        let mut moved = moved.iter();
        let mut next = 0;
        let mut runs = appends.iter().filter(|append| append.records > 0).peekable();
        iter::from_fn(move || {
            let append = runs.next()?;
            if append.moved {
                return moved.next().map(Payload::bytes);
            }
            let start = next;
            let mut end = start + append.bytes;
            while let Some(more) = runs.next_if(|append| !append.moved) {
                end += 1 + more.bytes;
            }
            next = end + 1;
            Some(&copied[start..end])
        })
    }

    /// Returns the lines, the number of records and the bytes of JSON of each append.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&[u8], u64, u64)> {
        let GroupBuffers { appends, copied, moved } = &self.buffers;
        let mut moved = moved.iter();
        let mut next = 0;
        appends.iter().map(move |append| {
            let lines = if append.moved {
                moved.next().map(Payload::bytes).unwrap_or_default()
            } else if append.records == 0 {
                &[]
            } else {
                let start = next;
                next = start + append.bytes + 1;
                &copied[start..start + append.bytes]
            };
            (lines, append.records, append.json_bytes())
        })
    }

    pub(super) fn complete(&self, outcome: AppendOutcome) {
        self.completion.complete(outcome);
    }

    pub(super) fn complete_each(&self, outcomes: Vec<AppendOutcome>) {
        self.completion.complete_each(outcomes);
    }

    fn drop_moved_payloads(&mut self) {
        for lines in mem::take(&mut self.buffers.moved) {
            catch_caller_panic(|| drop(lines));
        }
    }

    /// Returns its memory for a later group: at most [`RETAINED_CAPACITY_BYTES`] of each buffer, no payloads.
    pub(super) fn take_buffers(&mut self) -> GroupBuffers {
        self.drop_moved_payloads();
        let mut buffers = mem::take(&mut self.buffers);
        buffers.appends.clear();
        buffers.copied.clear();
        buffers.copied.shrink_to(RETAINED_CAPACITY_BYTES);
        buffers.appends.shrink_to(RETAINED_CAPACITY_BYTES / size_of::<GroupedAppend>());
        buffers
    }
}

/// Reserves memory for a whole group at once when more than [`COPY_THRESHOLD_BYTES`] are needed. Memory that is not
/// written to uses no pages yet, while a buffer that grows by doubling could use twice as much as is counted for it.
fn reserve(copied: &mut Vec<u8>, more: usize, full_bytes: u64) {
    let full =
        usize::try_from(full_bytes).unwrap_or(usize::MAX).min(RETAINED_CAPACITY_BYTES) + COPY_THRESHOLD_BYTES;
    if copied.capacity() - copied.len() < more && (COPY_THRESHOLD_BYTES..full).contains(&copied.len()) {
        copied.reserve_exact(full.saturating_sub(copied.len()).max(more));
    }
}

#[cfg(test)]
impl GroupBuffers {
    pub(super) fn bytes(&self) -> usize {
        self.copied.capacity()
            + self.appends.capacity() * size_of::<GroupedAppend>()
            + self.moved.capacity() * size_of::<Payload>()
    }
}

impl GroupedAppend {
    fn json_bytes(&self) -> u64 {
        self.bytes as u64 - self.records.saturating_sub(1)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The writer thread panicked or ended without completing the group: its callers must not wait for it.
        if !self.completion.is_completed() {
            self.completion.complete(AppendOutcome::Rejected);
        }
        self.drop_moved_payloads();
    }
}
