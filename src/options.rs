//! The options of a journal. Every limit has its unit in its name; all are checked in one place,
//! [`JournalOptions::validate`].

use std::{fmt, path::Path, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    MiniStore, MiniStoreError, Result,
    io::{CommitOptions, DEFAULT_FILE_MODE},
};

/// 1 MiB, in bytes.
const MIB: u64 = 1024 * 1024;

/// No record, batch or line may be larger, whatever the options say: one write of it stays well inside what a
/// single system call takes (2 GiB on Linux).
pub(crate) const LINE_BYTES_LIMIT: u64 = 1024 * MIB;

/// The options of `ministore` 0.1.7, with their names, defaults and meaning.
///
/// **These options delete**: at a rotation the oldest segments go, so that at most
/// [`max_segments`](Self::max_segments) files (3 by default) are left. [`JournalOptions`] has every option and keeps all
/// segments by default.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # pollster::block_on(async {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("journal.jsonl");
/// use ministore_uring::MiniStoreOptions;
///
/// let store = MiniStoreOptions::new().max_bytes_per_segment(1 << 20).max_segments(10).open(&path).await?;
/// store.append(&"hello").await?;
/// # Ok(()) })
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MiniStoreOptions {
    /// A segment that has reached this size, in bytes, is rotated.
    pub max_bytes_per_segment: u64,
    /// How many files are kept, the active one counted. At least 1.
    pub max_segments: usize,
}

impl MiniStoreOptions {
    /// 64 MiB per segment, 3 segments.
    #[must_use]
    pub fn new() -> Self {
        Self { max_bytes_per_segment: 64 * MIB, max_segments: 3 }
    }

    /// Sets the size, in bytes, at which a segment is rotated.
    #[must_use]
    pub fn max_bytes_per_segment(mut self, bytes: u64) -> Self {
        self.max_bytes_per_segment = bytes;
        self
    }

    /// Sets how many files are kept, the active one counted; older ones are **deleted** at a rotation.
    #[must_use]
    pub fn max_segments(mut self, n: usize) -> Self {
        self.max_segments = n;
        self
    }

    /// Opens the journal at `path`, creating it and its parent directories where they are missing.
    ///
    /// # Errors
    ///
    /// As [`JournalOptions::open`].
    pub async fn open<P: AsRef<Path>>(self, path: P) -> Result<MiniStore> {
        JournalOptions::from(self).open(path).await
    }
}

impl Default for MiniStoreOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl From<MiniStoreOptions> for JournalOptions {
    fn from(options: MiniStoreOptions) -> Self {
        let own = Self::new().max_segment_bytes(options.max_bytes_per_segment);
        Self { legacy_defaults: true, ..own.max_segments(options.max_segments) }
    }
}

/// The system calls that commits use. Parses from and displays as `auto`, `io_uring` or `blocking`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Backend {
    /// io_uring where the system allows it, otherwise blocking system calls. A `tracing` event at open and
    /// [`stats`](MiniStore::stats) name the one in use.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// io_uring, or [`MiniStoreError::BackendUnavailable`].
    #[serde(rename = "io_uring")]
    Uring,
    /// Blocking system calls on the writer's own thread.
    #[serde(rename = "blocking")]
    Blocking,
}

/// How commits are made durable. The mode in use is in [`Stats::sync_mode`](crate::Stats::sync_mode).
///
/// `O_DSYNC` is relied on only on ext4, xfs and btrfs (ext2 and ext3 cannot be distinguished from ext4). Other file
/// systems can ignore it: FUSE does for asynchronous direct writes and for files that its server opens with
/// `FOPEN_DIRECT_IO`, and overlayfs does not show what is below it. There every mode is
/// [`Fdatasync`](Self::Fdatasync), through the page cache, so that no append is acknowledged without a completed sync. The
/// file system is determined whenever a segment is opened for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SyncMode {
    /// [`Dsync`](Self::Dsync) for direct writes on ext4, xfs and btrfs, otherwise [`Fdatasync`](Self::Fdatasync).
    #[default]
    Auto,
    /// One write to a file that is open with `O_DSYNC`, also through the page cache; on ext4, xfs and btrfs only.
    Dsync,
    /// One write, then `fdatasync`.
    Fdatasync,
}

