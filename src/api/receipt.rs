//! The outcome of an append: the future that a caller waits on, and the receipt that it resolves to.

use std::{
    future::Future,
    ops::Range,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    Result,
    commit::queue::{CommitInfo, PendingCommit},
    sync::block_on,
};

/// The receipt of an append that is durable: its sequence numbers, its position, its commit group and its latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Receipt {
    /// The sequence number of its first record; for an empty batch, of the record that comes next.
    pub seq: u64,
    /// The number of its records.
    pub records: u64,
    /// The sequence number of the first record of its segment: `first` in the segment's header. It never changes,
    /// unlike the name of the segment's file, which changes at the rotation.
    pub segment_first_seq: u64,
    /// The offset of its first line, in bytes from the start of the segment.
    pub offset: u64,
    /// The number of records in the commit group that it was written with, including its own.
    pub group_records: u64,
    /// The size of that group's JSON, in bytes.
    pub group_bytes: u64,
    /// The time from the call until the writer dequeued it: it waited for capacity, and for the commit before.
    pub queue_wait: Duration,
    /// The time from the call until it was durable.
    pub latency: Duration,
}

impl Receipt {
    pub(super) fn new(commit: &CommitInfo, records: u64, called_at: Instant) -> Self {
        Self {
            seq: commit.seq,
            records,
            segment_first_seq: commit.segment_first_seq,
            offset: commit.offset,
            group_records: commit.group_records,
            group_bytes: commit.group_bytes,
            queue_wait: commit.dequeued_at.saturating_duration_since(called_at),
            latency: commit.durable_at.saturating_duration_since(called_at),
        }
    }

    /// Returns the sequence numbers of its records.
    #[must_use]
    pub fn seqs(&self) -> Range<u64> {
        self.seq..self.seq + self.records
    }
}

/// An append that was accepted: resolves to its [`Receipt`] once it is durable.
///
/// Await it on any executor, or block on it with [`wait`](Self::wait). It needs neither the store's handle nor a
/// runtime. Dropping it discards the outcome, not the record, which is still written.
///
/// # Errors
///
/// [`StorageFull`](crate::MiniStoreError::StorageFull), [`SeqMismatch`](crate::MiniStoreError::SeqMismatch): it was not
/// written. [`Poisoned`](crate::MiniStoreError::Poisoned), [`WriterPanicked`](crate::MiniStoreError::WriterPanicked):
/// it is unknown whether it was. [`Forked`](crate::MiniStoreError::Forked): it was accepted before the fork, and the
/// other process writes it.
#[derive(Debug)]
#[must_use = "the outcome of an append is in its PendingAppend"]
pub struct PendingAppend {
    pending: PendingCommit,
    records: u64,
    called_at: Instant,
}

impl PendingAppend {
    pub(super) fn new(pending: PendingCommit, records: u64, called_at: Instant) -> Self {
        Self { pending, records, called_at }
    }

    /// Blocks the calling thread until the append is durable.
    ///
    /// # Errors
    ///
    /// As for awaiting it.
    pub fn wait(mut self) -> Result<Receipt> {
        self.pending.spin_blocking();
        block_on(self)
    }

    /// Returns the outcome if it is known, without waiting.
    #[must_use]
    pub fn try_wait(&self) -> Option<Result<Receipt>> {
        let outcome = self.pending.try_committed()?;
        Some(outcome.map(|commit| Receipt::new(&commit, self.records, self.called_at)))
    }

    /// Returns whether the outcome is known, so that [`wait`](Self::wait) would return at once.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.pending.try_committed().is_some()
    }
}

impl Future for PendingAppend {
    type Output = Result<Receipt>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (records, called_at) = (self.records, self.called_at);
        let receipt = |commit| Receipt::new(&commit, records, called_at);
        self.pending.poll_committed(context).map_ok(receipt)
    }
}
