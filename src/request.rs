//! What a caller holds while the writer works: its lines and its answer.

use std::{
    future::Future,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;

use crate::{
    MiniStoreError, Result,
    lock::Releasing,
    planted::{Bug, planted},
    process::Process,
    queue::{COPIED_BYTES_MAX, Committed, Ended, Fate, Place, Queue, Request},
    shared::Shared,
    sync::{block_on, oneshot},
};

/// Tells a caller the outcome. It may be gone.
pub(crate) fn answer<T>(done: oneshot::Sender<Result<T>>, outcome: Result<T>) {
    outliving_callers(|| drop(done.send(outcome)));
}

/// Does something that runs code of callers right here, on the writer's thread: their wakers, or the owners of their bytes
/// as they go. If it panics that is that caller's own misfortune. `false` where that happened.
pub(crate) fn outliving_callers(wake: impl FnOnce()) -> bool {
    let outcome = panic::catch_unwind(AssertUnwindSafe(wake));
    if outcome.is_err() {
        tracing::error!("a caller's waker, or the owner of its bytes, panicked");
    }
    outcome.is_ok()
}

/// Lines with the LFs between them.
#[derive(Debug)]
pub(crate) enum Lines {
    Owned(Vec<u8>),
    Shared(Bytes),
}

impl Default for Lines {
    fn default() -> Self {
        Self::Owned(Vec::new())
    }
}

impl Lines {
    /// Gives back what was reserved while they were put together, where they wait in that memory: it is to be no more
    /// than is counted for them. Smaller ones are copied into their group.
    pub(crate) fn owned(mut lines: Vec<u8>) -> Self {
        if lines.len() >= COPIED_BYTES_MAX {
            lines.shrink_to_fit();
        }
        Self::Owned(lines)
    }

    /// The same, cheap to clone.
    pub(crate) fn into_shared(self) -> Bytes {
        match self {
            Self::Owned(bytes) => bytes.into(),
            Self::Shared(bytes) => bytes,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// An append that was accepted: resolves to the record's sequence number once it is durable.
///
/// Await it on any executor, or block on it with [`wait`](Self::wait). It needs neither the store's handle nor
/// a runtime. Dropping it forgets the outcome, not the record: that is written all the same.
///
/// # Errors
///
/// [`StorageFull`](crate::MiniStoreError::StorageFull): the record was not written.
/// [`Poisoned`](crate::MiniStoreError::Poisoned), [`WriterGone`](crate::MiniStoreError::WriterGone): whether it was is
/// not known.
/// [`Forked`](crate::MiniStoreError::Forked): the record was handed over before the fork, and is written by the other process.
#[derive(Debug)]
#[must_use = "the outcome of an append is in its Pending"]
pub struct Pending {
    pub(crate) place: Place,
}

impl Pending {
    /// Blocks the calling thread until the record is durable.
    ///
    /// # Errors
    ///
    /// As for awaiting it.
    pub fn wait(self) -> Result<u64> {
        self.look_out();
        block_on(self)
    }

    /// A blocking caller's moment before it parks.
    pub(crate) fn look_out(&self) {
        self.place.shared().look_out(|| self.place.fate().is_some());
    }

    /// As the future does, with all that is known.
    pub(crate) fn poll_committed(&self, context: &mut Context<'_>) -> Poll<Result<Committed>> {
        if let Some(fate) = self.place.fate() {
            return Poll::Ready(outcome(fate, self.place.shared()));
        }
        // Nobody would ever wake a fork.
        self.place.shared().check_process()?;
        self.place.poll(context).map(|fate| outcome(fate, self.place.shared()))
    }
}

/// What a fate means to the caller.
pub(crate) fn outcome(fate: Fate, shared: &Shared) -> Result<Committed> {
    match fate {
        Fate::Durable(committed) => Ok(committed),
        Fate::NoRoom(source) => Err(MiniStoreError::StorageFull { path: shared.path.clone(), source }),
        Fate::Unavailable { action, source } => {
            Err(MiniStoreError::Unavailable { path: shared.path.clone(), action, source })
        }
        Fate::Conflict { expected, actual } => Err(MiniStoreError::Conflict { expected, actual }),
        Fate::Refused => Err(shared.refusal()),
    }
}

impl Future for Pending {
    type Output = Result<u64>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_committed(context).map_ok(|committed| committed.seq)
    }
}

/// What there is to say to a rotation, a closing, or an ask of retention.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    pub(crate) outcome: oneshot::Receiver<Result<T>>,
    pub(crate) shared: Arc<Shared>,
}

impl<T> Future for Answer<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match Pin::new(&mut self.outcome).poll(context) {
            Poll::Ready(Ok(outcome)) => Poll::Ready(outcome),
            // A sender that is gone without a word: the writer ended, and `shared` tells why.
            Poll::Ready(Err(_)) => Poll::Ready(Err(self.shared.refusal())),
            // Nobody would ever wake a fork.
            Poll::Pending => {
                self.shared.check_process().map_or_else(|forked| Poll::Ready(Err(forked)), |()| Poll::Pending)
            }
        }
    }
}

/// The way to the writer thread. When it goes, the writer closes the journal; whoever opens it anew waits for that
/// instead of failing.
#[derive(Debug)]
pub(crate) struct Requests {
    queue: Arc<Queue>,
    process: Process,
    releasing: Releasing,
}

impl Requests {
    pub(crate) fn new(queue: Arc<Queue>, process: Process, releasing: Releasing) -> Self {
        Self { queue, process, releasing }
    }

    pub(crate) fn control(&self, request: Request) -> std::result::Result<(), Ended> {
        self.queue.control(request)
    }

    /// The writer is to look at something that is no request.
    pub(crate) fn nudge(&self) {
        self.queue.nudge();
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        // Of a fork the journal is not: and the lock of the queue may be held by a thread that a fork does not have.
        if !self.process.is_elsewhere() {
            // Before the writer is told.
            if !planted(Bug::GoesWithoutAWord) {
                self.releasing.announce();
            }
            self.queue.abandon();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::APPEND_OVERHEAD_BYTES;

    #[test]
    fn what_waits_takes_no_more_memory_than_is_counted_for_it() {
        for bytes in [COPIED_BYTES_MAX, 60_000, 1 << 20] {
            let line = crate::encode::to_line(&"x".repeat(bytes)).unwrap();
            let Lines::Owned(lines) = Lines::owned(line) else { panic!("they are owned") };
            assert!(lines.capacity() <= lines.len() + APPEND_OVERHEAD_BYTES as usize, "{bytes}");
        }
    }
}
