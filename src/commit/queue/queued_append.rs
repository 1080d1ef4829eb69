//! An append on its way into the queue.

use bytes::Bytes;

use super::completion::Callback;

/// Payloads of fewer bytes are copied into the group, so that the thread that allocated them also frees them and the
/// writer thread reads one contiguous buffer. Larger ones are moved.
pub(crate) const COPY_THRESHOLD_BYTES: usize = 16 << 10;

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

/// The lines of one append, as the caller passes them to the queue: separated by LF.
#[derive(Debug)]
pub(crate) enum Payload {
    Vec(Vec<u8>),
    Bytes(Bytes),
}

impl Default for Payload {
    fn default() -> Self {
        Self::Vec(Vec::new())
    }
}

impl Payload {
    /// Takes lines that the caller encoded. Frees the spare capacity of large ones, which stay in this memory until
    /// they are written: they must not use more memory than the queue counts for them. Smaller ones are copied into
    /// their group.
    pub(crate) fn owned(mut lines: Vec<u8>) -> Self {
        if lines.len() >= COPY_THRESHOLD_BYTES {
            lines.shrink_to_fit();
        }
        Self::Vec(lines)
    }

    /// Converts the lines into a form that is cheap to clone.
    pub(crate) fn into_shared(self) -> Bytes {
        match self {
            Self::Vec(bytes) => bytes.into(),
            Self::Bytes(bytes) => bytes,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Vec(bytes) => bytes,
            Self::Bytes(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::APPEND_OVERHEAD_BYTES;

    #[test]
    fn owned_payload_has_no_spare_capacity() {
        for bytes in [COPY_THRESHOLD_BYTES, 60_000, 1 << 20] {
            let line = crate::format::encode::to_line(&"x".repeat(bytes)).unwrap();
            let Payload::Vec(lines) = Payload::owned(line) else { panic!("they are owned") };
            assert!(lines.capacity() <= lines.len() + APPEND_OVERHEAD_BYTES as usize, "{bytes}");
        }
    }
}
