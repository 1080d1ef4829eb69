//! A commit group that callers fill and the writer commits.

use std::{iter, mem, sync::Arc, time::Instant};

use super::{
    QueuedAppend,
    completion::{GroupCompletion, GroupOutcome, GroupSlot, SlotOffset},
    payload::Payload,
};
use crate::{caller_code::catch_caller_panic, format::LF, journal::status::StoreStatus};

/// Lines of fewer bytes are copied into the group, so that whoever allocated them frees them and the writer touches one
/// piece of memory; larger ones are moved.
pub(crate) const COPY_THRESHOLD_BYTES: usize = 16 << 10;

/// Memory that a group used, kept for the next one: not more than this.
pub(super) const RETAINED_CAPACITY_BYTES: usize = 4 << 20;

/// Appends that are committed together, in the order in which they were issued.
#[derive(Debug)]
pub(crate) struct Group {
    buffers: GroupBuffers,
    /// With this many bytes it takes no more.
    full_bytes: u64,
    /// Bytes of all lines, the LFs between the appends not counted.
    bytes: u64,
    records: u64,
    /// Appends that hold a record.
    lines: u64,
    /// What its appends took of the queue's room.
    permits: u64,
    /// It is one append alone, to be written only if its first record gets this number.
    next_seq: Option<u64>,
    /// When its first append came.
    opened: Instant,
    completion: Arc<GroupCompletion>,
}

/// The memory of a group.
#[derive(Debug, Default)]
pub(super) struct GroupBuffers {
    appends: Vec<Append>,
    /// Lines that were copied, with the LFs between them.
    copied: Vec<u8>,
    /// Lines that were moved.
    moved: Vec<Payload>,
}

#[derive(Debug)]
struct Append {
    records: u64,
    bytes: usize,
    moved: bool,
}

impl Group {
    /// One that is full when it holds so many bytes.
    pub(super) fn with_buffers(buffers: GroupBuffers, full_bytes: u64, status: Arc<StoreStatus>) -> Self {
        let (opened, completion) = (Instant::now(), Arc::new(GroupCompletion::new(status)));
        Self {
            buffers,
            full_bytes,
            bytes: 0,
            records: 0,
            lines: 0,
            permits: 0,
            next_seq: None,
            opened,
            completion,
        }
    }

    /// Takes the lines, or copies them: dropping what is left is the caller's affair, for it may run code of its own.
    pub(super) fn add(&mut self, queued: &mut QueuedAppend) -> GroupSlot {
        let GroupBuffers { appends, copied, moved } = &mut self.buffers;
        let &mut QueuedAppend { ref mut lines, records, permits, next_seq, ref mut callback } = queued;
        let before = SlotOffset { records: self.records, bytes: self.bytes + self.lines };
        let slot = self.completion.slot(appends.len(), before);
        if let Some(callback) = callback.take() {
            slot.set_callback(callback);
        }
        self.next_seq = next_seq;
        let bytes = lines.bytes().len();
        let is_moved = bytes >= COPY_THRESHOLD_BYTES;
        appends.push(Append { records, bytes, moved: is_moved });
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
        self.lines += u64::from(records > 0);
        self.records += records;
        self.permits += u64::from(permits);
        slot
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.full_bytes || self.next_seq.is_some()
    }

    /// The number that its first record must get, if any.
    pub(crate) fn next_seq(&self) -> Option<u64> {
        self.next_seq
    }

    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    pub(crate) fn opened(&self) -> Instant {
        self.opened
    }

    /// What is to be given back to the queue's room once it is settled.
    pub(super) fn take_permits(&mut self) -> u64 {
        mem::take(&mut self.permits)
    }

    pub(crate) fn appends(&self) -> usize {
        self.buffers.appends.len()
    }

    /// Bytes of JSON: without the LFs between lines.
    pub(crate) fn json_bytes(&self) -> u64 {
        self.buffers.appends.iter().map(Append::json_bytes).sum()
    }

    /// All lines, in pieces as large as they stand in memory: an LF belongs between two pieces.
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
            let at = next;
            let mut end = at + append.bytes;
            while let Some(more) = runs.next_if(|append| !append.moved) {
                end += 1 + more.bytes;
            }
            next = end + 1;
            Some(&copied[at..end])
        })
    }

    /// Each append by itself: its lines, its records, its bytes of JSON.
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

    pub(super) fn complete(&self, verdict: GroupOutcome) {
        self.completion.complete(verdict);
    }

    fn drop_moved_payloads(&mut self) {
        for lines in mem::take(&mut self.buffers.moved) {
            catch_caller_panic(|| drop(lines));
        }
    }

    /// Its memory, for the next group; of what was very large nothing is kept.
    pub(super) fn take_buffers(&mut self) -> GroupBuffers {
        self.drop_moved_payloads();
        let mut buffers = mem::take(&mut self.buffers);
        buffers.appends.clear();
        buffers.copied.clear();
        buffers.copied.shrink_to(RETAINED_CAPACITY_BYTES);
        buffers.appends.shrink_to(RETAINED_CAPACITY_BYTES / size_of::<Append>());
        buffers
    }
}

/// Room for a whole group at once, when more than a little is needed: what is not written to takes no memory yet, and
/// what doubles would take up to twice as much as is counted for it.
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
            + self.appends.capacity() * size_of::<Append>()
            + self.moved.capacity() * size_of::<Payload>()
    }
}

impl Append {
    fn json_bytes(&self) -> u64 {
        self.bytes as u64 - self.records.saturating_sub(1)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A writer that ends without a word: whoever waits is told.
        if !self.completion.is_completed() {
            self.completion.complete(GroupOutcome::Refused);
        }
        self.drop_moved_payloads();
    }
}
