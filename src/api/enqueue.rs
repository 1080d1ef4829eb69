//! The way from a caller to the writer thread: checks the limits of the options, and queues appends and commands.

use std::sync::Arc;

use serde::Serialize;

use super::limits::APPEND_OVERHEAD_BYTES;
use crate::{
    MiniStore, MiniStoreError, Result,
    background::requests::RetentionRequest,
    commit::queue::{
        Appended, Disconnected, Payload, PendingCommit, QueuedAppend, ReplySender, WriterMessage,
    },
    format::encode,
    journal::reply::Reply,
    sync::oneshot,
};

impl MiniStore {
    /// Serializes a record and checks its size.
    pub(super) fn record_line<R: Serialize + ?Sized>(&self, record: &R) -> Result<Payload> {
        let line = encode::to_line(record)?;
        self.check_record(line.len())?;
        Ok(Payload::owned(line))
    }

    /// Serializes a batch and checks its size; returns the lines and the number of records.
    pub(super) fn batch_lines<R: Serialize>(
        &self,
        records: impl IntoIterator<Item = R>,
    ) -> Result<(Payload, u64)> {
        let max_bytes = self.handle.limits.max_batch_bytes;
        let (lines, count) = encode::batch_lines(records, max_bytes, |bytes| self.check_record(bytes))?;
        Ok((Payload::owned(lines), count))
    }

    pub(super) fn check_record(&self, bytes: usize) -> Result<()> {
        encode::check_size("a record", bytes, self.handle.limits.max_record_bytes)
    }

    /// Checks the limits for an append that was serialized elsewhere: `batch` is the size of a batch, in bytes.
    pub(super) fn check_lines(&self, record_bytes: usize, batch: Option<usize>) -> Result<()> {
        self.check_record(record_bytes)?;
        batch.map_or(Ok(()), |bytes| encode::check_size("a batch", bytes, self.handle.limits.max_batch_bytes))
    }

    pub(super) async fn append_payload(&self, lines: Payload, records: u64) -> Result<PendingCommit> {
        self.enqueue(QueuedAppend::new(lines, records)).await
    }

    /// Queues an append. Waits while the queue has no capacity for it.
    pub(super) async fn enqueue(&self, mut queued: QueuedAppend) -> Result<PendingCommit> {
        let status = self.status();
        status.check_fork()?;
        queued.permits = self.permits_for(&queued.lines);
        match self.handle.queue.append(&mut queued) {
            Ok(Appended::Queued(pending)) => Ok(pending),
            Ok(Appended::Waiting(waiting)) => waiting.await,
            Err(Disconnected) => Err(status.closed_error()),
        }
    }

    /// Queues an append, or returns [`QueueFull`](MiniStoreError::QueueFull).
    pub(super) fn try_enqueue(&self, mut queued: QueuedAppend) -> Result<PendingCommit> {
        let status = self.status();
        status.check_fork()?;
        queued.permits = self.permits_for(&queued.lines);
        let pending = self.handle.queue.try_append(&mut queued).map_err(|_| status.closed_error())?;
        pending.ok_or(MiniStoreError::QueueFull)
    }

    /// Returns the queue permits that lines need, one per byte. Lines that are larger than the whole queue take all of
    /// it.
    fn permits_for(&self, lines: &Payload) -> u32 {
        let bytes = lines.bytes().len() as u64 + APPEND_OVERHEAD_BYTES;
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.handle.limits.max_queue_bytes)
    }

    /// Sends a message to the writer thread that follows the appends before it, and waits for the reply.
    pub(super) async fn control(&self, to_message: impl FnOnce(ReplySender) -> WriterMessage) -> Result<()> {
        self.request(|reply_tx| self.handle.queue.send_in_order(to_message(reply_tx))).await
    }

    /// Sends a retention request, which the background thread serves, and waits for the reply. Unlike
    /// [`control`](Self::control), it does not end the commit group that is being filled.
    pub(super) async fn request_retention<T>(
        &self,
        to_request: impl FnOnce(oneshot::Sender<Result<T>>) -> RetentionRequest,
    ) -> Result<T> {
        self.request(|reply_tx| self.handle.queue.send(WriterMessage::Retention(to_request(reply_tx)))).await
    }

    async fn request<T>(
        &self,
        send: impl FnOnce(oneshot::Sender<Result<T>>) -> std::result::Result<(), Disconnected>,
    ) -> Result<T> {
        let status = self.status();
        status.check_fork()?;
        let (reply_tx, outcome) = oneshot::channel();
        send(reply_tx).map_err(|_| status.closed_error())?;
        Reply { outcome, status: Arc::clone(status) }.await
    }
}
