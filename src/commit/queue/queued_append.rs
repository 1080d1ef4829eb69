//! An append on its way into the queue.

use super::{completion::Callback, payload::Payload};

/// One append, with the capacity that it takes and its conditions.
#[derive(Debug, Default)]
pub(crate) struct QueuedAppend {
    pub(crate) lines: Payload,
    pub(crate) records: u64,
    /// Bytes that it takes of the queue's capacity.
    pub(crate) permits: u32,
    /// If set, the append is written only if its first record gets this sequence number. It gets a group of its own.
    pub(crate) expected_seq: Option<u64>,
    pub(crate) callback: Option<Callback>,
}

impl QueuedAppend {
    /// Returns an append without conditions, that takes no capacity yet.
    pub(crate) fn new(lines: Payload, records: u64) -> Self {
        Self { lines, records, permits: 0, expected_seq: None, callback: None }
    }
}
