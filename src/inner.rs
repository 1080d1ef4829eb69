//! What handles, pending appends and the writer thread share.

use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, LazyLock},
    thread::available_parallelism,
    time::{Duration, Instant},
};

use crate::{
    BackendKind, JournalOptions, MiniStoreError, Result, Stats,
    fork::ForkGuard,
    planted::{Bug, planted},
    queue::CommitQueue,
    retention::{Retention, RetentionLimits},
    stats::{Counters, Gauges},
    sync::{AtomicBool, AtomicU64, OnceLock, Ordering, thread},
    watermark::DurableWatermark,
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

pub(crate) struct StoreInner {
    /// The journal's path, for errors.
    pub(crate) path: PathBuf,
    /// Where the writer thread runs.
    pub(crate) process: ForkGuard,
    pub(crate) counters: Counters,
    pub(crate) retention: Retention,
    pub(crate) watermark: DurableWatermark,
    /// Closed when nothing is accepted any more.
    pub(crate) queue: Arc<CommitQueue>,
    /// Whether a record keeps its number whatever is deleted.
    seqs_are_stable: bool,
    /// How long the last commit took, in nanoseconds; the highest number before the first.
    commit_nanos: AtomicU64,
    /// A blocking caller is looking out for its answer, awake.
    is_spinning: AtomicBool,
    poison: OnceLock<Arc<io::Error>>,
    closed: AtomicBool,
}

impl StoreInner {
    pub(crate) fn new(
        path: PathBuf,
        process: ForkGuard,
        queue: Arc<CommitQueue>,
        options: &JournalOptions,
    ) -> Result<Self> {
        Ok(Self {
            counters: Counters::new(&path, options)?,
            path,
            process,
            retention: Retention::default(),
            watermark: DurableWatermark::new(),
            queue,
            seqs_are_stable: options.checksums || RetentionLimits::of(options).keep_everything(),
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

    /// Bytes that wait in the queue, what is being committed included.
    pub(crate) fn queue_bytes(&self) -> u64 {
        self.queue.used_bytes()
    }

    /// Tells how much waits to those who do not ask.
    pub(crate) fn update_queue_gauge(&self) {
        self.counters.queue(|| self.queue_bytes());
    }

    /// What was done so far. Takes no lock.
    pub(crate) fn stats(&self, backend: BackendKind) -> Stats {
        self.counters.read(Gauges {
            backend,
            durable_seq: self.durable_seq(),
            queue_bytes: self.queue_bytes(),
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

    /// Stops everything for good. The first cause is kept.
    pub(crate) fn poison(&self, cause: io::Error) {
        self.poison_from_background(cause);
        self.watermark.close();
    }

    /// The same, from beside the writer. A commit may be under way, and what it makes durable is still told: the writer
    /// says itself that nothing more will be, when it hears of this.
    pub(crate) fn poison_from_background(&self, cause: io::Error) {
        if self.poison.get().is_none() {
            tracing::error!(journal = %self.path.display(), error = %cause, "write or sync failed; journal poisoned until reopened");
            self.counters.poisoned();
        }
        if planted(Bug::FailsBeforeSayingWhy) {
            self.queue.close_to_appends();
        }
        let _ = self.poison.set(Arc::new(cause));
        self.queue.close_to_appends();
    }

    /// Who waits for room is woken, and refused; and so is who waits for a number that will not be durable.
    pub(crate) fn close_queue(&self) {
        self.queue.close_to_appends();
        self.watermark.close();
    }

    /// The error of a poisoned store.
    pub(crate) fn poisoned(&self) -> Option<MiniStoreError> {
        let source = Arc::clone(self.poison.get()?);
        Some(MiniStoreError::Poisoned { path: self.path.clone(), source })
    }

    /// Nothing is accepted any more.
    pub(crate) fn close(&self) {
        if planted(Bug::ClosesBeforeSayingWhy) {
            self.queue.close_to_appends();
        }
        self.closed.store(true, Ordering::Release);
        self.close_queue();
    }

    /// Called before anything is sent, waited for or locked: see [`ForkGuard`].
    pub(crate) fn check_fork(&self) -> Result<()> {
        if self.process.in_forked_child() {
            return Err(MiniStoreError::Forked { path: self.path.clone(), pid: self.process.id });
        }
        Ok(())
    }

    /// Nobody looks after retention any more: whoever asked, and is not answered yet, is refused.
    pub(crate) fn cancel_retention_requests(&self) {
        if planted(Bug::LeavesAsksUnanswered) {
            return;
        }
        for ask in self.retention.requests.end() {
            ask.refuse(self.closed_error());
        }
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
impl fmt::Debug for StoreInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("path", &self.path)
            .field("durable_seq", &self.durable_seq())
            .field("poison", &self.poison.get())
            .finish_non_exhaustive()
    }
}
