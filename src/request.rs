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
    fork::ForkGuard,
    inner::StoreInner,
    lock::PendingRelease,
    planted::{Bug, planted},
    queue::{AppendOutcome, COPY_THRESHOLD_BYTES, Command, CommitInfo, CommitQueue, Disconnected, GroupSlot},
    sync::oneshot,
};

/// Tells a caller the outcome. It may be gone.
pub(crate) fn reply<T>(done: oneshot::Sender<Result<T>>, outcome: Result<T>) {
    catch_caller_panic(|| drop(done.send(outcome)));
}

/// Does something that runs code of callers right here, on the writer's thread: their wakers, or the owners of their bytes
/// as they go. If it panics that is that caller's own misfortune. `false` where that happened.
pub(crate) fn catch_caller_panic(wake: impl FnOnce()) -> bool {
    let outcome = panic::catch_unwind(AssertUnwindSafe(wake));
    if outcome.is_err() {
        tracing::error!("caller code panicked on the writer thread");
    }
    outcome.is_ok()
}

/// Lines with the LFs between them.
#[derive(Debug)]
pub(crate) enum Payload {
    Vec(Vec<u8>),
    Bytes(Bytes),
}

impl Default for Payload {
    fn default() -> Self {
        Self::Vec(Vec::new())
    }
}

impl Payload {
    /// Gives back what was reserved while they were put together, where they wait in that memory: it is to be no more
    /// than is counted for them. Smaller ones are copied into their group.
    pub(crate) fn owned(mut lines: Vec<u8>) -> Self {
        if lines.len() >= COPY_THRESHOLD_BYTES {
            lines.shrink_to_fit();
        }
        Self::Vec(lines)
    }

    /// The same, cheap to clone.
    pub(crate) fn into_shared(self) -> Bytes {
        match self {
            Self::Vec(bytes) => bytes.into(),
            Self::Bytes(bytes) => bytes,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Vec(bytes) => bytes,
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// An append that was accepted: resolves once it is durable.
#[derive(Debug)]
#[must_use = "the outcome of an append is in its PendingCommit"]
pub(crate) struct PendingCommit {
    pub(crate) slot: GroupSlot,
}

impl PendingCommit {
    /// Spins for a moment before a blocking caller parks.
    pub(crate) fn spin_for_completion(&self) {
        self.slot.inner().spin_for_completion(|| self.slot.fate().is_some());
    }

    /// Returns the outcome if it is known.
    pub(crate) fn try_committed(&self) -> Option<Result<CommitInfo>> {
        self.slot.fate().map(|fate| outcome(fate, self.slot.inner()))
    }

    pub(crate) fn poll_committed(&self, context: &mut Context<'_>) -> Poll<Result<CommitInfo>> {
        if let Some(committed) = self.try_committed() {
            return Poll::Ready(committed);
        }
        // Nothing would ever wake a forked child.
        self.slot.inner().check_fork()?;
        self.slot.poll(context).map(|fate| outcome(fate, self.slot.inner()))
    }
}

/// What a fate means to the caller.
pub(crate) fn outcome(fate: AppendOutcome, inner: &StoreInner) -> Result<CommitInfo> {
    match fate {
        AppendOutcome::Durable(committed) => Ok(committed),
        AppendOutcome::StorageFull(source) => {
            Err(MiniStoreError::StorageFull { path: inner.path.clone(), source })
        }
        AppendOutcome::Unavailable { action, source } => {
            Err(MiniStoreError::Unavailable { path: inner.path.clone(), action, source })
        }
        AppendOutcome::SeqMismatch { expected, actual } => {
            Err(MiniStoreError::SeqMismatch { expected, actual })
        }
        AppendOutcome::Refused => Err(inner.closed_error()),
    }
}

impl Future for PendingCommit {
    type Output = Result<CommitInfo>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_committed(context)
    }
}

/// What there is to say to a rotation, a closing, or an ask of retention.
#[derive(Debug)]
pub(crate) struct Reply<T> {
    pub(crate) outcome: oneshot::Receiver<Result<T>>,
    pub(crate) inner: Arc<StoreInner>,
}

impl<T> Future for Reply<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match Pin::new(&mut self.outcome).poll(context) {
            Poll::Ready(Ok(outcome)) => Poll::Ready(outcome),
            // A sender that is gone without a word: the writer ended, and `inner` tells why.
            Poll::Ready(Err(_)) => Poll::Ready(Err(self.inner.closed_error())),
            // Nobody would ever wake a fork.
            Poll::Pending => {
                self.inner.check_fork().map_or_else(|forked| Poll::Ready(Err(forked)), |()| Poll::Pending)
            }
        }
    }
}

/// The way to the writer thread. When it goes, the writer closes the journal; whoever opens it anew waits for that
/// instead of failing.
#[derive(Debug)]
pub(crate) struct WriterHandle {
    queue: Arc<CommitQueue>,
    process: ForkGuard,
    releasing: PendingRelease,
}

impl WriterHandle {
    pub(crate) fn new(queue: Arc<CommitQueue>, process: ForkGuard, releasing: PendingRelease) -> Self {
        Self { queue, process, releasing }
    }

    pub(crate) fn control(&self, request: Command) -> std::result::Result<(), Disconnected> {
        self.queue.control(request)
    }

    /// The writer is to look at something that is no request.
    pub(crate) fn wake_writer(&self) {
        self.queue.wake_writer();
    }
}

impl Drop for WriterHandle {
    fn drop(&mut self) {
        // Of a fork the journal is not: and the lock of the queue may be held by a thread that a fork does not have.
        if !self.process.in_forked_child() {
            // Before the writer is told.
            if !planted(Bug::GoesWithoutAWord) {
                self.releasing.mark_releasing();
            }
            self.queue.disconnect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::APPEND_OVERHEAD_BYTES;

    #[test]
    fn what_waits_takes_no_more_memory_than_is_counted_for_it() {
        for bytes in [COPY_THRESHOLD_BYTES, 60_000, 1 << 20] {
            let line = crate::encode::to_line(&"x".repeat(bytes)).unwrap();
            let Payload::Vec(lines) = Payload::owned(line) else { panic!("they are owned") };
            assert!(lines.capacity() <= lines.len() + APPEND_OVERHEAD_BYTES as usize, "{bytes}");
        }
    }
}
