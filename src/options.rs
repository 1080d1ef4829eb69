//! How a journal is written, kept and recovered; every limit has its unit in its name and is checked in one
//! place, [`JournalOptions::validate`].

use std::{fmt, path::Path, str::FromStr, time::Duration};

use crate::{
    MiniStore, MiniStoreError, Result,
    device::{CommitOptions, MODE_DEFAULT},
    sync::block_on,
};

/// 1 MiB, the unit that the limits are told in.
const MIB: u64 = 1024 * 1024;

/// No record, batch or line may be larger, whatever the options say: one write of it stays well inside what a
/// single system call takes (2 GiB on Linux).
pub(crate) const LINE_BYTES_LIMIT: u64 = 1024 * MIB;

/// The options of `ministore` 0.1.7, with their names, defaults and meaning.
///
/// **These options delete**: at a rotation the oldest segments go, so that at most
/// [`max_segments`](Self::max_segments) files (3 by default) are left. [`JournalOptions`] has every other option, and keeps
/// everything unless told.
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
#[derive(Debug, Clone)]
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
        let own = Self::new().max_bytes_per_segment(options.max_bytes_per_segment);
        Self { as_the_original: true, ..own.max_segments(options.max_segments) }
    }
}

/// What carries the writes to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Backend {
    /// io_uring where the system allows it, else blocking system calls. Which one runs is said once through
    /// `tracing`, and by [`stats`](MiniStore::stats).
    #[default]
    Auto,
    /// io_uring, or [`MiniStoreError::BackendUnavailable`].
    Uring,
    /// Plain blocking system calls, on the writer's own thread.
    Blocking,
}

/// How commits are made durable. The mode in use is in [`Stats::sync_mode`](crate::Stats::sync_mode).
///
/// `O_DSYNC` is relied on only on ext4, xfs and btrfs (ext2 and ext3 cannot be distinguished from ext4). Other file
/// systems can ignore it: FUSE does for asynchronous direct writes and for files that its server opens with
/// `FOPEN_DIRECT_IO`, and overlayfs does not show what is below it. There every mode is
/// [`Fdatasync`](Self::Fdatasync), through the page cache, so that no append is acknowledged without a completed sync. The
/// file system is determined whenever a segment is opened for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
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

/// What open does where acknowledged data is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RecoveryPolicy {
    /// Refuse with [`MiniStoreError::Corrupt`] and change nothing.
    #[default]
    Strict,
    /// Keep what verifies before the first damaged commit group of the active segment and cut the rest. The
    /// bytes cut are kept beside the journal, in `NAME.cut-<offset>`.
    CutAtFirstError,
}

/// Every option of a journal. Keeps all segments unless told otherwise.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("journal.jsonl");
/// use ministore_uring::{Backend, JournalOptions};
///
/// let store = JournalOptions::new()
///     .max_bytes_per_segment(256 << 20)
///     .backend(Backend::Blocking)
///     .open_blocking(&path)?;
/// store.blocking().append(&"hello")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct JournalOptions {
    pub(crate) max_bytes_per_segment: u64,
    pub(crate) max_segments: usize,
    pub(crate) max_total_bytes: u64,
    pub(crate) max_age: Duration,
    /// Told by the original's options, which delete by default.
    pub(crate) as_the_original: bool,
    pub(crate) seals: bool,
    pub(crate) write_ahead: bool,
    pub(crate) direct: bool,
    pub(crate) sync_mode: SyncMode,
    /// See [`CommitOptions`].
    pub(crate) trust_file_system: bool,
    pub(crate) backend: Backend,
    pub(crate) recovery: RecoveryPolicy,
    pub(crate) mode: u32,
    pub(crate) commit_delay: Duration,
    pub(crate) commit_goal_bytes: u64,
    pub(crate) max_group_bytes: u64,
    pub(crate) max_record_bytes: u64,
    pub(crate) max_batch_bytes: u64,
    pub(crate) max_queue_bytes: u64,
    pub(crate) slow_commit: Duration,
    #[cfg(feature = "metrics")]
    pub(crate) metrics_label: Option<String>,
}

