//! What callers ask of retention, until the housekeeper looks: many asks are answered by one look, and one write.
//! Never waits for a disk, and never runs a caller's code under its lock.

use std::{mem, sync::Arc};

use crate::{
    MiniStoreError, Result,
    journal::{reply::reply, status::StoreStatus},
    seeded_bugs::{Bug, seeded},
    sync::{AtomicBool, Mutex, MutexGuard, Ordering, PoisonError, oneshot},
};

/// What a caller asks for.
#[derive(Debug)]
pub(crate) enum RetentionRequest {
    /// Delete what lies before a record. Answered with the oldest one that is left.
    Trim { before: u64, done: oneshot::Sender<Result<u64>> },
    /// Keep all records from one on.
    Hold { name: String, seq: u64, done: oneshot::Sender<Result<()>> },
    /// No longer. Answered with whether there was such a hold.
    ReleaseHold { name: String, done: oneshot::Sender<Result<bool>> },
}

impl RetentionRequest {
    pub(crate) fn refuse(self, closed_error: MiniStoreError) {
        match self {
            Self::Trim { done, .. } => reply(done, Err(closed_error)),
            Self::Hold { done, .. } => reply(done, Err(closed_error)),
            Self::ReleaseHold { done, .. } => reply(done, Err(closed_error)),
        }
    }
}

/// What was asked, oldest first.
#[derive(Debug, Default)]
pub(crate) struct RequestQueue {
    state: Mutex<State>,
    /// There is something: looked at without the lock.
    waiting: AtomicBool,
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
        for request in self.requests.end() {
            request.refuse(self.status.closed_error());
        }
    }
}

impl Drop for RequestReceiver {
    fn drop(&mut self) {
        self.cancel();
    }
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<RetentionRequest>,
    ended: bool,
}

impl RequestQueue {
    /// Whether the writer is to be nudged: whoever came first does that for those behind. The ask comes back where nobody
    /// takes it any more.
    pub(crate) fn add(&self, ask: RetentionRequest) -> std::result::Result<bool, RetentionRequest> {
        let mut state = self.lock();
        if state.ended {
            return Err(ask);
        }
        state.requests.push(ask);
        Ok(!self.waiting.swap(true, Ordering::AcqRel))
    }

    pub(crate) fn has_pending(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }

    pub(crate) fn take(&self) -> Vec<RetentionRequest> {
        let mut state = self.lock();
        self.waiting.store(false, Ordering::Release);
        mem::take(&mut state.requests)
    }

    /// Nothing is taken from now on; what was asked before comes out.
    pub(crate) fn end(&self) -> Vec<RetentionRequest> {
        self.lock().ended = true;
        self.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
