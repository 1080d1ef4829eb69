//! Waiting until a record is durable.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{status::StoreStatus, watermark::Key};
use crate::{
    Result,
    seeded_bugs::{Bug, seeded},
};

/// Resolves once a number is durable, or will not be.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub(crate) struct WaitDurable {
    status: Arc<StoreStatus>,
    seq: u64,
    /// Where its waker was left.
    key: Option<Key>,
}

impl WaitDurable {
    pub(crate) fn new(status: Arc<StoreStatus>, seq: u64) -> Self {
        Self { status, seq, key: None }
    }

    /// Whether it need not be waited for.
    fn outcome(&self) -> Option<Result<()>> {
        let watermark = &self.status.watermark;
        // In this order: what was published before the end counts.
        let ended = watermark.is_closed();
        if watermark.durable_seq() >= self.seq {
            return Some(Ok(()));
        }
        ended.then(|| Err(self.status.closed_error()))
    }
}

impl Future for WaitDurable {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(outcome) = self.outcome() {
            return Poll::Ready(outcome);
        }
        // Nobody would ever wake a fork.
        self.status.check_fork()?;
        self.key = Some(self.status.watermark.register(self.seq, self.key, context.waker()));
        if seeded(Bug::WaitSeqWithoutRecheck) {
            return Poll::Pending;
        }
        self.outcome().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for WaitDurable {
    fn drop(&mut self) {
        // In a fork the lock may be held by a thread that is not there.
        if let Some(key) = self.key.take()
            && !self.status.process.in_forked_child()
        {
            self.status.watermark.deregister(key);
        }
    }
}
