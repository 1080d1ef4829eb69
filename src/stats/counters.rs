//! The counters of [`Stats`]. The writer thread adds to them; any thread reads them at any time.

use std::{
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use hdrhistogram::Histogram;

use super::{
    Stats,
    atomic_histogram::{self, AtomicHistogram},
    metric_handles::Metrics,
};
use crate::{
    BackendKind, JournalOptions, MiniStoreError, Result, SyncKind,
    io::CommitMethod,
    sync::stats::{AtomicBool, AtomicU64, Ordering},
};

/// The figures of one commit group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupSample {
    pub(crate) records: u64,
    pub(crate) json_bytes: u64,
    pub(crate) queue_wait: Duration,
    pub(crate) encode: Duration,
    pub(crate) sync: Duration,
}

/// Values at the moment of a snapshot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gauges {
    pub(crate) backend: BackendKind,
    pub(crate) durable_seq: u64,
    pub(crate) queue_bytes: u64,
    pub(crate) poisoned: bool,
}

/// The counters of one store.
#[derive(Debug)]
pub(crate) struct Counters {
    started: SystemTime,
    opened: Instant,
    metric_handles: Metrics,
    direct_io: AtomicBool,
    /// The sync mode in use is [`SyncKind::Dsync`].
    dsync: AtomicBool,
    records: AtomicU64,
    bytes: AtomicU64,
    groups: AtomicU64,
    slow_commits: AtomicU64,
    transient_errors: AtomicU64,
    /// The error number; 0 for none.
    last_transient_error: AtomicU64,
    rotations: AtomicU64,
    trimmed_segments: AtomicU64,
    trimmed_records: AtomicU64,
    preallocated_bytes: AtomicU64,
    queue_wait: AtomicHistogram,
    encode: AtomicHistogram,
    sync: AtomicHistogram,
    notify: AtomicHistogram,
    group_records: AtomicHistogram,
    group_bytes: AtomicHistogram,
    rotation: AtomicHistogram,
    rotation_stall: AtomicHistogram,
    /// The histogram that snapshots start from.
    empty: Histogram<u64>,
}

impl Counters {
    /// Creates the counters of the journal at `path`.
    pub(crate) fn new(path: &Path, options: &JournalOptions) -> Result<Self> {
        Ok(Self {
            started: SystemTime::now(),
            opened: Instant::now(),
            metric_handles: Metrics::register(path, options),
            direct_io: AtomicBool::default(),
            dsync: AtomicBool::default(),
            records: AtomicU64::default(),
            bytes: AtomicU64::default(),
            groups: AtomicU64::default(),
            slow_commits: AtomicU64::default(),
            transient_errors: AtomicU64::default(),
            last_transient_error: AtomicU64::default(),
            rotations: AtomicU64::default(),
            trimmed_segments: AtomicU64::default(),
            trimmed_records: AtomicU64::default(),
            preallocated_bytes: AtomicU64::default(),
            queue_wait: AtomicHistogram::default(),
            encode: AtomicHistogram::default(),
            sync: AtomicHistogram::default(),
            notify: AtomicHistogram::default(),
            group_records: AtomicHistogram::default(),
            group_bytes: AtomicHistogram::default(),
            rotation: AtomicHistogram::default(),
            rotation_stall: AtomicHistogram::default(),
            empty: atomic_histogram::empty()
                .map_err(|error| MiniStoreError::InvalidArgument(error.to_string()))?,
        })
    }

    /// Counts a group that became durable.
    pub(crate) fn record_group(&self, group: &GroupSample) {
        self.records.fetch_add(group.records, Ordering::Relaxed);
        self.bytes.fetch_add(group.json_bytes, Ordering::Relaxed);
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.queue_wait.record(nanos(group.queue_wait));
        self.encode.record(nanos(group.encode));
        self.sync.record(nanos(group.sync));
        self.group_records.record(group.records);
        self.group_bytes.record(group.json_bytes);
        self.metric_handles.record_group(group);
    }

