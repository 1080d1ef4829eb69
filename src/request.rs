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
    sync::oneshot,
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
        tracing::error!("caller code panicked on the writer thread");
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

/// An append that was accepted: resolves once it is durable.
#[derive(Debug)]
#[must_use = "the outcome of an append is in its PendingCommit"]
pub(crate) struct PendingCommit {
    pub(crate) place: Place,
}

impl PendingCommit {
    /// Spins for a moment before a blocking caller parks.
    pub(crate) fn look_out(&self) {
        self.place.shared().look_out(|| self.place.fate().is_some());
    }

    /// Returns the outcome if it is known.
    pub(crate) fn try_committed(&self) -> Option<Result<Committed>> {
        self.place.fate().map(|fate| outcome(fate, self.place.shared()))
    }

    pub(crate) fn poll_committed(&self, context: &mut Context<'_>) -> Poll<Result<Committed>> {
        if let Some(committed) = self.try_committed() {
            return Poll::Ready(committed);
        }
        // Nothing would ever wake a forked child.
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
        Fate::SeqMismatch { expected, actual } => Err(MiniStoreError::SeqMismatch { expected, actual }),
        Fate::Refused => Err(shared.refusal()),
    }
}

impl Future for PendingCommit {
    type Output = Result<Committed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_committed(context)
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
