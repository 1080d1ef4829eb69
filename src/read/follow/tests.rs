//! Following, looked at from inside: on a disk that crashes, runs full and fails, with a look between any two operations
//! of the writer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod crashes;
mod failures;
mod replaced;
mod segments;

use std::{path::Path, sync::Arc};

use super::{
    super::{
        block_cursor::{BlockCursor, BlockSource},
        journal_reader::RecordPosition,
    },
    durability::Durability,
    journal::JournalFollower,
};
use crate::{Result, format::scan::Block, io::FileSystem};

/// A follower without a thread: it looks when it is told to.
#[derive(Debug)]
struct Eye {
    journal: JournalFollower,
    durable: Durability,
    from_seq: u64,
    /// What it has handed out.
    seen: Vec<(u64, u64)>,
}

struct Look<'a>(&'a mut JournalFollower, &'a Durability);

impl BlockSource for Look<'_> {
    fn fill(&mut self, block: &mut Block) -> Result<Option<RecordPosition>> {
        self.0.fill(block, self.1)
    }
}

impl Eye {
    /// Of another process: it makes durable itself what it hands out.
    fn new(disk: Arc<dyn FileSystem>, path: &Path, from_seq: u64) -> Self {
        let dir = path.parent().unwrap().to_path_buf();
        let journal = JournalFollower::new(Arc::clone(&disk), path, from_seq);
        Self { journal, durable: Durability::SyncOnRead { disk, dir }, from_seq, seen: Vec::new() }
    }

    /// Takes all that there is.
    fn poll_now(&mut self) -> Result<()> {
        self.journal.names_changed();
        loop {
            let mut block_cursor = BlockCursor::default();
            if !block_cursor.next_block(&mut Look(&mut self.journal, &self.durable))? {
                return Ok(());
            }
            while let Some(record) = block_cursor.next::<u64>(self.from_seq) {
                let record = record?;
                self.seen.push((record.seq, record.value));
            }
        }
    }

    fn values(&self) -> Vec<u64> {
        self.seen.iter().map(|(_, value)| *value).collect()
    }
}
