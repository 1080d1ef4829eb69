//! Records out of a block, one by one: where the iterators and the streams meet.

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    journal_reader::{JournalReader, RecordPosition},
    raw_records::RawRecord,
    segment::line_of,
};
use crate::{Result, format::scan::Block};

/// A record and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<T> {
    /// Its sequence number: it never changes.
    pub seq: u64,
    /// What was appended.
    pub value: T,
}

impl<T> Record<T> {
    pub(super) fn parse<'a>(line: RawRecord<'a>) -> Result<Self>
    where
        T: Deserialize<'a>,
    {
        Ok(Self { seq: line.seq, value: line.parse()? })
    }
}

/// Where blocks of records come from.
pub(super) trait BlockSource {
    /// Puts the next records into `block`, all of one segment; `None` at the end.
    fn fill(&mut self, block: &mut Block) -> Result<Option<RecordPosition>>;
}

impl BlockSource for JournalReader {
    fn fill(&mut self, block: &mut Block) -> Result<Option<RecordPosition>> {
        Self::fill(self, block)
    }
}

impl<B: BlockSource + ?Sized> BlockSource for Box<B> {
    fn fill(&mut self, block: &mut Block) -> Result<Option<RecordPosition>> {
        (**self).fill(block)
    }
}

/// A block that is being handed out, record by record.
#[derive(Debug, Default)]
pub(super) struct BlockCursor {
    block: Block,
    position: Option<RecordPosition>,
    /// The line to come.
    next: usize,
}

impl BlockCursor {
    /// Takes the next block; `false` at the end of the journal.
    pub(super) fn next_block(&mut self, blocks: &mut (impl BlockSource + ?Sized)) -> Result<bool> {
        self.block.clear();
        self.next = 0;
        self.position = None;
        self.position = blocks.fill(&mut self.block)?;
        Ok(self.position.is_some())
    }

    /// Lines in the block.
    pub(super) fn len(&self) -> usize {
        self.block.len()
    }

    /// Goes to the next line from `from_seq` on; `false` where the block is used up.
    pub(super) fn advance(&mut self, from_seq: u64) -> bool {
        let Some(position) = &self.position else { return false };
        let before = usize::try_from(from_seq.saturating_sub(position.seq)).unwrap_or(usize::MAX);
        self.next = self.next.max(before).saturating_add(1);
        self.next <= self.block.len()
    }

    /// Whether there is a line to go to, from `from_seq` on.
    pub(super) fn has_more(&self, from_seq: u64) -> bool {
        let Some(position) = &self.position else { return false };
        let before = usize::try_from(from_seq.saturating_sub(position.seq)).unwrap_or(usize::MAX);
        self.next.max(before) < self.block.len()
    }

    /// The line that was gone to.
    pub(super) fn line(&self) -> Option<RawRecord<'_>> {
        let position = self.position.as_ref()?;
        let index = self.next.checked_sub(1)?;
        line_of(&self.block, position, position.seq + index as u64)
    }

    /// The next record from `from_seq` on; `None` where the block is used up.
    pub(super) fn next<T: DeserializeOwned>(&mut self, from_seq: u64) -> Option<Result<Record<T>>> {
        self.advance(from_seq).then(|| self.line().map(Record::parse))?
    }
}
