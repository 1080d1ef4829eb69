//! The future of an append that is in the queue.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::completion::{AppendOutcome, CommitInfo, GroupSlot};
use crate::{MiniStoreError, Result, journal::status::StoreStatus};

/// The future of an append that is in the queue: resolves once it is durable.
#[derive(Debug)]
#[must_use = "the outcome of an append is in its PendingCommit"]
pub(crate) struct PendingCommit {
    pub(crate) slot: GroupSlot,
}

impl PendingCommit {
    /// Spins for a moment before a blocking caller parks.
    pub(crate) fn spin_for_completion(&self) {
        self.slot.status().spin_for_completion(|| self.slot.outcome().is_some());
    }

    /// Returns the outcome if it is known.
    pub(crate) fn try_committed(&self) -> Option<Result<CommitInfo>> {
        self.slot.outcome().map(|outcome| append_result(outcome, self.slot.status()))
    }

    pub(crate) fn poll_committed(&self, context: &mut Context<'_>) -> Poll<Result<CommitInfo>> {
        if let Some(committed) = self.try_committed() {
            return Poll::Ready(committed);
        }
        // No thread of a forked child would ever wake it.
        self.slot.status().check_fork()?;
        self.slot.poll(context).map(|outcome| append_result(outcome, self.slot.status()))
    }
}

/// Converts an outcome into the result that the caller gets.
pub(crate) fn append_result(outcome: AppendOutcome, status: &StoreStatus) -> Result<CommitInfo> {
    match outcome {
        AppendOutcome::Durable(committed) => Ok(committed),
        AppendOutcome::StorageFull(source) => {
            Err(MiniStoreError::StorageFull { path: status.path.clone(), source })
        }
        AppendOutcome::Unavailable { action, source } => {
            Err(MiniStoreError::Unavailable { path: status.path.clone(), action, source })
        }
        AppendOutcome::SeqMismatch { expected, actual } => {
            Err(MiniStoreError::SeqMismatch { expected, actual })
        }
        AppendOutcome::Rejected => Err(status.closed_error()),
    }
}

impl Future for PendingCommit {
    type Output = Result<CommitInfo>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_committed(context)
    }
}
