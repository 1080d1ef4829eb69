//! Closing and poisoning a store, which change its status and its queue together.

use std::{io, sync::Arc};

use super::queue::CommitQueue;
use crate::journal::status::StoreStatus;

/// The status of a store, and its queue.
#[derive(Debug, Clone)]
pub(crate) struct StoreInner {
    pub(crate) status: Arc<StoreStatus>,
    pub(crate) queue: Arc<CommitQueue>,
}

impl StoreInner {
    /// Poisons the store and closes its queue. Called on the writer thread.
    pub(crate) fn poison(&self, cause: io::Error) {
        self.status.poison(cause);
        self.close_queue();
    }

    /// Closes the store: appends fail with [`Closed`](crate::MiniStoreError::Closed).
    pub(crate) fn close(&self) {
        self.status.close();
        self.close_queue();
    }

    /// Rejects all appends, also those that wait for capacity, and wakes the callers that wait for a sequence number.
    fn close_queue(&self) {
        self.queue.close_to_appends();
        self.status.watermark.close();
    }

    /// Reports the size of the queue to the metrics.
    pub(crate) fn update_queue_gauge(&self) {
        self.status.counters.set_queue_bytes(|| self.queue.used_bytes());
    }
}
