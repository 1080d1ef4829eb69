//! The limits of the options that are checked when an append is queued.

use crate::JournalOptions;

/// The bytes that one queued append takes of `max_queue_bytes` beyond its lines: its entry in the queue and its
/// outcome.
pub(crate) const APPEND_OVERHEAD_BYTES: u64 = 256;

/// The limits of the options that are checked when an append is queued.
#[derive(Debug, Clone, Copy)]
pub(super) struct AppendLimits {
    pub(super) max_record_bytes: u64,
    pub(super) max_batch_bytes: u64,
    pub(super) max_queue_bytes: u32,
}

impl AppendLimits {
    pub(super) fn new(options: &JournalOptions) -> Self {
        Self {
            max_record_bytes: options.max_record_bytes,
            max_batch_bytes: options.max_batch_bytes,
            max_queue_bytes: u32::try_from(options.max_queue_bytes).unwrap_or(u32::MAX),
        }
    }
}
