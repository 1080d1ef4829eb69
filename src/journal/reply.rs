//! Replies of the journal's threads to a caller that waits for a request other than an append.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::status::StoreStatus;
use crate::{Result, caller_code::catch_caller_panic, sync::oneshot};

/// Sends `outcome` to a caller, which may have stopped waiting.
pub(crate) fn reply<T>(reply_tx: oneshot::Sender<Result<T>>, outcome: Result<T>) {
    catch_caller_panic(|| drop(reply_tx.send(outcome)));
}

/// Resolves to the reply to a request.
#[derive(Debug)]
pub(crate) struct Reply<T> {
    pub(crate) outcome: oneshot::Receiver<Result<T>>,
    pub(crate) status: Arc<StoreStatus>,
}

impl<T> Future for Reply<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match Pin::new(&mut self.outcome).poll(context) {
            Poll::Ready(Ok(outcome)) => Poll::Ready(outcome),
            // The sender was dropped without a reply: the writer ended, and the status has the reason.
            Poll::Ready(Err(_)) => Poll::Ready(Err(self.status.closed_error())),
            // No thread of a forked child would ever send it.
            Poll::Pending => {
                self.status.check_fork().map_or_else(|forked| Poll::Ready(Err(forked)), |()| Poll::Pending)
            }
        }
    }
}
