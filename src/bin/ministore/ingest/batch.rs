//! Owns the lines on their way into the journal: one batch in flight, the next one gathering behind it.
//!
//! A batch is atomic and the next one is issued only when it is durable. So the journal always holds the first lines
//! of the run and no others, whatever ends it (a full disk, too, where of many single appends the small ones would
//! still find room): that is what lets `--resume` go on. It costs no speed: reading, checking and serializing run
//! beside the commit, and a batch is as large as the commits that go fastest.

use ministore_uring::{Entry, JsonBatch, Line, MiniStore, MiniStoreError, PendingReceipt};

use super::line::{self, Fault};
use crate::exit::{Code, Failure};

/// A batch of this size is issued though more input is at hand. As large as the groups that the journal commits.
const BATCH_BYTES: usize = 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Batches<'a> {
    store: &'a MiniStore,
    batch: JsonBatch,
    /// A batch that was handed over, and what it holds.
    in_flight: Option<(PendingReceipt, Durable)>,
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
        Self { store, batch: JsonBatch::new(), in_flight: None, next_seq, durable: Durable::default() }
    }

    /// Adds a line that becomes a record, unless it is bad.
    pub(crate) fn push(&mut self, value: &[u8]) -> Result<Result<(), Fault>, Failure> {
        let pushed = line::push(&mut self.batch, value);
        self.issue_full().map(|()| pushed)
    }

    /// Adds a record of another journal as it is.
    pub(crate) fn push_copy(&mut self, record: &Line<'_>) -> Result<Result<(), MiniStoreError>, Failure> {
        // One that is nearly as large as a batch may be has a batch of its own.
        if record.json.len() >= BATCH_BYTES {
            self.issue()?;
        }
        let pushed = self.batch.push_copy(record);
        self.issue_full().map(|()| pushed)
    }

    fn issue_full(&mut self) -> Result<(), Failure> {
        if self.batch.bytes() < BATCH_BYTES { Ok(()) } else { self.issue() }
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
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        let line_feeds = batch.records() - 1;
        let holds = Durable { records: batch.records(), bytes: batch.bytes() as u64 - line_feeds };
        self.settle()?;
        let pending = self.store.blocking().submit_entry(Entry::json_batch(batch));
        let pending = pending.map_err(|error| self.refused(&error))?;
        self.in_flight = Some((pending, holds));
        Ok(())
    }

    /// Waits for the batch in flight.
    fn settle(&mut self) -> Result<(), Failure> {
        let Some((pending, holds)) = self.in_flight.take() else { return Ok(()) };
        let first = pending.wait().map_err(|error| self.refused(&error))?.seq;
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
