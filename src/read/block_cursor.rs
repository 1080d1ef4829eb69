//! The records of a block, one by one: shared by the iterators and the streams.

use serde::de::DeserializeOwned;

use super::record::{RawRecord, Record, RecordPosition, record_at};
use crate::{Result, format::scan::Block};

/// A source of blocks of records.
pub(super) trait BlockSource {
    /// Appends the next records to `block`, all of one segment, and returns the position of the first; `None` at the
    /// end.
    fn fill(&mut self, block: &mut Block) -> Result<Option<RecordPosition>>;
}

impl<B: BlockSource + ?Sized> BlockSource for Box<B> {
    fn fill(&mut self, block: &mut Block) -> Result<Option<RecordPosition>> {
        (**self).fill(block)
    }
}

/// Iterates over the records of one block.
#[derive(Debug, Default)]
pub(super) struct BlockCursor {
    block: Block,
    position: Option<RecordPosition>,
    /// The index of the next record in the block.
    next: usize,
}

impl BlockCursor {
    /// Reads the next block; returns `false` at the end of the journal.
    pub(super) fn next_block(&mut self, blocks: &mut (impl BlockSource + ?Sized)) -> Result<bool> {
        self.block.clear();
        self.next = 0;
        self.position = None;
        self.position = blocks.fill(&mut self.block)?;
        Ok(self.position.is_some())
    }

    /// Returns the number of records in the block.
    pub(super) fn len(&self) -> usize {
        self.block.len()
    }

    /// Moves to the next record whose sequence number is at least `from_seq`; returns `false` where the block has none
    /// left.
    pub(super) fn advance(&mut self, from_seq: u64) -> bool {
        let Some(position) = &self.position else { return false };
        let before = usize::try_from(from_seq.saturating_sub(position.seq)).unwrap_or(usize::MAX);
        self.next = self.next.max(before).saturating_add(1);
        self.next <= self.block.len()
    }

    /// Returns whether [`advance`](Self::advance) would find a record.
    pub(super) fn has_more(&self, from_seq: u64) -> bool {
        let Some(position) = &self.position else { return false };
        let before = usize::try_from(from_seq.saturating_sub(position.seq)).unwrap_or(usize::MAX);
        self.next.max(before) < self.block.len()
    }

    /// Returns the record that [`advance`](Self::advance) moved to.
    pub(super) fn current(&self) -> Option<RawRecord<'_>> {
        let position = self.position.as_ref()?;
        let index = self.next.checked_sub(1)?;
        record_at(&self.block, position, position.seq + index as u64)
    }

    /// Returns the next record whose sequence number is at least `from_seq`; `None` where the block has none left.
    pub(super) fn next<T: DeserializeOwned>(&mut self, from_seq: u64) -> Option<Result<Record<T>>> {
        self.advance(from_seq).then(|| self.current().map(Record::parse))?
    }
}
