//! What a store has done so far, and how long each stage of it took: read at any time, by any number of observers, each
//! with intervals of its own.
//!
//! Owns the counters, their histograms, and the forms in which they leave the process. Must never hold a commit up: the
//! writer adds to atomic counters, and whoever reads them takes no lock.
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
//! assert_eq!((interval.records, interval.committed.len()), (1, 1));
//! println!("p99 of a commit: {} ns", interval.committed.value_at_quantile(0.99));
//! # Ok(())
//! # }
//! ```

mod counters;
mod hgrm;
#[cfg(feature = "hlog")]
mod hlog;
mod meters;
mod tally;

use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;

pub(crate) use self::counters::{Counted, Counters, Now};
pub use self::hgrm::write_hgrm;
#[cfg(feature = "hlog")]
pub use self::hlog::HlogWriter;
use crate::{BackendKind, SyncKind};

/// A reading of a store's counters: since it was opened, or, after [`since`](Self::since), of an interval. See
/// [`MiniStore::stats`](crate::MiniStore::stats).
///
/// Latencies are in nanoseconds, with three significant digits, up to an hour (longer ones count as that long). The time
/// that an append took, from the queue to the caller, is the sum of four stages: `queued`, `laid_out`, `committed`, `woken`.
/// An append that was told it is durable is counted here, in all but `woken`. What is read while a commit is being counted
/// can differ by that commit from one number to the next.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stats {
    /// What carries the commits.
    pub backend: BackendKind,
    /// Whether commits bypass the page cache.
    pub direct: bool,
    /// What makes commits durable on the active segment's file system.
    pub sync_mode: SyncKind,
    /// The highest sequence number that is durable; 0 for none.
    pub durable_seq: u64,
    /// Bytes that wait in the queue now, the group that is being committed included: lines, and what each append takes
    /// beside them. At most [`max_queue_bytes`](crate::JournalOptions::max_queue_bytes).
    pub queue_bytes: u64,
    /// A write or a sync failed: nothing is accepted any more.
    pub poisoned: bool,
    /// When the counting began.
    pub started: SystemTime,
    /// For how long it went on, on a clock that nobody sets.
    pub elapsed: Duration,
    /// Records made durable.
    pub records: u64,
    /// Bytes of JSON made durable: without line feeds, seals and padding.
    pub bytes: u64,
    /// Commit groups: each one write made durable.
    pub groups: u64,
    /// Commits that took [`slow_commit`](crate::JournalOptions::slow_commit) or longer.
    pub slow_commits: u64,
    /// Calls that failed before they changed anything, for want of descriptors, memory or a permission, say. They are
    /// made again with back-off: the store works meanwhile. (A full disk is not counted here.)
    pub transient_errors: u64,
    /// The error number (`errno`) of the last of them; `None` where there was none.
    pub last_transient_error: Option<i32>,
    /// Segments archived.
    pub rotations: u64,
    /// Segments that retention deleted, for whatever reason.
    pub released_segments: u64,
    /// Records in them.
    pub released_records: u64,
    /// Bytes of padding written ahead of the records.
    pub written_ahead_bytes: u64,
    /// From the oldest append of a group until the writer took the group up. One value a group.
    pub queued: Histogram<u64>,
    /// From then until its write began: laid out, and sealed; room or padding waited for where it was missing. Next to
    /// nothing where the group was laid out while the one before was being written. One value a group.
    pub laid_out: Histogram<u64>,
    /// From the start of a group's write until it was durable. One value a group.
    pub committed: Histogram<u64>,
    /// From then until all its callers were told. One value a group; one for all of them where a full disk made groups
    /// of its appends.
    pub woken: Histogram<u64>,
    /// Records in a group.
    pub group_records: Histogram<u64>,
    /// Bytes of JSON in a group.
    pub group_bytes: Histogram<u64>,
    /// From when a rotation was due until the new segment took over, commits going on beside it. One value a rotation.
    pub rotation: Histogram<u64>,
    /// The part of it in which the writer could not commit. What groups waited for it is in their `queued`, too. One
    /// value a rotation.
    pub rotation_held: Histogram<u64>,
}

impl Stats {
    /// What was done after `earlier`, a reading of the same store. Nothing is reset: whoever wants intervals keeps the last
    /// reading, and others are not disturbed.
    ///
    /// Of `backend`, `direct`, `sync_mode`, `durable_seq`, `queue_bytes`, `poisoned` and `last_transient_error` it has what
    /// `self` has.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let store = ministore_uring::MiniStore::open_blocking(dir.path().join("j"))?;
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
        let less = tally::difference;
        Self {
            started: earlier.started + earlier.elapsed,
            elapsed: self.elapsed.saturating_sub(earlier.elapsed),
            records: self.records.saturating_sub(earlier.records),
            bytes: self.bytes.saturating_sub(earlier.bytes),
            groups: self.groups.saturating_sub(earlier.groups),
            slow_commits: self.slow_commits.saturating_sub(earlier.slow_commits),
            transient_errors: self.transient_errors.saturating_sub(earlier.transient_errors),
            rotations: self.rotations.saturating_sub(earlier.rotations),
            released_segments: self.released_segments.saturating_sub(earlier.released_segments),
            released_records: self.released_records.saturating_sub(earlier.released_records),
            written_ahead_bytes: self.written_ahead_bytes.saturating_sub(earlier.written_ahead_bytes),
            queued: less(&self.queued, &earlier.queued),
            laid_out: less(&self.laid_out, &earlier.laid_out),
            committed: less(&self.committed, &earlier.committed),
            woken: less(&self.woken, &earlier.woken),
            group_records: less(&self.group_records, &earlier.group_records),
            group_bytes: less(&self.group_bytes, &earlier.group_bytes),
            rotation: less(&self.rotation, &earlier.rotation),
            rotation_held: less(&self.rotation_held, &earlier.rotation_held),
            ..*self
        }
    }

    /// All histograms with their names, those of latencies (nanoseconds) first, in the order of an append's way.
    #[must_use]
    pub fn histograms(&self) -> [(&'static str, &Histogram<u64>); 8] {
        [
            ("queued", &self.queued),
            ("laid_out", &self.laid_out),
            ("committed", &self.committed),
            ("woken", &self.woken),
            ("rotation", &self.rotation),
            ("rotation_held", &self.rotation_held),
            ("group_records", &self.group_records),
            ("group_bytes", &self.group_bytes),
        ]
    }
}
