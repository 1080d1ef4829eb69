//! The protocol of the control socket: rules, commands and replies, one JSON value per line.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::recording::KeptWrites;

/// A kind of operation on a file or a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Op {
    Open,
    Create,
    Read,
    /// Writing to a file. The kernel splits large writes.
    Write,
    /// Truncating or extending a file.
    SetLen,
    /// `fsync`, `fdatasync`, and the sync after a write with `O_DSYNC`.
    Sync,
    /// Renaming; a rule can name the old or the new name.
    Rename,
    Remove,
    SyncDir,
    List,
}

/// The capabilities that the file system requests from the kernel when it is mounted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MountOptions {
    /// Allow asynchronous direct I/O (`FUSE_ASYNC_DIO`), as libfuse does by default.
    pub async_direct_io: bool,
    /// Bypass the page cache for every file (`FOPEN_DIRECT_IO`), as libfuse's option `direct_io` does.
    pub open_direct_io: bool,
    /// Accept unaligned direct I/O, as most FUSE file systems do.
    pub unaligned_direct_io: bool,
    /// The most bytes in one write; the kernel splits larger ones.
    pub max_write_bytes: Option<u32>,
    pub names: NameDurability,
}

/// When created, renamed and removed names are durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NameDurability {
    /// At once.
    #[default]
    AtOnce,
    /// After a sync of the file or of the directory, as on ext4, xfs and btrfs.
    WithFile,
    /// Only after a sync of the directory, as `fsync(2)` says.
    WithDirectory,
}

/// Identifies a rule; assigned by the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RuleId(pub(crate) u64);

/// A fault, and the operations that it applies to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[must_use = "a rule works once it is passed to `Faultfs::set`"]
pub struct Rule {
    pub(crate) op: Op,
    /// A file name; one `*` in it matches any characters.
    pub(crate) name: String,
    /// The first operation that the rule applies to, counted from when the rule is set; the next one is 1.
    pub(crate) nth: u64,
    /// The number of operations that the rule applies to, from the `nth` on.
    pub(crate) times: u64,
    pub(crate) delay: Delay,
    pub(crate) effect: OpEffect,
}

/// How long an operation is delayed before it is performed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Delay {
    None,
    For(Duration),
    UntilReleased,
}

/// How an operation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OpEffect {
    Proceed,
    Fail {
        errno: i32,
        unsynced: UnsyncedData,
    },
    /// A write writes at most this many bytes and returns their number.
    ShortWrite {
        bytes: usize,
    },
}

/// The state of a file's unsynced data after an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum UnsyncedData {
    /// The next sync makes it durable.
    Kept,
    /// It can be read, but no later sync makes it durable.
    Forgotten,
    /// It is lost.
    Reverted,
}

impl Rule {
    /// Matches the next operation of this kind on any file. Without an effect, the operation is performed.
    pub fn on(op: Op) -> Self {
        Self { op, name: "*".into(), nth: 1, times: 1, delay: Delay::None, effect: OpEffect::Proceed }
    }

    /// Matches only files of this name; one `*` in it matches any characters.
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// Starts with the `nth` operation from now (the next is 1).
    pub fn nth(mut self, nth: u64) -> Self {
        self.nth = nth;
        self
    }

    /// Applies to `times` operations in a row instead of one.
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Applies to all operations from the first one on.
    pub fn forever(self) -> Self {
        self.times(u64::MAX)
    }

    /// The operation fails and changes nothing.
    pub fn fails(self, errno: Errno) -> Self {
        self.failing(errno, UnsyncedData::Kept)
    }

    /// The operation fails, and the data written to the file since its last sync never becomes durable although it
    /// can be read. This is what ext4 and xfs do after a failed writeback: the pages stay in the cache as if they
    /// had been written, and the next sync succeeds.
    pub fn fails_and_forgets(self, errno: Errno) -> Self {
        self.failing(errno, UnsyncedData::Forgotten)
    }

    /// The operation fails, and the data written to the file since its last sync is lost at once, as after those
    /// pages have left the cache.
    pub fn fails_and_reverts(self, errno: Errno) -> Self {
        self.failing(errno, UnsyncedData::Reverted)
    }

    fn failing(mut self, errno: Errno, unsynced: UnsyncedData) -> Self {
        self.effect = OpEffect::Fail { errno: errno.raw_os_error(), unsynced };
        self
    }

    /// A write writes at most `bytes` bytes and returns their number.
    pub fn writes_only(mut self, bytes: usize) -> Self {
        self.effect = OpEffect::ShortWrite { bytes };
        self
    }

    pub fn delayed(mut self, by: Duration) -> Self {
        self.delay = Delay::For(by);
        self
    }

    /// The operation is blocked until the rule is released.
    pub fn blocked(mut self) -> Self {
        self.delay = Delay::UntilReleased;
        self
    }

    pub(crate) fn matches(&self, op: Op, names: &[String]) -> bool {
        self.op == op && (self.name == "*" || names.iter().any(|name| glob(&self.name, name)))
    }
}

fn glob(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    Add(Rule),
    /// Ends a rule; the operations that it blocks continue.
    Release(RuleId),
    /// Ends every rule and every limit; blocked operations continue.
    Clear,
    /// Limits the bytes by which all files together may grow; a write beyond that fails with this error.
    SetSpaceLimit {
        bytes: u64,
        errno: i32,
    },
    ReadOnly,
    /// Replies once the rule was applied `times` times.
    AwaitFired {
        rule: RuleId,
        times: u64,
    },
    /// Replies once the rule blocks this many operations.
    AwaitBlocked {
        rule: RuleId,
        operations: u64,
    },
    /// Replies with the number of operations that the rule was applied to.
    Fired(RuleId),
    /// Replies with the number of operations of this kind.
    Count(Op),
    /// Copies the state that a power cut would leave now into a directory.
    PowerCut {
        to: PathBuf,
        kept: KeptWrites,
    },
    /// Starts the recording of a file in the root directory.
    Record(String),
    Mark(String),
    SaveRecording {
        name: String,
        to: PathBuf,
    },
}

/// The reply to a command: its result, or the error.
pub(crate) type Reply<T> = Result<T, String>;

/// Returns the path of the control socket of a mount point.
pub(crate) fn socket_path(mount_point: &Path) -> PathBuf {
    let mut path = mount_point.as_os_str().to_owned();
    path.push(".ctl");
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_matches_any_characters() {
        for (pattern, name, expected) in [
            ("j", "j", true),
            ("j", "j.next", false),
            ("*", "", true),
            ("j.*", "j.001", true),
            ("*.next", "j.next", true),
            ("aba*aba", "ababa", false),
        ] {
            assert_eq!(glob(pattern, name), expected, "{pattern} {name}");
        }
    }
}
