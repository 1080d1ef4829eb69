//! Adding appends to the queue, and the future of those that wait for capacity.

use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use super::{
    commit_queue::CommitQueue, completion::PendingCommit, message::Disconnected, queued_append::QueuedAppend,
    waiting_list::Ticket,
};
use crate::Result;

/// The result of [`CommitQueue::append`].
#[derive(Debug)]
pub(crate) enum Appended<'a> {
    Queued(PendingCommit),
    Waiting(Waiting<'a>),
}

impl CommitQueue {
    /// Adds an append to the queue, or to the waiting list. What remains in `queued` is dropped by the caller, outside
    /// the lock, because dropping it may run code of the caller.
    pub(crate) fn append(
        &self,
        queued: &mut QueuedAppend,
    ) -> std::result::Result<Appended<'_>, Disconnected> {
        let mut state = self.lock();
        if self.has_capacity(&state, queued)? {
            let pending = self.add(&mut state, queued);
            self.wake(state);
            return Ok(Appended::Queued(pending));
        }
        let ticket = self.add_waiting(state, mem::take(queued));
        Ok(Appended::Waiting(Waiting { queue: self, ticket, is_resolved: false }))
    }

    /// Adds an append to the queue. Returns `None` if it would have to wait.
    pub(crate) fn try_append(
        &self,
        queued: &mut QueuedAppend,
    ) -> std::result::Result<Option<PendingCommit>, Disconnected> {
        let mut state = self.lock();
        if self.has_capacity(&state, queued)? {
            let pending = self.add(&mut state, queued);
            self.wake(state);
            return Ok(Some(pending));
        }
        self.request_flush(state);
        Ok(None)
    }
}

/// The future of a waiting append: resolves when it is in the queue. Dropping it removes the append if it still waits.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    queue: &'a CommitQueue,
    ticket: Ticket,
    is_resolved: bool,
}

impl Future for Waiting<'_> {
    type Output = Result<PendingCommit>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // No thread of a forked child would ever wake it.
        self.queue.status().check_fork()?;
        self.ticket.poll(context).map(|accepted| {
            self.is_resolved = true;
            accepted.ok_or_else(|| self.queue.status().closed_error())
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // In a forked child the lock may be held by a thread that only the parent has.
        if !self.is_resolved && !self.queue.status().fork_guard.in_forked_child() {
            self.queue.stop_waiting(&self.ticket);
        }
    }
}
