//! What a store has done so far.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::{
    BackendKind,
    process::Process,
    sync::{AtomicBool, AtomicU64, Mutex, Ordering, PoisonError, TryLockError},
};

/// A reading of a store's counters, all since it was opened. See [`MiniStore::stats`](crate::MiniStore::stats).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stats {
    /// What carries the commits.
    pub backend: BackendKind,
    /// Whether commits bypass the page cache.
    pub direct: bool,
    /// The highest sequence number that is durable; 0 for none.
    pub durable_seq: u64,
    /// Records made durable.
    pub records: u64,
    /// Bytes of JSON made durable: without line feeds, seals and padding.
    pub bytes: u64,
    /// Commit groups: each one write made durable.
    pub groups: u64,
    /// Segments archived.
    pub rotations: u64,
    /// Segments that retention deleted, for whatever reason.
    pub released_segments: u64,
    /// Records in them.
    pub released_records: u64,
    /// Bytes of padding written ahead of the records.
    pub written_ahead_bytes: u64,
    /// Nanoseconds from the start of a group's write until it was durable, one value a group.
    pub commit_latency: Histogram<u64>,
}

/// Commits that take longer are counted as this long: an hour.
const LATENCY_MAX: Duration = Duration::from_secs(3600);

/// Significant decimal digits of the histogram.
const LATENCY_DIGITS: u8 = 3;

/// The counters behind [`Stats`], written by the writer thread.
#[derive(Debug)]
pub(crate) struct Counters {
    direct: AtomicBool,
    records: AtomicU64,
    bytes: AtomicU64,
    groups: AtomicU64,
    rotations: AtomicU64,
    released_segments: AtomicU64,
    released_records: AtomicU64,
    written_ahead_bytes: AtomicU64,
    commit_latency: Mutex<Histogram<u64>>,
    /// Stays empty.
    no_latency: Histogram<u64>,
}

impl Counters {
    pub(crate) fn new() -> crate::Result<Self> {
        let latency_max = u64::try_from(LATENCY_MAX.as_nanos()).unwrap_or(u64::MAX);
        let invalid =
            |error: hdrhistogram::CreationError| crate::MiniStoreError::InvalidArgument(error.to_string());
        let histogram = Histogram::new_with_max(latency_max, LATENCY_DIGITS).map_err(invalid)?;
        Ok(Self {
            direct: AtomicBool::default(),
            records: AtomicU64::default(),
            bytes: AtomicU64::default(),
            groups: AtomicU64::default(),
            rotations: AtomicU64::default(),
            released_segments: AtomicU64::default(),
            released_records: AtomicU64::default(),
            written_ahead_bytes: AtomicU64::default(),
            commit_latency: Mutex::new(histogram),
            no_latency: Histogram::new(1).map_err(invalid)?,
        })
    }

    pub(crate) fn group(&self, records: u64, bytes: u64, latency: Duration) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.groups.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.commit_latency.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(nanos);
    }

    pub(crate) fn rotation(&self) {
        self.rotations.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn released(&self, records: u64) {
        self.released_segments.fetch_add(1, Ordering::Relaxed);
        self.released_records.fetch_add(records, Ordering::Relaxed);
    }

    pub(crate) fn written_ahead(&self, bytes: u64) {
        self.written_ahead_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn direct(&self, direct: bool) {
        self.direct.store(direct, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, backend: BackendKind, durable_seq: u64, process: &Process) -> Stats {
        Stats {
            backend,
            direct: self.direct.load(Ordering::Relaxed),
            durable_seq,
            records: self.records.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            groups: self.groups.load(Ordering::Relaxed),
            rotations: self.rotations.load(Ordering::Relaxed),
            released_segments: self.released_segments.load(Ordering::Relaxed),
            released_records: self.released_records.load(Ordering::Relaxed),
            written_ahead_bytes: self.written_ahead_bytes.load(Ordering::Relaxed),
            commit_latency: self.latency(process),
        }
    }

    fn latency(&self, process: &Process) -> Histogram<u64> {
        if !process.is_elsewhere() {
            return self.commit_latency.lock().unwrap_or_else(PoisonError::into_inner).clone();
        }
        // A fork may have been made while the writer was counting; nobody would ever let go of the lock.
        match self.commit_latency.try_lock() {
            Ok(histogram) => histogram.clone(),
            Err(TryLockError::Poisoned(error)) => error.into_inner().clone(),
            Err(TryLockError::WouldBlock) => self.no_latency.clone(),
        }
    }
}
