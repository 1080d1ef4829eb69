//! The oldest record of an open journal, and the holds of its consumers.

use super::holds::Holds;
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering, PoisonError, TryLockError};

/// The oldest record and the holds, which the background thread updates and callers read.
#[derive(Debug, Default)]
pub(crate) struct RetentionStatus {
    first_seq: AtomicU64,
    /// The durable holds.
    holds: Mutex<Holds>,
}

impl RetentionStatus {
    /// Returns the sequence number of the oldest record, or of the next one if there is no record.
    pub(crate) fn first_seq(&self) -> u64 {
        self.first_seq.load(Ordering::Acquire)
    }

    pub(crate) fn set_first_seq(&self, seq: u64) {
        self.first_seq.store(seq, Ordering::Release);
    }

    pub(crate) fn holds(&self) -> Holds {
        self.lock_holds().clone()
    }

    /// Returns the lowest sequence number that a hold keeps, or `u64::MAX`, which no record has, without a hold.
    pub(crate) fn lowest_hold(&self) -> u64 {
        self.lock_holds().values().copied().min().unwrap_or(u64::MAX)
    }

    /// Returns the holds, or `None` if the lock is held: in a forked child, possibly by a thread that it does not have.
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
