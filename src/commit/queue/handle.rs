//! The callers' end of the queue.

use std::sync::Arc;

use super::{Command, CommitQueue, Disconnected};
use crate::{
    journal::{fork::ForkGuard, lock::PendingRelease},
    seeded_bugs::{Bug, seeded},
};

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

    pub(crate) fn control(&self, request: Command) -> Result<(), Disconnected> {
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
            if !seeded(Bug::ReleaseNotAnnounced) {
                self.releasing.mark_releasing();
            }
            self.queue.disconnect();
        }
    }
}
