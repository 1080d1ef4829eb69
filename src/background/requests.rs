//! The retention requests of callers, queued until the background thread takes them: one job serves many requests with
//! one write. Never waits for the disk, and never runs a caller's code under its lock.

use std::{mem, result, sync::Arc};

use crate::{
    MiniStoreError, Result,
    journal::{reply::reply, status::StoreStatus},
    seeded_bugs::{Bug, seeded},
    sync::{AtomicBool, Mutex, MutexGuard, Ordering, PoisonError, oneshot},
};

#[derive(Debug)]
pub(crate) enum RetentionRequest {
    /// Deletes the segments that only have records before `before`. The reply is the first sequence number that is
    /// left.
    Trim { before: u64, reply_tx: oneshot::Sender<Result<u64>> },
    /// Keeps all records from `seq` on.
    Hold { name: String, seq: u64, reply_tx: oneshot::Sender<Result<()>> },
    /// Releases a hold. The reply is whether there was such a hold.
    ReleaseHold { name: String, reply_tx: oneshot::Sender<Result<bool>> },
}

impl RetentionRequest {
    pub(crate) fn fail(self, error: MiniStoreError) {
        match self {
            Self::Trim { reply_tx, .. } => reply(reply_tx, Err(error)),
            Self::Hold { reply_tx, .. } => reply(reply_tx, Err(error)),
            Self::ReleaseHold { reply_tx, .. } => reply(reply_tx, Err(error)),
        }
    }
}

/// The pending requests, oldest first.
#[derive(Debug, Default)]
pub(crate) struct RequestQueue {
    pending: Mutex<PendingRequests>,
    /// Whether a request is pending. Readable without the lock.
    has_pending: AtomicBool,
}

#[derive(Debug, Default)]
struct PendingRequests {
    requests: Vec<RetentionRequest>,
    closed: bool,
}

/// The writer's end of the requests. When it is dropped, the requests that are left fail.
#[derive(Debug)]
pub(crate) struct RequestReceiver {
    requests: Arc<RequestQueue>,
    status: Arc<StoreStatus>,
}

impl RequestReceiver {
    pub(crate) fn new(requests: Arc<RequestQueue>, status: Arc<StoreStatus>) -> Self {
        Self { requests, status }
    }

    pub(crate) fn has_pending(&self) -> bool {
        self.requests.has_pending()
    }

    pub(crate) fn take(&self) -> Vec<RetentionRequest> {
        self.requests.take()
    }

    /// Accepts no more requests, and fails those that have no reply yet.
    pub(crate) fn cancel(&self) {
        if seeded(Bug::RequestsNotCancelledOnClose) {
            return;
        }
        for request in self.requests.close() {
            request.fail(self.status.closed_error());
        }
    }
}

impl Drop for RequestReceiver {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl RequestQueue {
    /// Queues a request. Returns whether the caller must wake the writer, which the first of several callers does.
    ///
    /// # Errors
    ///
    /// Returns the request if the queue is closed.
    pub(crate) fn add(&self, request: RetentionRequest) -> result::Result<bool, RetentionRequest> {
        let mut pending = self.lock();
        if pending.closed {
            return Err(request);
        }
        pending.requests.push(request);
        Ok(!self.has_pending.swap(true, Ordering::AcqRel))
    }

    pub(crate) fn has_pending(&self) -> bool {
        self.has_pending.load(Ordering::Acquire)
    }

    pub(crate) fn take(&self) -> Vec<RetentionRequest> {
        let mut pending = self.lock();
        self.has_pending.store(false, Ordering::Release);
        mem::take(&mut pending.requests)
    }

    /// Accepts no more requests, and returns those that are pending.
    fn close(&self) -> Vec<RetentionRequest> {
        self.lock().closed = true;
        self.take()
    }

    fn lock(&self) -> MutexGuard<'_, PendingRequests> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
