//! What handles, pending appends and the writer thread share.

use std::{io, path::PathBuf, sync::Arc};

use crate::{
    MiniStoreError, Result,
    stats::Counters,
    sync::{AtomicBool, AtomicU64, OnceLock, Ordering, Semaphore, broken},
};

#[derive(Debug)]
pub(crate) struct Shared {
    /// The journal's path, for errors.
    pub(crate) path: PathBuf,
    pub(crate) counters: Counters,
    /// Room in the queue, in bytes. Closed when nothing is accepted any more.
    pub(crate) room: Arc<Semaphore>,
    durable_seq: AtomicU64,
    poison: OnceLock<Arc<io::Error>>,
    closed: AtomicBool,
}

impl Shared {
    pub(crate) fn new(path: PathBuf, queue_bytes_max: u32) -> Result<Self> {
        Ok(Self {
            path,
            counters: Counters::new()?,
            room: Arc::new(Semaphore::new(queue_bytes_max as usize)),
            durable_seq: AtomicU64::default(),
            poison: OnceLock::new(),
            closed: AtomicBool::default(),
        })
    }

    /// The highest sequence number that is durable.
    pub(crate) fn durable_seq(&self) -> u64 {
        self.durable_seq.load(Ordering::Acquire)
    }

    pub(crate) fn publish(&self, durable_seq: u64) {
        let before = self.durable_seq.swap(durable_seq, Ordering::Release);
        debug_assert!(before <= durable_seq, "a durable sequence number went back");
    }

    /// Stops everything for good. The first cause is kept.
    pub(crate) fn poison(&self, cause: io::Error) {
        tracing::error!(journal = %self.path.display(), %cause, "a write or a sync failed: stopped");
        if broken!(FailsBeforeSayingWhy) {
            self.room.close();
        }
        let _ = self.poison.set(Arc::new(cause));
        self.room.close();
    }

    /// The error of a poisoned store.
    pub(crate) fn poisoned(&self) -> Option<MiniStoreError> {
        let source = Arc::clone(self.poison.get()?);
        Some(MiniStoreError::Poisoned { path: self.path.clone(), source })
    }

    /// Nothing is accepted any more.
    pub(crate) fn close(&self) {
        if broken!(ClosesBeforeSayingWhy) {
            self.room.close();
        }
        self.closed.store(true, Ordering::Release);
        self.room.close();
    }

    /// Why nothing is accepted any more.
    pub(crate) fn refusal(&self) -> MiniStoreError {
        match self.poisoned() {
            Some(poisoned) => poisoned,
            None if self.closed.load(Ordering::Acquire) => MiniStoreError::Closed,
            None => MiniStoreError::WriterGone,
        }
    }
}
