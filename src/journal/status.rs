//! The status of an open journal, shared by its handles, pending appends and threads.

use std::{fmt, io, path::PathBuf, sync::Arc};

use super::{fork::ForkGuard, retention_status::RetentionStatus, watermark::DurableWatermark};
use crate::{
    BackendKind, JournalOptions, MiniStoreError, Result, Stats,
    spin::CallerSpin,
    stats::{Counters, Gauges},
    sync::{AtomicBool, OnceLock, Ordering},
};

pub(crate) struct StoreStatus {
    /// The journal's path, for errors.
    pub(crate) path: PathBuf,
    /// The process that the writer thread runs in.
    pub(crate) fork_guard: ForkGuard,
    pub(crate) counters: Counters,
    pub(crate) retention: RetentionStatus,
    pub(crate) watermark: DurableWatermark,
    /// Whether a record keeps its sequence number when older segments are deleted.
    seqs_are_stable: bool,
    pub(crate) caller_spin: CallerSpin,
    poison: OnceLock<Arc<io::Error>>,
    closed: AtomicBool,
}

impl StoreStatus {
    pub(crate) fn new(
        path: PathBuf,
        fork_guard: ForkGuard,
        options: &JournalOptions,
        seqs_are_stable: bool,
    ) -> Result<Self> {
        Ok(Self {
            counters: Counters::new(&path, options)?,
            path,
            fork_guard,
            retention: RetentionStatus::default(),
            watermark: DurableWatermark::new(),
            seqs_are_stable,
            caller_spin: CallerSpin::new(options.spin),
            poison: OnceLock::new(),
            closed: AtomicBool::default(),
        })
    }

    /// Returns the highest durable sequence number.
    pub(crate) fn durable_seq(&self) -> u64 {
        self.watermark.durable_seq()
    }

    pub(crate) fn publish(&self, durable_seq: u64) {
        self.watermark.publish(durable_seq);
        self.counters.set_durable_seq(durable_seq);
    }

    /// Returns an error if records cannot be found by sequence number.
    pub(crate) fn check_stable_seqs(&self) -> Result<()> {
        if self.seqs_are_stable {
            return Ok(());
        }
        Err(MiniStoreError::InvalidArgument(
            "finding records by sequence number needs checksums: without them sequence numbers are not stored".into(),
        ))
    }

    /// Returns the statistics. Takes no lock.
    pub(crate) fn stats(&self, backend: BackendKind, queue_bytes: u64) -> Stats {
        self.counters.snapshot(Gauges {
            backend,
            durable_seq: self.durable_seq(),
            queue_bytes,
            poisoned: self.poison.get().is_some(),
        })
    }

    /// Poisons the store: no later commit succeeds. The first cause is kept.
    ///
    /// A commit in flight may still make records durable, so this closes neither the queue nor the watermark: the
    /// writer thread does when it finds the store poisoned.
    pub(crate) fn poison(&self, cause: io::Error) {
        if self.poison.get().is_none() {
            tracing::error!(journal = %self.path.display(), error = %cause, "write or sync failed; journal poisoned until reopened");
            self.counters.set_poisoned();
        }
        let _ = self.poison.set(Arc::new(cause));
    }

    /// Returns the error of a poisoned store, if it is poisoned.
    pub(crate) fn poisoned(&self) -> Option<MiniStoreError> {
        let source = Arc::clone(self.poison.get()?);
        Some(MiniStoreError::Poisoned { path: self.path.clone(), source })
    }

    /// Marks the store as closed.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Returns an error in a forked child. Called before sending, waiting or locking: see [`ForkGuard`].
    pub(crate) fn check_fork(&self) -> Result<()> {
        if self.fork_guard.in_forked_child() {
            return Err(MiniStoreError::Forked { path: self.path.clone(), pid: self.fork_guard.id });
        }
        Ok(())
    }

    /// Returns why the store accepts no more requests.
    pub(crate) fn closed_error(&self) -> MiniStoreError {
        match self.poisoned() {
            Some(poisoned) => poisoned,
            None if self.closed.load(Ordering::Acquire) => MiniStoreError::Closed,
            None => MiniStoreError::WriterPanicked,
        }
    }
}

/// Omits the counters, because the status is part of every handle and every pending append.
impl fmt::Debug for StoreStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreStatus")
            .field("path", &self.path)
            .field("durable_seq", &self.durable_seq())
            .field("poison", &self.poison.get())
            .finish_non_exhaustive()
    }
}
