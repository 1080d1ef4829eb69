//! The options of a journal. Every limit has its unit in its name; all are checked in one place,
//! [`JournalOptions::validate`].

mod choices;
mod legacy;
mod read_limits;
mod validate;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use choices::{Backend, Header, RecoveryPolicy, SyncMode};
pub use legacy::MiniStoreOptions;
#[allow(unreachable_pub, reason = "only the module `internals` exports it")]
pub use read_limits::ReadLimits;

/// 1 MiB, in bytes.
const MIB: u64 = 1024 * 1024;

/// The most bytes of a record, a batch or a line, whatever the options say: one write of it stays well below the limit
/// of a single system call (2 GiB on Linux).
pub(crate) const LINE_BYTES_LIMIT: u64 = 1024 * MIB;

/// The permission bits of new files by default: only the owner may read and write them.
pub(crate) const DEFAULT_FILE_MODE: u32 = 0o600;

/// Every option of a journal. By default no segment is deleted.
///
/// Serializes as a map of the options' names; missing names deserialize to their defaults, unknown ones are refused. A
/// [`Duration`] is `{"secs": .., "nanos": ..}`. Values are checked at [`open`](Self::open).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("journal.jsonl");
/// use ministore_uring::{Backend, JournalOptions};
///
/// let store = JournalOptions::new()
///     .max_segment_bytes(256 << 20)
///     .backend(Backend::Blocking)
///     .open_blocking(&path)?;
/// store.blocking().append(&"hello")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalOptions {
    pub(crate) max_segment_bytes: u64,
    pub(crate) max_segments: Option<usize>,
    pub(crate) max_total_bytes: Option<u64>,
    pub(crate) max_age: Option<Duration>,
    /// The options were made from [`MiniStoreOptions`], which delete by default.
    #[serde(skip)]
    pub(crate) legacy_defaults: bool,
    pub(crate) checksums: bool,
    pub(crate) header: Header,
    pub(crate) preallocate: bool,
    pub(crate) direct_io: bool,
    pub(crate) sync_mode: SyncMode,
    /// `O_DIRECT` and `O_DSYNC` are trusted on every file system.
    #[serde(skip)]
    pub(crate) trust_file_system: bool,
    pub(crate) backend: Backend,
    pub(crate) recovery: RecoveryPolicy,
    pub(crate) mode: u32,
    pub(crate) spin: bool,
    pub(crate) commit_delay: Duration,
    pub(crate) commit_delay_bytes: Option<u64>,
    pub(crate) max_group_bytes: u64,
    pub(crate) max_record_bytes: u64,
    pub(crate) max_batch_bytes: u64,
    pub(crate) max_queue_bytes: u64,
    pub(crate) slow_commit_threshold: Option<Duration>,
    #[cfg(feature = "metrics")]
    pub(crate) metrics_label: Option<String>,
}