impl JournalOptions {
    /// 64 MiB per segment, every segment kept, sealed, written ahead, readable by their owner only, the fastest
    /// backend there is.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_bytes_per_segment: 64 * MIB,
            max_segments: usize::MAX,
            max_total_bytes: u64::MAX,
            max_age: Duration::MAX,
            as_the_original: false,
            seals: true,
            write_ahead: true,
            direct: true,
            sync_mode: SyncMode::Auto,
            trust_file_system: false,
            backend: Backend::Auto,
            recovery: RecoveryPolicy::Strict,
            mode: MODE_DEFAULT,
            commit_delay: Duration::ZERO,
            commit_goal_bytes: u64::MAX,
            max_group_bytes: MIB,
            max_record_bytes: 16 * MIB,
            max_batch_bytes: 64 * MIB,
            max_queue_bytes: 64 * MIB,
            slow_commit: Duration::from_secs(1),
            #[cfg(feature = "metrics")]
            metrics_label: None,
        }
    }

    /// Sets the size, in bytes, at which a segment is rotated (default: 64 MiB). A segment may end up larger: by
    /// the group that reached the limit, and by up to an eighth while the rotation is under way beside the
    /// commits.
    #[must_use]
    pub fn max_bytes_per_segment(mut self, bytes: u64) -> Self {
        self.max_bytes_per_segment = bytes;
        self
    }

    /// Sets how many files are kept, the active one counted (default: all). Older ones are **deleted** at a
    /// rotation, and where [`release_before`](MiniStore::release_before) is called or a hold moves on; not at open. At
    /// least 1.
    ///
    /// This limit and the two below are looked at together: the oldest segment goes as long as one of them is exceeded
    /// and no [hold](MiniStore::hold) protects it; the active one stays. [`first_seq`](MiniStore::first_seq) tells what is
    /// left.
    #[must_use]
    pub fn max_segments(mut self, n: usize) -> Self {
        self.max_segments = n;
        self
    }

    /// Sets how many bytes the journal's files may have together (default: any number): the sizes of the archived
    /// segments and of the active one, with the padding written ahead in it. The oldest archived segments are
    /// **deleted** where they have more: when the journal is opened, at each rotation, and whenever
    /// [`release_before`](MiniStore::release_before), [`hold`](MiniStore::hold) or [`unhold`](MiniStore::unhold) is
    /// called. In between the active segment grows: the disk needs room for so many bytes and two segments more (the
    /// next one is prepared early). At least 1.
    #[must_use]
    pub fn max_total_bytes(mut self, bytes: u64) -> Self {
        self.max_total_bytes = bytes;
        self
    }

    /// Sets for how long archived segments are kept (default: for ever). One is **deleted** when its newest record is
    /// older: when its file was last modified longer ago than that, for records carry no time. (A segment that a crash
    /// left to the next open counts from there.)
    ///
    /// Looked at when [`max_total_bytes`](Self::max_total_bytes) is; there is no timer, and the active segment stays
    /// however old it is. A program that is to forget in time calls [`rotate`](MiniStore::rotate), or `release_before(0)`,
    /// now and then.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Whether new segments carry seals (default: yes). Without them a closed file is byte for byte what
    /// `ministore` 0.1.7 would have written, and loses what seals give: damage goes unnoticed, a batch may be
    /// found in part after a crash, sequence numbers count from the oldest segment still there (so that nothing can be
    /// held or released by them), and nothing is written ahead. A commit that a crash cut off can look like damage: open may then need
    /// [`RecoveryPolicy::CutAtFirstError`].
    #[must_use]
    pub fn seals(mut self, yes: bool) -> Self {
        self.seals = yes;
        self
    }

    /// Whether segments are written ahead with spaces, off the commit path, so that a commit changes no file
    /// size (default: yes). Turn it off for copy-on-write file systems, for tiny disks, and for `tail -f`.
    #[must_use]
    pub fn write_ahead(mut self, yes: bool) -> Self {
        self.write_ahead = yes;
        self
    }

    /// Whether commits into space written ahead bypass the page cache (`O_DIRECT`) on ext4, xfs and btrfs (default: yes).
    /// Elsewhere, and where the file system refuses it, they go through the page cache.
    #[must_use]
    pub fn direct(mut self, yes: bool) -> Self {
        self.direct = yes;
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

    pub(crate) fn commits(&self) -> CommitOptions {
        let &Self { direct, sync_mode: sync, trust_file_system, .. } = self;
        CommitOptions { direct, sync, trust_file_system }
    }

    /// Chooses what carries the writes to the disk (default: [`Backend::Auto`]).
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Chooses what open does where acknowledged data is damaged (default: [`RecoveryPolicy::Strict`]).
    #[must_use]
    pub fn recovery(mut self, policy: RecoveryPolicy) -> Self {
        self.recovery = policy;
        self
    }

    /// Sets the permission bits of new files (default: `0o600`, readable and writable by their owner only), before the
    /// process's umask. Segments, the lock file and what recovery keeps of a cut all get them; files that exist
    /// keep theirs.
    #[must_use]
    pub fn mode(mut self, bits: u32) -> Self {
        self.mode = bits;
        self
    }

    /// Waits this long for more appends before a group is committed (default: not at all; at most 1 s). Trades latency
    /// for fewer syncs; a hold or a release that is asked for meanwhile is answered afterwards, too.
    #[must_use]
    pub fn commit_delay(mut self, delay: Duration) -> Self {
        self.commit_delay = delay;
        self
    }

    /// Sets how many bytes of lines are enough to commit without waiting for [`commit_delay`](Self::commit_delay) to pass
    /// (default: as many as a group holds). Without a delay it has no effect. A delay also ends where a caller finds no
    /// room in the queue, and where a rotation or the closing is asked for.
    #[must_use]
    pub fn commit_goal_bytes(mut self, bytes: u64) -> Self {
        self.commit_goal_bytes = bytes;
        self
    }

    /// Sets how many bytes of lines one commit group gathers at most (default: 1 MiB). A single record or batch may
    /// be larger: it then has a group to itself.
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

    /// Sets how many bytes may wait for the writer (default: 64 MiB; at most 1 GiB); callers beyond that wait
    /// their turn. A record or batch that is larger by itself takes the whole queue.
    #[must_use]
    pub fn max_queue_bytes(mut self, bytes: u64) -> Self {
        self.max_queue_bytes = bytes;
        self
    }

    /// Sets from when on a commit is slow (default: 1 s): it is then told through `tracing`, as a warning with what it
    /// wrote and how long that took, and counted in [`Stats::slow_commits`](crate::Stats::slow_commits). It is told when it
    /// is durable: one that hangs is seen by what waits ([`Stats::queue_bytes`](crate::Stats::queue_bytes)).
    /// [`Duration::MAX`] tells of none.
    #[must_use]
    pub fn slow_commit(mut self, took: Duration) -> Self {
        self.slow_commit = took;
        self
    }

    /// Sets the value of the label `journal` of this journal's metrics (default: its path). Each value is a set of series
    /// of its own wherever the metrics are kept, so a program with very many journals gives them a common one: counters
    /// and histograms then add up, and gauges show the journal that told last. An empty one leaves the label out.
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn metrics_label(mut self, journal: impl Into<String>) -> Self {
        self.metrics_label = Some(journal.into());
        self
    }

    /// Opens the journal at `path` for writing, creating it and its parent directories where they are missing,
    /// and recovers it where it was cut off while in use (what was done is in
    /// [`open_report`](MiniStore::open_report)).
    ///
    /// All work is done on the journal's own threads: the calling thread is not blocked.
    ///
    /// # Errors
    ///
    /// * [`InvalidArgument`](MiniStoreError::InvalidArgument): an option is out of its range.
    /// * [`PathIsNotFile`](MiniStoreError::PathIsNotFile): the path names a directory or a device.
    /// * [`MissingInitialState`](MiniStoreError::MissingInitialState): the file is not a journal.
    /// * [`Locked`](MiniStoreError::Locked): another writer has it open.
    /// * [`Corrupt`](MiniStoreError::Corrupt): acknowledged data is damaged; nothing was changed.
    /// * [`BackendUnavailable`](MiniStoreError::BackendUnavailable): io_uring was asked for and is refused.
    /// * [`Io`](MiniStoreError::Io): the operating system refused something.
    pub async fn open<P: AsRef<Path>>(self, path: P) -> Result<MiniStore> {
        MiniStore::open_with(self, path.as_ref()).await
    }

    /// [`open`](Self::open), for programs without an async runtime. Blocks the calling thread.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_blocking<P: AsRef<Path>>(self, path: P) -> Result<MiniStore> {
        block_on(self.open(path))
    }

    /// The one place where limits are checked.
    pub(crate) fn validate(&self) -> Result<()> {
        let invalid = |text: String| Err(MiniStoreError::InvalidArgument(text));
        if self.max_segments == 0 {
            return invalid("max_segments must be >= 1".into());
        }
        if self.max_total_bytes == 0 {
            return invalid("max_total_bytes must be >= 1".into());
        }
        if self.max_age.is_zero() {
            return invalid("max_age must be > 0".into());
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
