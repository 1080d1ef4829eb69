//! What callers ask of retention, until the housekeeper looks: many asks are answered by one look, and one write.
//! Never waits for a disk, and never runs a caller's code under its lock.

use std::mem;

use crate::{
    MiniStoreError, Result,
    request::reply,
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
