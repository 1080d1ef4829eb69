//! An append that was accepted, as its caller sees it.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::completion::{AppendOutcome, CommitInfo, GroupSlot};
use crate::{MiniStoreError, Result, journal::status::StoreStatus};

/// An append that was accepted: resolves once it is durable.
#[derive(Debug)]
#[must_use = "the outcome of an append is in its PendingCommit"]
pub(crate) struct PendingCommit {
    pub(crate) slot: GroupSlot,
}

impl PendingCommit {
    /// Spins for a moment before a blocking caller parks.
    pub(crate) fn spin_for_completion(&self) {
        self.slot.status().spin_for_completion(|| self.slot.fate().is_some());
    }

    /// Returns the outcome if it is known.
    pub(crate) fn try_committed(&self) -> Option<Result<CommitInfo>> {
        self.slot.fate().map(|fate| append_result(fate, self.slot.status()))
    }

    pub(crate) fn poll_committed(&self, context: &mut Context<'_>) -> Poll<Result<CommitInfo>> {
        if let Some(committed) = self.try_committed() {
            return Poll::Ready(committed);
        }
        // Nothing would ever wake a forked child.
        self.slot.status().check_fork()?;
        self.slot.poll(context).map(|fate| append_result(fate, self.slot.status()))
    }
}

/// What a fate means to the caller.
pub(crate) fn append_result(fate: AppendOutcome, status: &StoreStatus) -> Result<CommitInfo> {
    match fate {
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
        AppendOutcome::Refused => Err(status.closed_error()),
    }
}

impl Future for PendingCommit {
    type Output = Result<CommitInfo>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_committed(context)
    }
}
