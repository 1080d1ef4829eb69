//! Owns the lines on their way into the journal: one batch in flight, the next one gathering behind it.
//!
//! A batch is atomic and the next one is issued only when it is durable. So the journal always holds the first lines
//! of the run and no others, whatever ends it (a full disk, too, where of many single appends the small ones would
//! still find room): that is what lets `--resume` go on. It costs no speed: reading, checking and serializing run
//! beside the commit, and a batch is as large as the commits that go fastest.

use ministore_uring::{MiniStore, MiniStoreError, Pending};
use serde_json::value::RawValue;

use crate::exit::{Code, Failure};

/// A batch of this size is issued though more input is at hand. As large as the groups that the journal commits.
const BATCH_BYTES: usize = 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Batches<'a> {
    store: &'a MiniStore,
    lines: Vec<Box<RawValue>>,
    bytes: usize,
    /// A batch that was handed over, and what it holds.
    in_flight: Option<(Pending, Durable)>,
    /// The number that the first line of the next batch must get.
    next_seq: u64,
    /// What is known to be durable.
    durable: Durable,
}

/// Lines of this run in the journal.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Durable {
    pub(crate) records: u64,
    /// Of JSON alone.
    pub(crate) bytes: u64,
}

impl<'a> Batches<'a> {
    pub(crate) fn new(store: &'a MiniStore) -> Self {
        let next_seq = store.durable_seq() + 1;
        Self { store, lines: Vec::new(), bytes: 0, in_flight: None, next_seq, durable: Durable::default() }
    }

    pub(crate) fn push(&mut self, line: Box<RawValue>) -> Result<(), Failure> {
        self.bytes += line.get().len();
        self.lines.push(line);
        if self.bytes < BATCH_BYTES { Ok(()) } else { self.issue() }
    }

    /// Makes durable what has gathered, and waits for it.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.issue()?;
        self.settle()
    }

    pub(crate) fn durable(&self) -> Durable {
        self.durable
    }

    /// Sends the batch on its way behind the one in flight.
    fn issue(&mut self) -> Result<(), Failure> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let next = Vec::with_capacity(self.lines.len());
        let lines = std::mem::replace(&mut self.lines, next);
        let holds = Durable { records: lines.len() as u64, bytes: std::mem::take(&mut self.bytes) as u64 };
        // The lines are put together here, while the device is at work on the batch before.
        let batch = self.store.submit_batch(lines);
        self.settle()?;
        let pending = pollster::block_on(batch).map_err(|error| self.refused(&error))?;
        self.in_flight = Some((pending, holds));
        Ok(())
    }

    /// Waits for the batch in flight.
    fn settle(&mut self) -> Result<(), Failure> {
        let Some((pending, holds)) = self.in_flight.take() else { return Ok(()) };
        let first = pending.wait().map_err(|error| self.refused(&error))?;
        if first != self.next_seq {
            let message = format!("lines got numbers from {first}, not from {}", self.next_seq);
            return Err(Failure::new(Code::Internal, message));
        }
        self.durable.records += holds.records;
        self.durable.bytes += holds.bytes;
        self.next_seq += holds.records;
        Ok(())
    }

    fn refused(&self, error: &MiniStoreError) -> Failure {
        Failure::store(self.store.path(), error)
    }
}
