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
        cursor::{Blocks, Cursor},
        feed::Place,
    },
    durable::Durable,
    journal::Journal,
};
use crate::{Result, device::Disk, scan::Block};

/// A follower without a thread: it looks when it is told to.
#[derive(Debug)]
struct Eye {
    journal: Journal,
    durable: Durable,
    from_seq: u64,
    /// What it has handed out.
    seen: Vec<(u64, u64)>,
}

struct Look<'a>(&'a mut Journal, &'a Durable);

impl Blocks for Look<'_> {
    fn fill(&mut self, block: &mut Block) -> Result<Option<Place>> {
        self.0.fill(block, self.1)
    }
}

impl Eye {
    /// Of another process: it makes durable itself what it hands out.
    fn new(disk: Arc<dyn Disk>, path: &Path, from_seq: u64) -> Self {
        let dir = path.parent().unwrap().to_path_buf();
        let journal = Journal::new(Arc::clone(&disk), path, from_seq);
        Self { journal, durable: Durable::Own { disk, dir }, from_seq, seen: Vec::new() }
    }

    /// Takes all that there is.
    fn look(&mut self) -> Result<()> {
        self.journal.names_changed();
        loop {
            let mut cursor = Cursor::default();
            if !cursor.refill(&mut Look(&mut self.journal, &self.durable))? {
                return Ok(());
            }
            while let Some(record) = cursor.next::<u64>(self.from_seq) {
                let record = record?;
                self.seen.push((record.seq, record.value));
            }
        }
    }

    fn values(&self) -> Vec<u64> {
        self.seen.iter().map(|(_, value)| *value).collect()
    }
}
