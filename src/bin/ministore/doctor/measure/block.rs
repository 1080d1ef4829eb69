//! Owns the bytes that are written: at an address that direct writes take, without `unsafe`.

/// What direct writes may ask of an address: a page, at most.
const ALIGNMENT: usize = 4096;

/// Spaces, as a journal's padding is, that begin at a multiple of a page.
#[derive(Debug)]
pub(super) struct Block {
    storage: Vec<u8>,
    start: usize,
}

impl Block {
    pub(super) fn of(bytes: usize) -> Self {
        let storage = vec![b' '; bytes + ALIGNMENT];
        let misplaced = storage.as_ptr().addr() % ALIGNMENT;
        let start = if misplaced == 0 { 0 } else { ALIGNMENT - misplaced };
        Self { storage, start }
    }

    /// The first `bytes` of it, or all there are.
    pub(super) fn first(&self, bytes: usize) -> &[u8] {
        let all = &self.storage[self.start..];
        &all[..bytes.min(all.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_aligned_and_as_long_as_asked() {
        for bytes in [4096, 65536] {
            let block = Block::of(bytes);
            assert_eq!(block.first(bytes).as_ptr().addr() % ALIGNMENT, 0);
            assert_eq!(block.first(bytes).len(), bytes);
        }
    }
}
