//! Appends lines in batches: one batch is in flight while the next one is collected.
//!
//! A batch is atomic and the next one is submitted only when it is durable. So the journal always contains a prefix of the
//! input, however the run ends (even on a full disk, where small single appends would still fit): `--resume` depends on that.
//! It costs no throughput: reading, checking and encoding overlap with the commit, and a batch is as large as the fastest
//! commit groups.

use ministore_uring::{Append, JsonBatch, MiniStore, MiniStoreError, PendingAppend, RawRecord};

use super::line::{self, LineError};
use crate::exit::{CliError, ExitStatus};

/// The size at which a batch is submitted, the size of a commit group.
const BATCH_BYTES: usize = 1024 * 1024;

/// Appends the lines of one run in batches.
#[derive(Debug)]
pub(crate) struct BatchWriter<'a> {
    store: &'a MiniStore,
    batch: JsonBatch,
    /// The batch in flight and its size.
    in_flight: Option<(PendingAppend, DurableTotals)>,
    /// The sequence number that the first line of the next batch must get.
    next_seq: u64,
    /// Records known to be durable.
    durable: DurableTotals,
}

/// Records of this run in the journal.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DurableTotals {
    pub(crate) records: u64,
    /// Bytes of JSON, without line ends and seals.
    pub(crate) bytes: u64,
}

impl<'a> BatchWriter<'a> {
    pub(crate) fn new(store: &'a MiniStore) -> Self {
        let next_seq = store.durable_seq() + 1;
        Self { store, batch: JsonBatch::new(), in_flight: None, next_seq, durable: DurableTotals::default() }
    }

    /// Adds a line. The inner error: it is not a valid record.
    pub(crate) fn push(&mut self, value: &[u8]) -> Result<Result<(), LineError>, CliError> {
        let pushed = line::push(&mut self.batch, value);
        self.submit_full()?;
        Ok(pushed)
    }

    /// Adds a record of another journal as it is. The inner error: it is not JSON.
    pub(crate) fn push_copy(
        &mut self,
        record: &RawRecord<'_>,
    ) -> Result<Result<(), MiniStoreError>, CliError> {
        // A record that is nearly as large as the limit of a batch gets a batch of its own.
        if record.json.len() >= BATCH_BYTES {
            self.submit()?;
        }
        let pushed = self.batch.push_copy(record);
        self.submit_full()?;
        Ok(pushed)
    }

    fn submit_full(&mut self) -> Result<(), CliError> {
        if self.batch.bytes() < BATCH_BYTES { Ok(()) } else { self.submit() }
    }

    /// Submits the collected lines and waits until they are durable.
    pub(crate) fn flush(&mut self) -> Result<(), CliError> {
        self.submit()?;
        self.wait()
    }

    pub(crate) fn durable(&self) -> DurableTotals {
        self.durable
    }

    /// Submits the collected batch after the one in flight.
    fn submit(&mut self) -> Result<(), CliError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        let line_feeds = batch.records() - 1;
        let size = DurableTotals { records: batch.records(), bytes: batch.bytes() as u64 - line_feeds };
        self.wait()?;
        let pending = self.store.blocking().send(Append::json_batch(batch));
        let pending = pending.map_err(|error| self.cli_error(&error))?;
        self.in_flight = Some((pending, size));
        Ok(())
    }

    /// Waits for the batch in flight.
    fn wait(&mut self) -> Result<(), CliError> {
        let Some((pending, size)) = self.in_flight.take() else { return Ok(()) };
        let first = pending.wait().map_err(|error| self.cli_error(&error))?.seq;
        if first != self.next_seq {
            let message = format!("the batch got sequence numbers from {first}, expected {}", self.next_seq);
            return Err(CliError::new(ExitStatus::Internal, message));
        }
        self.durable.records += size.records;
        self.durable.bytes += size.bytes;
        self.next_seq += size.records;
        Ok(())
    }

    fn cli_error(&self, error: &MiniStoreError) -> CliError {
        CliError::store(self.store.path(), error)
    }
}
