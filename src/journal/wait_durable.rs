//! The future that waits until a record is durable.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{status::StoreStatus, watermark::WaiterKey};
use crate::Result;

/// Resolves once a sequence number is durable, or with the reason why it never will be.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub(crate) struct WaitDurable {
    status: Arc<StoreStatus>,
    seq: u64,
    /// Identifies its waker, once that is registered.
    key: Option<WaiterKey>,
}

impl WaitDurable {
    pub(crate) fn new(status: Arc<StoreStatus>, seq: u64) -> Self {
        Self { status, seq, key: None }
    }

    /// Returns the outcome, if it is known.
    fn outcome(&self) -> Option<Result<()>> {
        let watermark = &self.status.watermark;
        // In this order: a number that was published before the watermark closed counts.
        let closed = watermark.is_closed();
        if watermark.durable_seq() >= self.seq {
            return Some(Ok(()));
        }
        closed.then(|| Err(self.status.closed_error()))
    }
}

impl Future for WaitDurable {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(outcome) = self.outcome() {
            return Poll::Ready(outcome);
        }
        // No thread of a forked child would ever wake this future.
        self.status.check_fork()?;
        self.key = Some(self.status.watermark.register(self.seq, self.key, context.waker()));
        self.outcome().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for WaitDurable {
    fn drop(&mut self) {
        // In a forked child the lock may be held by a thread that it does not have.
        if let Some(key) = self.key.take()
            && !self.status.fork_guard.in_forked_child()
        {
            self.status.watermark.deregister(key);
        }
    }
}
