//! The buffer of a commit: aligned for direct writes, without `unsafe`.

use std::fmt;

use super::BLOCK_BYTES;
use crate::format::group::GroupBuffer;

const BLOCK: usize = BLOCK_BYTES as usize;

/// Bytes that begin at an address that is a multiple of [`BLOCK_BYTES`].
///
/// A plain `Vec` with one block of extra capacity: the bytes begin at the first aligned address in it.
#[derive(Default)]
pub struct CommitBuffer {
    storage: Vec<u8>,
    /// The index in `storage` of the first byte.
    start: usize,
}

impl CommitBuffer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        let mut storage = Vec::with_capacity(bytes + BLOCK);
        let start = aligned_start(&storage);
        storage.resize(start, 0);
        Self { storage, start }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.storage[self.start..]
    }

    /// Returns the storage, and the index in it of the first byte.
    #[cfg(feature = "tokio-uring")]
    pub(super) fn into_storage(self) -> (Vec<u8>, usize) {
        (self.storage, self.start)
    }

    /// Reverses [`into_storage`](Self::into_storage). The storage must be the same.
    #[cfg(feature = "tokio-uring")]
    pub(super) fn from_storage(storage: Vec<u8>, start: usize) -> Self {
        Self { storage, start }
    }

    pub(crate) fn len(&self) -> usize {
        self.storage.len() - self.start
    }

    pub(crate) fn clear(&mut self) {
        self.storage.truncate(self.start);
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.storage.truncate(self.start + len);
    }

    /// Removes the first `from` bytes.
    pub(crate) fn keep_from(&mut self, from: usize) {
        self.storage.drain(self.start..self.start + from);
    }

    /// Frees memory that one large group needed, down to a capacity of `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if self.storage.capacity() > bytes + BLOCK {
            let mut smaller = Self::with_capacity(bytes.max(self.len()));
            smaller.extend(self.bytes());
            *self = smaller;
        }
    }

    fn reserve(&mut self, more: usize) {
        if self.storage.len() + more > self.storage.capacity() {
            let mut larger = Self::with_capacity((self.len() + more).next_power_of_two());
            larger.storage.extend_from_slice(self.bytes());
            *self = larger;
        }
    }
}

impl GroupBuffer for CommitBuffer {
    fn bytes(&self) -> &[u8] {
        self.bytes()
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.storage.extend_from_slice(bytes);
    }

    fn fill_to(&mut self, len: usize, byte: u8) {
        self.reserve(len.saturating_sub(self.len()));
        self.storage.resize(self.start + len, byte);
    }
}

impl fmt::Debug for CommitBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitBuffer").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Returns the index of the first aligned address.
fn aligned_start(storage: &[u8]) -> usize {
    let excess = storage.as_ptr().addr() % BLOCK;
    if excess == 0 { 0 } else { BLOCK - excess }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffer_resize_keeps_bytes_aligned_and_complete() {
        let mut buffer = CommitBuffer::with_capacity(10);
        let mut expected = Vec::new();
        for round in 0..2000u32 {
            let bytes = round.to_le_bytes();
            buffer.extend(&bytes);
            expected.extend_from_slice(&bytes);
            assert_eq!(buffer.bytes().as_ptr().addr() % BLOCK, 0, "round {round}");
        }
        assert_eq!(buffer.bytes(), expected);
        buffer.fill_to(8192, b' ');
        assert_eq!(buffer.len(), 8192);
        buffer.keep_from(8000 - 96);
        buffer.shrink_to(100);
        assert_eq!(buffer.bytes(), [&expected[7904..], &[b' '; 192]].concat());
        assert_eq!(buffer.bytes().as_ptr().addr() % BLOCK, 0);
    }
}
