//! Tests of followers on disks that crash, run full and fail. Some poll between any two operations of the writer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod crashes;
mod failures;
mod replaced;
mod segments;

use std::{path::Path, sync::Arc};

use super::{
    super::{
        block_cursor::{BlockCursor, BlockSource},
        record::RecordPosition,
    },
    durability::Durability,
    journal::JournalFollower,
};
use crate::{Result, format::scan::Block, io::FileSystem};

/// A follower without a thread, which reads when the test polls it.
#[derive(Debug)]
struct PolledFollower {
    journal: JournalFollower,
    durability: Durability,
    from_seq: u64,
    /// The sequence numbers and values that it yielded.
    yielded: Vec<(u64, u64)>,
}

struct PolledBlocks<'a>(&'a mut JournalFollower, &'a Durability);

impl BlockSource for PolledBlocks<'_> {
    fn fill(&mut self, block: &mut Block) -> Result<Option<RecordPosition>> {
        self.0.fill(block, self.1)
    }
}

impl PolledFollower {
    /// Creates a follower as in another process: it syncs what it reads.
    fn new(fs: Arc<dyn FileSystem>, path: &Path, from_seq: u64) -> Self {
        let dir = path.parent().unwrap().to_path_buf();
        let journal = JournalFollower::new(Arc::clone(&fs), path, from_seq);
        Self { journal, durability: Durability::SyncOnRead { fs, dir }, from_seq, yielded: Vec::new() }
    }

    /// Yields every durable record that exists.
    fn poll_now(&mut self) -> Result<()> {
        self.journal.set_names_changed();
        loop {
            let mut block_cursor = BlockCursor::default();
            if !block_cursor.next_block(&mut PolledBlocks(&mut self.journal, &self.durability))? {
                return Ok(());
            }
            while let Some(record) = block_cursor.next::<u64>(self.from_seq) {
                let record = record?;
                self.yielded.push((record.seq, record.value));
            }
        }
    }

    fn values(&self) -> Vec<u64> {
        self.yielded.iter().map(|(_, value)| *value).collect()
    }
}
