//! Statistics of a store: counts, and how long each stage of a commit took. Any number of observers read them at any
//! time, each with intervals of its own.
//!
//! Owns the counters, their histograms, and the forms in which they leave the process. Must never delay a commit: the
//! writer adds to atomic counters, and a reader takes no lock.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("journal.jsonl");
//! use ministore_uring::JournalOptions;
//!
//! let store = JournalOptions::new().open_blocking(&path)?;
//! store.blocking().append(&"before")?;
//! let earlier = store.stats();
//! store.blocking().append(&"within the interval")?;
//!
//! let interval = store.stats().since(&earlier);
//! assert_eq!((interval.records, interval.sync.len()), (1, 1));
//! println!("p99 of a commit: {} ns", interval.sync.value_at_quantile(0.99));
//! # Ok(())
//! # }
//! ```

mod atomic_histogram;
mod counters;
mod hgrm;
#[cfg(feature = "hlog")]
mod hlog;
mod metric_handles;

use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use serde::Serialize;

pub(crate) use self::counters::{Counters, Gauges, GroupSample};
pub use self::hgrm::write_hgrm;
#[cfg(feature = "hlog")]
pub use self::hlog::HlogWriter;
use crate::{BackendKind, SyncKind};

/// A snapshot of a store's counters: since it was opened, or, after [`since`](Self::since), of an interval. See
/// [`MiniStore::stats`](crate::MiniStore::stats).
///
/// Latencies are in nanoseconds, with three significant digits, up to an hour (longer ones count as an hour). The time
/// from the call of an append to its return is the sum of four stages: `queue_wait`, `encode`, `sync`, `notify`. An
/// append that was acknowledged is counted here, in every stage but `notify`. A snapshot that is taken while a commit
/// is counted can differ by that commit between two numbers.
///
/// Serializes with each histogram as `count`, `min`, `mean`, `p50`, `p90`, `p99`, `p99_9` and `max`.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// The system calls that commits use.
    pub backend: BackendKind,
    /// Whether commits bypass the page cache.
    pub direct_io: bool,
    /// What makes commits durable on the active segment's file system.
    pub sync_mode: SyncKind,
    /// The highest durable sequence number; 0 for none.
    pub durable_seq: u64,
    /// Bytes in the queue now, including the group that is being committed: lines, and a fixed overhead per append. At
    /// most [`max_queue_bytes`](crate::JournalOptions::max_queue_bytes).
    pub queue_bytes: u64,
    /// A write or a sync failed: every append is refused.
    pub poisoned: bool,
    /// When counting began.
    pub started: SystemTime,
    /// The length of the interval, on a monotonic clock.
    pub elapsed: Duration,
    /// Records made durable.
    pub records: u64,
    /// Bytes of JSON made durable: without line feeds, seals and padding.
    pub bytes: u64,
    /// Commit groups: each is one write made durable.
    pub groups: u64,
    /// Commits that took [`slow_commit_threshold`](crate::JournalOptions::slow_commit_threshold) or longer.
    pub slow_commits: u64,
    /// Calls that failed before they changed anything, for example for want of descriptors, memory or a permission.
    /// They are retried with a back-off, and the store keeps working. (A full disk is not counted here.)
    pub transient_errors: u64,
    /// The error number (`errno`) of the last of them; `None` where there was none.
    pub last_transient_error: Option<i32>,
    /// Segments rotated.
    pub rotations: u64,
    /// Segments that retention deleted, for any reason.
    pub trimmed_segments: u64,
    /// Records in them.
    pub trimmed_records: u64,
    /// Bytes of padding preallocated.
    pub preallocated_bytes: u64,
    /// From the oldest append of a group until the writer dequeued the group. One value per group.
    #[serde(serialize_with = "crate::serialize::histogram")]
    pub queue_wait: Histogram<u64>,
    /// From then until its write began: encoding, checksums, and waiting for disk space or padding. Close to zero where
    /// the group was encoded during the write before. One value per group.
    #[serde(serialize_with = "crate::serialize::histogram")]
    pub encode: Histogram<u64>,
    /// From the start of a group's write until it was durable. One value per group.
    #[serde(serialize_with = "crate::serialize::histogram")]
    pub sync: Histogram<u64>,
    /// From then until all its callers were notified. One value per group; one for all of them where a full disk split
    /// the group into its appends.
    #[serde(serialize_with = "crate::serialize::histogram")]
    pub notify: Histogram<u64>,
    /// Records in a group.
    #[serde(serialize_with = "crate::serialize::histogram")]
    pub group_records: Histogram<u64>,
    /// Bytes of JSON in a group.
    #[serde(serialize_with = "crate::serialize::histogram")]
    pub group_bytes: Histogram<u64>,
    /// From when a rotation was due until the new segment was active; commits continue during it. One value per
    /// rotation.
    #[serde(serialize_with = "crate::serialize::histogram")]
    pub rotation: Histogram<u64>,
    /// The part of it in which the writer could not commit. It is contained in the `queue_wait` of the groups that
    /// waited. One value per rotation.
    #[serde(serialize_with = "crate::serialize::histogram")]
    pub rotation_stall: Histogram<u64>,
}