impl JournalOptions {
    /// Returns the defaults: 64 MiB per segment, every segment kept, checksummed, preallocated, readable by its owner
    /// only, on the fastest backend available.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_segment_bytes: 64 * MIB,
            max_segments: None,
            max_total_bytes: None,
            max_age: None,
            legacy_defaults: false,
            checksums: true,
            header: Header::Comment,
            preallocate: true,
            direct_io: true,
            sync_mode: SyncMode::Auto,
            trust_file_system: false,
            backend: Backend::Auto,
            recovery: RecoveryPolicy::Strict,
            mode: DEFAULT_FILE_MODE,
            spin: true,
            commit_delay: Duration::ZERO,
            commit_delay_bytes: None,
            max_group_bytes: MIB,
            max_record_bytes: 16 * MIB,
            max_batch_bytes: 64 * MIB,
            max_queue_bytes: 64 * MIB,
            slow_commit_threshold: Some(Duration::from_secs(1)),
            #[cfg(feature = "metrics")]
            metrics_label: None,
        }
    }

    /// Sets the size in bytes at which a segment is rotated (default: 64 MiB; at least 1). A segment may end up larger:
    /// by the group that reached the limit, and by up to an eighth while the rotation runs in the background.
    #[must_use]
    pub fn max_segment_bytes(mut self, bytes: u64) -> Self {
        self.max_segment_bytes = bytes;
        self
    }

    /// Sets how many segments are kept, including the active one (default: `None`, all; at least 1). Older ones are
    /// **deleted** at a rotation, and when [`trim_before`](crate::MiniStore::trim_before) is called or a hold moves;
    /// not at open.
    ///
    /// This limit and the two below are applied together: the oldest segment is deleted as long as one of them is
    /// exceeded and no [hold](crate::MiniStore::hold) protects it; the active one stays.
    /// [`first_seq`](crate::MiniStore::first_seq) returns the oldest record that is left.
    #[must_use]
    pub fn max_segments(mut self, segments: impl Into<Option<usize>>) -> Self {
        self.max_segments = segments.into();
        self
    }

    /// Sets how many bytes the journal's files may have together (default: `None`, no limit; at least 1): the rotated
    /// segments and the active one, including its padding. The oldest rotated segments are **deleted** where the sum is
    /// larger: at open, at each rotation, and when [`trim_before`](crate::MiniStore::trim_before),
    /// [`hold`](crate::MiniStore::hold) or [`release_hold`](crate::MiniStore::release_hold) is called. The active
    /// segment grows in between, so the disk needs this many bytes plus two segments (the next one is created early).
    #[must_use]
    pub fn max_total_bytes(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.max_total_bytes = bytes.into();
        self
    }

    /// Sets for how long rotated segments are kept (default: `None`, indefinitely; more than 0). One is **deleted**
    /// when its newest record is older: when its file was last modified longer ago, because records carry no time. (A
    /// segment that a crash left unfinished counts from the next open.) A time stamp in the future or before 2020 is ignored
    /// and logged: the stamp of a later segment decides then.
    ///
    /// Applied when [`max_total_bytes`](Self::max_total_bytes) is; there is no timer, and the active segment stays
    /// however old it is. A program that must delete in time calls [`rotate`](crate::MiniStore::rotate) or
    /// `trim_before(0)` regularly.
    #[must_use]
    pub fn max_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.max_age = age.into();
        self
    }

    /// Sets whether new segments carry checksums (default: yes): a seal at the end of each commit group. Without them a
    /// closed file is byte for byte what `ministore` 0.1.7 would have written. Damage then goes unnoticed, a batch may
    /// be found in part after a crash, sequence numbers count from the oldest segment that exists (so nothing can be
    /// held or trimmed by them), and nothing is preallocated. A commit that a crash interrupted can look like damage:
    /// open may then need [`RecoveryPolicy::TruncateAtFirstError`].
    #[must_use]
    pub fn checksums(mut self, yes: bool) -> Self {
        self.checksums = yes;
        self
    }

    /// Chooses the first line of new segments (default: [`Header::Comment`]). With [`Header::Json`] every line of the
    /// journal is JSON, so that tools which have no option to skip a line read it whole. Segments that exist keep their
    /// first line; a journal may contain both kinds. [`Header::Json`] needs [`checksums`](Self::checksums).
    #[must_use]
    pub fn header(mut self, header: Header) -> Self {
        self.header = header;
        self
    }

    /// Sets whether segments are preallocated with spaces, off the commit path, so that a commit changes no file size
    /// (default: yes). Turn it off for copy-on-write file systems, for tiny disks, and for `tail -f`.
    #[must_use]
    pub fn preallocate(mut self, yes: bool) -> Self {
        self.preallocate = yes;
        self
    }

    /// Sets whether commits bypass the page cache (`O_DIRECT`) on ext4, xfs and btrfs (default: yes). Elsewhere, and
    /// where the file system refuses it, they are buffered writes.
    #[must_use]
    pub fn direct_io(mut self, yes: bool) -> Self {
        self.direct_io = yes;
        self
    }

    /// Chooses how commits are made durable (default: [`SyncMode::Auto`]).
    #[must_use]
    pub fn sync_mode(mut self, mode: SyncMode) -> Self {
        self.sync_mode = mode;
        self
    }

    /// Trusts `O_DIRECT` and `O_DSYNC` on every file system, which breaks the guarantee on some: for tests of this
    /// project on file systems of its own.
    #[cfg(any(test, feature = "unstable-internals"))]
    #[doc(hidden)]
    #[must_use]
    pub fn trust_file_system(mut self, yes: bool) -> Self {
        self.trust_file_system = yes;
        self
    }

    /// Chooses the system calls that commits use (default: [`Backend::Auto`]).
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Chooses the decision of open where acknowledged data is damaged (default: [`RecoveryPolicy::Strict`]).
    #[must_use]
    pub fn recovery(mut self, policy: RecoveryPolicy) -> Self {
        self.recovery = policy;
        self
    }

    /// Sets the permission bits of new files (default: `0o600`, readable and writable by their owner only), before the
    /// process's umask. Segments, the lock file and the saved bytes of a truncated tail get them; existing files keep
    /// theirs.
    #[must_use]
    pub fn mode(mut self, bits: u32) -> Self {
        self.mode = bits;
        self
    }

    /// Sets whether threads may spin for part of a commit instead of parking (default: yes): the writer thread until the
    /// callers that it has woken append again, and one caller at a time until its append is durable. An asynchronous
    /// caller spins by letting its tokio runtime poll it again at once; the runtime's other tasks run in between.
    ///
    /// Spinning saves the wake-up of a parked thread, up to half of an append's latency, and costs processor time: with
    /// one caller about one processor while it appends, and none while it does not. A store spins only where that has
    /// paid before, and never where there is one processor. Turn it off to save processor time.
    #[must_use]
    pub fn spin(mut self, yes: bool) -> Self {
        self.spin = yes;
        self
    }

    /// Sets how long the writer waits for more appends before it commits a group (default: 0; at most 1 s). Trades
    /// latency for fewer syncs. A hold or a trim that is requested during the delay is answered after it.
    #[must_use]
    pub fn commit_delay(mut self, delay: Duration) -> Self {
        self.commit_delay = delay;
        self
    }

    /// Sets how many bytes of lines end the [`commit_delay`](Self::commit_delay) early (default: `None`, as many as a
    /// group holds; at least 1). Without a delay it has no effect. A delay also ends when a caller waits for capacity
    /// in the queue, and when a rotation or a close is requested.
    #[must_use]
    pub fn commit_delay_bytes(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.commit_delay_bytes = bytes.into();
        self
    }

    /// Sets how many bytes of lines one commit group gathers at most (default: 1 MiB; from 1 B to 1 GiB). A single
    /// record or batch may be larger: it then has a group to itself.
    #[must_use]
    pub fn max_group_bytes(mut self, bytes: u64) -> Self {
        self.max_group_bytes = bytes;
        self
    }

    /// Sets how large one record may be as JSON, in bytes (default: 16 MiB; at most 1 GiB). A larger one is refused
    /// with [`TooLarge`](crate::MiniStoreError::TooLarge).
    #[must_use]
    pub fn max_record_bytes(mut self, bytes: u64) -> Self {
        self.max_record_bytes = bytes;
        self
    }

    /// Sets how large one batch may be as JSON, in bytes (default: 64 MiB; at most 1 GiB). A larger one is refused with
    /// [`TooLarge`](crate::MiniStoreError::TooLarge).
    #[must_use]
    pub fn max_batch_bytes(mut self, bytes: u64) -> Self {
        self.max_batch_bytes = bytes;
        self
    }

    /// Sets how many bytes may wait for the writer (default: 64 MiB; at most 1 GiB). Callers beyond that wait, first
    /// come first served. A record or batch that is larger takes the whole queue.
    #[must_use]
    pub fn max_queue_bytes(mut self, bytes: u64) -> Self {
        self.max_queue_bytes = bytes;
        self
    }

    /// Sets from which latency on a commit counts as slow (default: 1 s; `None`: never; more than 0): a `tracing`
    /// warning reports its latency and size, and [`Stats::slow_commits`](crate::Stats::slow_commits) counts it. Both
    /// happen when the commit is durable: one that hangs shows in [`Stats::queue_bytes`](crate::Stats::queue_bytes).
    #[must_use]
    pub fn slow_commit_threshold(mut self, latency: impl Into<Option<Duration>>) -> Self {
        self.slow_commit_threshold = latency.into();
        self
    }

    /// Sets the value of the label `journal` of this journal's metrics (default: its path). Each value is a set of
    /// series of its own in the collector, so a program with very many journals gives them a common one: counters and
    /// histograms then add up, and gauges show the journal that reported last. An empty value leaves the label out.
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn metrics_label(mut self, journal: impl Into<String>) -> Self {
        self.metrics_label = Some(journal.into());
        self
    }
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self::new()
    }
}