    /// Records how long it took to notify the callers of a group.
    pub(crate) fn record_notify(&self, took: Duration) {
        self.notify.record(nanos(took));
        self.metric_handles.record_notify(took);
    }

    pub(crate) fn count_slow_commit(&self) {
        self.slow_commits.fetch_add(1, Ordering::Relaxed);
        self.metric_handles.count_slow_commit();
    }

    /// Counts a call that failed before it changed anything.
    pub(crate) fn count_transient_error(&self, errno: Option<i32>) {
        let errno = errno.and_then(|errno| u64::try_from(errno).ok()).unwrap_or(0);
        self.last_transient_error.store(errno, Ordering::Relaxed);
        self.transient_errors.fetch_add(1, Ordering::Relaxed);
        self.metric_handles.count_transient_error();
    }

    pub(crate) fn count_rotation(&self) {
        self.rotations.fetch_add(1, Ordering::Relaxed);
        self.metric_handles.count_rotation();
    }

    /// Records the duration of a rotation, and the part of it in which the writer could not commit.
    pub(crate) fn record_rotation(&self, took: Duration, stall: Duration) {
        self.rotation.record(nanos(took));
        self.rotation_stall.record(nanos(stall));
        self.metric_handles.record_rotation(took, stall);
    }

    /// Counts a segment that retention deleted, and its records.
    pub(crate) fn count_trimmed(&self, records: u64) {
        self.trimmed_segments.fetch_add(1, Ordering::Relaxed);
        self.trimmed_records.fetch_add(records, Ordering::Relaxed);
        self.metric_handles.count_trimmed(records);
    }

    pub(crate) fn add_preallocated_bytes(&self, bytes: u64) {
        self.preallocated_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_method(&self, method: CommitMethod) {
        self.direct_io.store(method.direct, Ordering::Relaxed);
        self.dsync.store(method.sync == SyncKind::Dsync, Ordering::Relaxed);
    }

    fn sync_mode(&self) -> SyncKind {
        if self.dsync.load(Ordering::Relaxed) { SyncKind::Dsync } else { SyncKind::Fdatasync }
    }

    /// Updates the gauge of the `metrics` facade; snapshots read the value themselves.
    pub(crate) fn set_durable_seq(&self, seq: u64) {
        self.metric_handles.set_durable_seq(seq);
    }

    pub(crate) fn set_queue_bytes(&self, bytes: impl FnOnce() -> u64) {
        self.metric_handles.set_queue_bytes(bytes);
    }

    pub(crate) fn set_poisoned(&self) {
        self.metric_handles.set_poisoned();
    }

    pub(crate) fn snapshot(&self, now: Gauges) -> Stats {
        let Gauges { backend, durable_seq, queue_bytes, poisoned } = now;
        let read = |histogram: &AtomicHistogram| histogram.read(&self.empty);
        Stats {
            backend,
            direct_io: self.direct_io.load(Ordering::Relaxed),
            sync_mode: self.sync_mode(),
            durable_seq,
            queue_bytes,
            poisoned,
            started: self.started,
            elapsed: self.opened.elapsed(),
            records: self.records.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            groups: self.groups.load(Ordering::Relaxed),
            slow_commits: self.slow_commits.load(Ordering::Relaxed),
            transient_errors: self.transient_errors.load(Ordering::Relaxed),
            last_transient_error: i32::try_from(self.last_transient_error.load(Ordering::Relaxed))
                .ok()
                .filter(|&errno| errno != 0),
            rotations: self.rotations.load(Ordering::Relaxed),
            trimmed_segments: self.trimmed_segments.load(Ordering::Relaxed),
            trimmed_records: self.trimmed_records.load(Ordering::Relaxed),
            preallocated_bytes: self.preallocated_bytes.load(Ordering::Relaxed),
            queue_wait: read(&self.queue_wait),
            encode: read(&self.encode),
            sync: read(&self.sync),
            notify: read(&self.notify),
            group_records: read(&self.group_records),
            group_bytes: read(&self.group_bytes),
            rotation: read(&self.rotation),
            rotation_stall: read(&self.rotation_stall),
        }
    }
}

fn nanos(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}