impl Stats {
    /// Returns the difference to `earlier`, a snapshot of the same store. Nothing is reset: an observer keeps its last
    /// snapshot, and does not affect others.
    ///
    /// `backend`, `direct_io`, `sync_mode`, `durable_seq`, `queue_bytes`, `poisoned` and `last_transient_error` are
    /// those of `self`.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let store = ministore_uring::JournalOptions::new().open_blocking(dir.path().join("j"))?;
    /// let mut last = store.stats();
    /// for _ in 0..3 {
    ///     store.blocking().append(&1)?; // or: wait a second
    ///     let now = store.stats();
    ///     let interval = now.since(&last);
    ///     assert_eq!(interval.records, 1);
    ///     last = now;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let less = atomic_histogram::difference;
        Self {
            started: earlier.started + earlier.elapsed,
            elapsed: self.elapsed.saturating_sub(earlier.elapsed),
            records: self.records.saturating_sub(earlier.records),
            bytes: self.bytes.saturating_sub(earlier.bytes),
            groups: self.groups.saturating_sub(earlier.groups),
            slow_commits: self.slow_commits.saturating_sub(earlier.slow_commits),
            transient_errors: self.transient_errors.saturating_sub(earlier.transient_errors),
            rotations: self.rotations.saturating_sub(earlier.rotations),
            trimmed_segments: self.trimmed_segments.saturating_sub(earlier.trimmed_segments),
            trimmed_records: self.trimmed_records.saturating_sub(earlier.trimmed_records),
            preallocated_bytes: self.preallocated_bytes.saturating_sub(earlier.preallocated_bytes),
            queue_wait: less(&self.queue_wait, &earlier.queue_wait),
            encode: less(&self.encode, &earlier.encode),
            sync: less(&self.sync, &earlier.sync),
            notify: less(&self.notify, &earlier.notify),
            group_records: less(&self.group_records, &earlier.group_records),
            group_bytes: less(&self.group_bytes, &earlier.group_bytes),
            rotation: less(&self.rotation, &earlier.rotation),
            rotation_stall: less(&self.rotation_stall, &earlier.rotation_stall),
            ..*self
        }
    }

    /// Returns all histograms with their names: those of latencies (nanoseconds) first, in the order of the stages.
    #[must_use]
    pub fn histograms(&self) -> [(&'static str, &Histogram<u64>); 8] {
        [
            ("queue_wait", &self.queue_wait),
            ("encode", &self.encode),
            ("sync", &self.sync),
            ("notify", &self.notify),
            ("rotation", &self.rotation),
            ("rotation_stall", &self.rotation_stall),
            ("group_records", &self.group_records),
            ("group_bytes", &self.group_bytes),
        ]
    }
}
