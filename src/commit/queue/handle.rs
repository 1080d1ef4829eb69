//! The callers' end of the queue.

use std::sync::Arc;

use super::commit_queue::CommitQueue;
use crate::journal::{fork::ForkGuard, lock::PendingRelease};

/// The handle to the writer thread. When it is dropped, the writer thread closes the journal; an open of the same
/// journal waits for that instead of failing.
#[derive(Debug)]
pub(crate) struct WriterHandle {
    queue: Arc<CommitQueue>,
    fork_guard: ForkGuard,
    releasing: PendingRelease,
}

impl WriterHandle {
    pub(crate) fn new(queue: Arc<CommitQueue>, fork_guard: ForkGuard, releasing: PendingRelease) -> Self {
        Self { queue, fork_guard, releasing }
    }
}

impl Drop for WriterHandle {
    fn drop(&mut self) {
        // A forked child does not own the journal, and a thread that only the parent has may hold the lock of the
        // queue.
        if !self.fork_guard.in_forked_child() {
            // Before the writer thread can release the lock.
            self.releasing.mark_releasing();
            self.queue.disconnect();
        }
    }
}
