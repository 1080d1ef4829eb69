//! What handles, pending appends and the writer thread share.

use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, LazyLock},
    thread::available_parallelism,
    time::{Duration, Instant},
};

use super::{fork::ForkGuard, retention_status::RetentionStatus, watermark::DurableWatermark};
use crate::{
    BackendKind, JournalOptions, MiniStoreError, Result, Stats,
    stats::{Counters, Gauges},
    sync::{AtomicBool, AtomicU64, OnceLock, Ordering, thread},
};

/// A blocking caller does not look out for its answer for longer.
const SPIN_MAX: Duration = Duration::from_micros(150);

/// Whether somebody else can run while one thread looks out for something. Threads that are modelled take no time.
pub(crate) fn is_multicore() -> bool {
    static MORE_THAN_ONE: LazyLock<bool> = LazyLock::new(|| {
        !cfg!(shuttle) && available_parallelism().is_ok_and(|processors| processors.get() > 1)
    });
    *MORE_THAN_ONE
}

pub(crate) struct StoreStatus {
    /// The journal's path, for errors.
    pub(crate) path: PathBuf,
    /// Where the writer thread runs.
    pub(crate) process: ForkGuard,
    pub(crate) counters: Counters,
    pub(crate) retention: RetentionStatus,
    pub(crate) watermark: DurableWatermark,
    /// Whether a record keeps its number whatever is deleted.
    seqs_are_stable: bool,
    /// How long the last commit took, in nanoseconds; the highest number before the first.
    commit_nanos: AtomicU64,
    /// A blocking caller is looking out for its answer, awake.
    is_spinning: AtomicBool,
    poison: OnceLock<Arc<io::Error>>,
    closed: AtomicBool,
}

impl StoreStatus {
    pub(crate) fn new(
        path: PathBuf,
        process: ForkGuard,
        options: &JournalOptions,
        seqs_are_stable: bool,
    ) -> Result<Self> {
        Ok(Self {
            counters: Counters::new(&path, options)?,
            path,
            process,
            retention: RetentionStatus::default(),
            watermark: DurableWatermark::new(),
            seqs_are_stable,
            commit_nanos: AtomicU64::new(u64::MAX),
            is_spinning: AtomicBool::default(),
            poison: OnceLock::new(),
            closed: AtomicBool::default(),
        })
    }

    /// The highest sequence number that is durable.
    pub(crate) fn durable_seq(&self) -> u64 {
        self.watermark.durable_seq()
    }

    pub(crate) fn publish(&self, durable_seq: u64) {
        self.watermark.publish(durable_seq);
        self.counters.durable(durable_seq);
    }

    /// Called before a record is looked for by its number.
    pub(crate) fn check_stable_seqs(&self) -> Result<()> {
        if self.seqs_are_stable {
            return Ok(());
        }
        Err(MiniStoreError::InvalidArgument(
            "finding records by sequence number needs checksums: without them sequence numbers are not stored".into(),
        ))
    }

    /// What was done so far. Takes no lock.
    pub(crate) fn stats(&self, backend: BackendKind, queue_bytes: u64) -> Stats {
        self.counters.read(Gauges {
            backend,
            durable_seq: self.durable_seq(),
            queue_bytes,
            poisoned: self.poison.get().is_some(),
        })
    }

    /// Takes note of how long a commit took.
    pub(crate) fn record_commit_latency(&self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.commit_nanos.store(nanos, Ordering::Relaxed);
    }

    /// How long the last commit took, if there was one.
    pub(crate) fn last_commit_latency(&self) -> Option<Duration> {
        let nanos = self.commit_nanos.load(Ordering::Relaxed);
        (nanos < u64::MAX).then(|| Duration::from_nanos(nanos))
    }

    /// Looks out for an answer on the calling thread, as long as a quick commit takes: a parked thread wakes late. One
    /// caller at a time, and none where commits are slow, or there is but one processor: those park at once.
    pub(crate) fn spin_for_completion(&self, answered: impl Fn() -> bool) {
        let is_slow = self.last_commit_latency().is_none_or(|took| took > SPIN_MAX);
        if is_slow || !is_multicore() || self.is_spinning.swap(true, Ordering::Acquire) {
            return;
        }
        let began = Instant::now();
        while !answered() && began.elapsed() < SPIN_MAX {
            thread::yield_now();
        }
        self.is_spinning.store(false, Ordering::Release);
    }

    /// Poisons the store: nothing is committed any more. The first cause is kept.
    ///
    /// A commit that is under way may still make records durable, so the writer thread closes the queue and the
    /// watermark itself when it learns of this.
    pub(crate) fn poison(&self, cause: io::Error) {
        if self.poison.get().is_none() {
            tracing::error!(journal = %self.path.display(), error = %cause, "write or sync failed; journal poisoned until reopened");
            self.counters.poisoned();
        }
        let _ = self.poison.set(Arc::new(cause));
    }

    /// The error of a poisoned store.
    pub(crate) fn poisoned(&self) -> Option<MiniStoreError> {
        let source = Arc::clone(self.poison.get()?);
        Some(MiniStoreError::Poisoned { path: self.path.clone(), source })
    }

    /// Nothing is accepted any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Called before anything is sent, waited for or locked: see [`ForkGuard`].
    pub(crate) fn check_fork(&self) -> Result<()> {
        if self.process.in_forked_child() {
            return Err(MiniStoreError::Forked { path: self.path.clone(), pid: self.process.id });
        }
        Ok(())
    }

    /// Why nothing is accepted any more.
    pub(crate) fn closed_error(&self) -> MiniStoreError {
        match self.poisoned() {
            Some(poisoned) => poisoned,
            None if self.closed.load(Ordering::Acquire) => MiniStoreError::Closed,
            None => MiniStoreError::WriterPanicked,
        }
    }
}

/// Without all that is counted: it is part of every handle and every pending append.
impl fmt::Debug for StoreStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreStatus")
            .field("path", &self.path)
            .field("durable_seq", &self.durable_seq())
            .field("poison", &self.poison.get())
            .finish_non_exhaustive()
    }
}
