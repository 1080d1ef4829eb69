//! A buffer with the alignment of direct writes, without `unsafe`.

/// The largest alignment that direct writes need: a page.
const ALIGNMENT: usize = 4096;

/// Spaces, like the padding of a journal, aligned to a page.
#[derive(Debug)]
pub(super) struct AlignedBlock {
    storage: Vec<u8>,
    start: usize,
}

impl AlignedBlock {
    pub(super) fn of(bytes: usize) -> Self {
        let storage = vec![b' '; bytes + ALIGNMENT];
        let misplaced = storage.as_ptr().addr() % ALIGNMENT;
        let start = if misplaced == 0 { 0 } else { ALIGNMENT - misplaced };
        Self { storage, start }
    }

    /// Returns the first `bytes` bytes, or all.
    pub(super) fn first(&self, bytes: usize) -> &[u8] {
        let all = &self.storage[self.start..];
        &all[..bytes.min(all.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_is_aligned_and_has_the_given_size() {
        for bytes in [4096, 65536] {
            let block = AlignedBlock::of(bytes);
            assert_eq!(block.first(bytes).as_ptr().addr() % ALIGNMENT, 0);
            assert_eq!(block.first(bytes).len(), bytes);
        }
    }
}
