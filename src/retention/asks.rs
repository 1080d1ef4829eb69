//! What callers ask of retention, until the housekeeper looks: many asks are answered by one look, and one write.
//! Never waits for a disk, and never runs a caller's code under its lock.

use std::mem;

use crate::{
    MiniStoreError, Result,
    request::answer,
    sync::{AtomicBool, Mutex, MutexGuard, Ordering, PoisonError, oneshot},
};

/// What a caller asks for.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Delete what lies before a record. Answered with the oldest one that is left.
    Release { before: u64, done: oneshot::Sender<Result<u64>> },
    /// Keep all records from one on.
    Hold { name: String, seq: u64, done: oneshot::Sender<Result<()>> },
    /// No longer. Answered with whether there was such a hold.
    ReleaseHold { name: String, done: oneshot::Sender<Result<bool>> },
}

impl Ask {
    pub(crate) fn refuse(self, refusal: MiniStoreError) {
        match self {
            Self::Release { done, .. } => answer(done, Err(refusal)),
            Self::Hold { done, .. } => answer(done, Err(refusal)),
            Self::ReleaseHold { done, .. } => answer(done, Err(refusal)),
        }
    }
}

/// What was asked, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    state: Mutex<State>,
    /// There is something: looked at without the lock.
    waiting: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    asks: Vec<Ask>,
    ended: bool,
}

impl Asks {
    /// Whether the writer is to be nudged: whoever came first does that for those behind. The ask comes back where nobody
    /// takes it any more.
    pub(crate) fn add(&self, ask: Ask) -> std::result::Result<bool, Ask> {
        let mut state = self.lock();
        if state.ended {
            return Err(ask);
        }
        state.asks.push(ask);
        Ok(!self.waiting.swap(true, Ordering::AcqRel))
    }

    pub(crate) fn are_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }

    pub(crate) fn take(&self) -> Vec<Ask> {
        let mut state = self.lock();
        self.waiting.store(false, Ordering::Release);
        mem::take(&mut state.asks)
    }

    /// Nothing is taken from now on; what was asked before comes out.
    pub(crate) fn end(&self) -> Vec<Ask> {
        self.lock().ended = true;
        self.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
