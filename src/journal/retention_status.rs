//! What a journal keeps: its oldest record, and the holds of its consumers.

use super::holds::Holds;
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering, PoisonError, TryLockError};

/// The oldest record and the holds, as callers see them.
#[derive(Debug, Default)]
pub(crate) struct RetentionStatus {
    first_seq: AtomicU64,
    /// Those that are durable.
    holds: Mutex<Holds>,
}

impl RetentionStatus {
    /// The oldest record that is still there; the next one where there is none.
    pub(crate) fn first_seq(&self) -> u64 {
        self.first_seq.load(Ordering::Acquire)
    }

    pub(crate) fn set_first_seq(&self, seq: u64) {
        self.first_seq.store(seq, Ordering::Release);
    }

    pub(crate) fn holds(&self) -> Holds {
        self.lock_holds().clone()
    }

    /// Somebody needs all records from this one on. Nobody: the highest number, which no record has.
    pub(crate) fn lowest_hold(&self) -> u64 {
        self.lock_holds().values().copied().min().unwrap_or(u64::MAX)
    }

    /// The same where the lock may be held by a thread that this process does not have: `None` then.
    pub(crate) fn try_holds(&self) -> Option<Holds> {
        match self.holds.try_lock() {
            Ok(holds) => Some(holds.clone()),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner().clone()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub(crate) fn set_holds(&self, holds: Holds) {
        *self.lock_holds() = holds;
    }

    fn lock_holds(&self) -> MutexGuard<'_, Holds> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