impl FromStr for SyncMode {
    type Err = MiniStoreError;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "dsync" => Ok(Self::Dsync),
            "fdatasync" => Ok(Self::Fdatasync),
            _ => Err(MiniStoreError::InvalidArgument(format!(
                "the sync mode must be auto, dsync or fdatasync, not {text:?}"
            ))),
        }
    }
}

impl fmt::Display for SyncMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Dsync => "dsync",
            Self::Fdatasync => "fdatasync",
        })
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Uring => "io_uring",
            Self::Blocking => "blocking",
        })
    }
}

impl FromStr for Backend {
    type Err = MiniStoreError;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Auto, Self::Uring, Self::Blocking]
            .into_iter()
            .find(|backend| backend.to_string() == text)
            .ok_or_else(|| {
                MiniStoreError::InvalidArgument(format!(
                    "unknown backend {text:?}: expected auto, io_uring or blocking"
                ))
            })
    }
}

/// The decision of open where acknowledged data is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RecoveryPolicy {
    /// Refuses with [`MiniStoreError::Corrupt`] and changes nothing.
    #[default]
    Strict,
    /// Keeps what verifies before the first damaged commit group of the active segment and truncates the rest. The
    /// truncated bytes are saved to `NAME.truncated-<offset>`.
    TruncateAtFirstError,
}

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
    /// Made from [`MiniStoreOptions`], which delete by default.
    #[serde(skip)]
    pub(crate) legacy_defaults: bool,
    pub(crate) checksums: bool,
    pub(crate) preallocate: bool,
    pub(crate) direct_io: bool,
    pub(crate) sync_mode: SyncMode,
    /// See [`CommitOptions`].
    #[serde(skip)]
    pub(crate) trust_file_system: bool,
    pub(crate) backend: Backend,
    pub(crate) recovery: RecoveryPolicy,
    pub(crate) mode: u32,
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
    /// Returns the defaults: 64 MiB per segment, every segment kept, checksummed, preallocated, readable by its owner only,
    /// on the fastest backend available.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_segment_bytes: 64 * MIB,
            max_segments: None,
            max_total_bytes: None,
            max_age: None,
            legacy_defaults: false,
            checksums: true,
            preallocate: true,
            direct_io: true,
            sync_mode: SyncMode::Auto,
            trust_file_system: false,
            backend: Backend::Auto,
            recovery: RecoveryPolicy::Strict,
            mode: DEFAULT_FILE_MODE,
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

    /// Sets the size in bytes at which a segment is rotated (default: 64 MiB; at least 1). A segment may end up larger: by
    /// the group that reached the limit, and by up to an eighth while the rotation runs in the background.
    #[must_use]
    pub fn max_segment_bytes(mut self, bytes: u64) -> Self {
        self.max_segment_bytes = bytes;
        self
    }

    /// Sets how many segments are kept, including the active one (default: `None`, all; at least 1). Older ones are
    /// **deleted** at a rotation, and when [`trim_before`](MiniStore::trim_before) is called or a hold moves; not at open.
    ///
    /// This limit and the two below are applied together: the oldest segment is deleted as long as one of them is exceeded
    /// and no [hold](MiniStore::hold) protects it; the active one stays. [`first_seq`](MiniStore::first_seq) returns the
    /// oldest record that is left.
    #[must_use]
    pub fn max_segments(mut self, segments: impl Into<Option<usize>>) -> Self {
        self.max_segments = segments.into();
        self
    }

    /// Sets how many bytes the journal's files may have together (default: `None`, no limit; at least 1): the rotated
    /// segments and the active one, including its padding. The oldest rotated segments are **deleted** where the sum is
    /// larger: at open, at each rotation, and when [`trim_before`](MiniStore::trim_before), [`hold`](MiniStore::hold) or
    /// [`release_hold`](MiniStore::release_hold) is called. The active segment grows in between, so the disk needs this
    /// many bytes plus two segments (the next one is created early).
    #[must_use]
    pub fn max_total_bytes(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.max_total_bytes = bytes.into();
        self
    }

    /// Sets for how long rotated segments are kept (default: `None`, indefinitely; more than 0). One is **deleted** when its
    /// newest record is older: when its file was last modified longer ago, because records carry no time. (A segment that a
    /// crash left unfinished counts from the next open.)
    ///
    /// Applied when [`max_total_bytes`](Self::max_total_bytes) is; there is no timer, and the active segment stays
    /// however old it is. A program that must delete in time calls [`rotate`](MiniStore::rotate) or `trim_before(0)`
    /// regularly.
    #[must_use]
    pub fn max_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.max_age = age.into();
        self
    }

    /// Sets whether new segments carry checksums (default: yes): a seal at the end of each commit group. Without them a
    /// closed file is byte for byte what `ministore` 0.1.7 would have written. Damage then goes unnoticed, a batch may be
    /// found in part after a crash, sequence numbers count from the oldest segment that exists (so nothing can be held or
    /// trimmed by them), and nothing is preallocated. A commit that a crash interrupted can look like damage: open may then
    /// need [`RecoveryPolicy::TruncateAtFirstError`].
    #[must_use]
    pub fn checksums(mut self, yes: bool) -> Self {
        self.checksums = yes;
        self
    }

    /// Sets whether segments are preallocated with spaces, off the commit path, so that a commit changes no file size
    /// (default: yes). Turn it off for copy-on-write file systems, for tiny disks, and for `tail -f`.
    #[must_use]
    pub fn preallocate(mut self, yes: bool) -> Self {
        self.preallocate = yes;
        self
    }

    /// Sets whether commits bypass the page cache (`O_DIRECT`) on ext4, xfs and btrfs (default: yes). Elsewhere, and where the
    /// file system refuses it, they are buffered writes.
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

    /// Trusts `O_DIRECT` and `O_DSYNC` on every file system, which breaks the guarantee on some: for tests of this project
    /// on file systems of its own.
    #[cfg(any(test, feature = "_sim"))]
    #[doc(hidden)]
    #[must_use]
    pub fn trust_file_system(mut self, yes: bool) -> Self {
        self.trust_file_system = yes;
        self
    }

    /// Returns how commits to a segment with or without checksums are made durable. Only preallocated segments, which have
    /// checksums, are written directly.
    pub(crate) fn commits(&self, checksums: bool) -> CommitOptions {
        let &Self { direct_io, preallocate, sync_mode: sync, trust_file_system, .. } = self;
        CommitOptions { direct: direct_io && preallocate && checksums, sync, trust_file_system }
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

    /// Sets how long the writer waits for more appends before it commits a group (default: 0; at most 1 s). Trades latency
    /// for fewer syncs. A hold or a trim that is requested during the delay is answered after it.
    #[must_use]
    pub fn commit_delay(mut self, delay: Duration) -> Self {
        self.commit_delay = delay;
        self
    }

    /// Sets how many bytes of lines end the [`commit_delay`](Self::commit_delay) early (default: `None`, as many as a group
    /// holds; at least 1). Without a delay it has no effect. A delay also ends when a caller waits for capacity in the queue,
    /// and when a rotation or a close is requested.
    #[must_use]
    pub fn commit_delay_bytes(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.commit_delay_bytes = bytes.into();
        self
    }

    /// Sets how many bytes of lines one commit group gathers at most (default: 1 MiB; from 1 B to 1 GiB). A single record or
    /// batch may be larger: it then has a group to itself.
    #[must_use]
    pub fn max_group_bytes(mut self, bytes: u64) -> Self {
        self.max_group_bytes = bytes;
        self
    }

    /// Sets how large one record may be as JSON, in bytes (default: 16 MiB; at most 1 GiB). A larger one is refused with
    /// [`MiniStoreError::TooLarge`].
    #[must_use]
    pub fn max_record_bytes(mut self, bytes: u64) -> Self {
        self.max_record_bytes = bytes;
        self
    }

    /// Sets how large one batch may be as JSON, in bytes (default: 64 MiB; at most 1 GiB). A larger one is refused with
    /// [`MiniStoreError::TooLarge`].
    #[must_use]
    pub fn max_batch_bytes(mut self, bytes: u64) -> Self {
        self.max_batch_bytes = bytes;
        self
    }

    /// Sets how many bytes may wait for the writer (default: 64 MiB; at most 1 GiB). Callers beyond that wait, first come
    /// first served. A record or batch that is larger takes the whole queue.
    #[must_use]
    pub fn max_queue_bytes(mut self, bytes: u64) -> Self {
        self.max_queue_bytes = bytes;
        self
    }

    /// Sets from which latency on a commit counts as slow (default: 1 s; `None`: never; more than 0): a `tracing` warning
    /// reports its latency and size, and [`Stats::slow_commits`](crate::Stats::slow_commits) counts it. Both happen when the
    /// commit is durable: one that hangs shows in [`Stats::queue_bytes`](crate::Stats::queue_bytes).
    #[must_use]
    pub fn slow_commit_threshold(mut self, latency: impl Into<Option<Duration>>) -> Self {
        self.slow_commit_threshold = latency.into();
        self
    }

    /// Sets the value of the label `journal` of this journal's metrics (default: its path). Each value is a set of series
    /// of its own in the collector, so a program with very many journals gives them a common one: counters and histograms
    /// then add up, and gauges show the journal that reported last. An empty value leaves the label out.
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn metrics_label(mut self, journal: impl Into<String>) -> Self {
        self.metrics_label = Some(journal.into());
        self
    }

    /// The one place where limits are checked.
    pub(crate) fn validate(&self) -> Result<()> {
        let invalid = |text: String| Err(MiniStoreError::InvalidArgument(text));
        if self.max_segments == Some(0) {
            return invalid("max_segments must be >= 1".into());
        }
        if self.max_total_bytes == Some(0) {
            return invalid("max_total_bytes must be >= 1".into());
        }
        if self.commit_delay_bytes == Some(0) {
            return invalid("commit_delay_bytes must be >= 1".into());
        }
        // 0.1.7 accepts 0.
        if self.max_segment_bytes == 0 && !self.legacy_defaults {
            return invalid("max_segment_bytes must be >= 1".into());
        }
        if self.max_age == Some(Duration::ZERO) {
            return invalid("max_age must be > 0".into());
        }
        if self.slow_commit_threshold == Some(Duration::ZERO) {
            return invalid("slow_commit_threshold must be > 0".into());
        }
        for (name, bytes) in [
            ("max_record_bytes", self.max_record_bytes),
            ("max_batch_bytes", self.max_batch_bytes),
            ("max_queue_bytes", self.max_queue_bytes),
            ("max_group_bytes", self.max_group_bytes),
        ] {
            if bytes == 0 || bytes > LINE_BYTES_LIMIT {
                return invalid(format!("{name} must be from 1 to {LINE_BYTES_LIMIT}, not {bytes}"));
            }
        }
        if self.mode & !0o777 != 0 || self.mode & 0o600 != 0o600 {
            let mode = self.mode;
            return invalid(format!(
                "mode must be within 0o777 and let the owner read and write, not 0o{mode:o}"
            ));
        }
        if self.commit_delay > Duration::from_secs(1) {
            return invalid("commit_delay must be at most 1 s".into());
        }
        Ok(())
    }
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self::new()
    }
}
