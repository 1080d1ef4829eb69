//! What can be asked of the file system: rules, commands and answers, one JSON value a line.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// What is done to a file or a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Op {
    /// Opening a file that is there.
    Open,
    /// Creating a file or a directory.
    Create,
    /// Reading from a file.
    Read,
    /// Writing to a file. The kernel cuts large writes into several.
    Write,
    /// Cutting or extending a file.
    SetLen,
    /// `fsync`, `fdatasync`, and what follows a write with `O_DSYNC`.
    Sync,
    /// Renaming; its names are both the old one and the new one.
    Rename,
    /// Deleting.
    Remove,
    /// `fsync` of a directory.
    SyncDir,
    /// Listing a directory.
    List,
}

/// What the file system asks of the kernel when it is mounted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// Direct I/O may be asynchronous (`FUSE_ASYNC_DIO`), as libfuse asks by default.
    pub async_direct_io: bool,
    /// Every file bypasses the page cache (`FOPEN_DIRECT_IO`), as with libfuse's option `direct_io`.
    pub open_direct_io: bool,
    /// Direct I/O need not be aligned, as on most FUSE file systems.
    pub unaligned_direct_io: bool,
    /// The most bytes in one write; the kernel cuts larger ones.
    pub max_write_bytes: Option<u32>,
}

const ASYNC_DIRECT_IO: &str = "--async-direct-io";
const OPEN_DIRECT_IO: &str = "--open-direct-io";
const UNALIGNED_DIRECT_IO: &str = "--unaligned-direct-io";
const MAX_WRITE_BYTES: &str = "--max-write-bytes=";

impl MountOptions {
    /// The arguments that tell them to the program.
    pub(crate) fn to_args(self) -> Vec<String> {
        let Self { async_direct_io, open_direct_io, unaligned_direct_io, max_write_bytes } = self;
        let flags = [
            (async_direct_io, ASYNC_DIRECT_IO),
            (open_direct_io, OPEN_DIRECT_IO),
            (unaligned_direct_io, UNALIGNED_DIRECT_IO),
        ];
        let flags = flags.into_iter().filter(|(yes, _)| *yes).map(|(_, flag)| flag.to_owned());
        flags.chain(max_write_bytes.map(|bytes| format!("{MAX_WRITE_BYTES}{bytes}"))).collect()
    }

    pub(crate) fn from_args(args: impl Iterator<Item = OsString>) -> Option<Self> {
        let mut options = Self::default();
        for arg in args {
            match arg.to_str()? {
                ASYNC_DIRECT_IO => options.async_direct_io = true,
                OPEN_DIRECT_IO => options.open_direct_io = true,
                UNALIGNED_DIRECT_IO => options.unaligned_direct_io = true,
                other => options.max_write_bytes = Some(other.strip_prefix(MAX_WRITE_BYTES)?.parse().ok()?),
            }
        }
        Some(options)
    }
}

/// Which rule; given by the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RuleId(pub(crate) u64);

/// What is to go wrong, with which operation, and when.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[must_use = "a rule works once it is handed to the file system"]
pub struct Rule {
    pub(crate) op: Op,
    /// A file name; `*` stands for any characters, once.
    pub(crate) name: String,
    /// Counted from when the rule is set; the next is 1.
    pub(crate) nth: u64,
    /// How many, from the `nth` on.
    pub(crate) times: u64,
    pub(crate) wait: Wait,
    pub(crate) then: Then,
}

/// How long an operation is held back before anything else is done with it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Wait {
    Not,
    For(Duration),
    UntilReleased,
}

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Then {
    Go,
    /// Nothing is done.
    Fail {
        errno: i32,
        unsynced: AfterFailure,
    },
    /// A write writes so many bytes at most, and says so.
    Short {
        bytes: usize,
    },
}

/// What becomes of data that was not synced yet when an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AfterFailure {
    /// The next sync makes it durable.
    Kept,
    /// It can be read, and no sync makes it durable any more.
    Forgotten,
    /// It is gone.
    Reverted,
}

impl Rule {
    /// The next such operation on any file; it is carried out unless told otherwise.
    pub fn on(op: Op) -> Self {
        Self { op, name: "*".into(), nth: 1, times: 1, wait: Wait::Not, then: Then::Go }
    }

    /// Only on files of this name; one `*` in it stands for any characters.
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// Not the next one but the `nth` from now (the next is 1).
    pub fn nth(mut self, nth: u64) -> Self {
        self.nth = nth;
        self
    }

    /// So many in a row, not only one.
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// All from the first on.
    pub fn for_ever(self) -> Self {
        self.times(u64::MAX)
    }

    /// It fails, and does nothing.
    pub fn fails(self, errno: Errno) -> Self {
        self.failing(errno, AfterFailure::Kept)
    }

    /// It fails, and what was written to the file since it was last synced is never going to be durable, though
    /// everybody reads it: what ext4 and xfs do after a failed writeback, whose pages stay in the cache as if they
    /// had been written. The next sync succeeds.
    pub fn fails_and_forgets(self, errno: Errno) -> Self {
        self.failing(errno, AfterFailure::Forgotten)
    }

    /// It fails, and what was written to the file since it was last synced is gone at once: the same once those
    /// pages have left the cache.
    pub fn fails_and_reverts(self, errno: Errno) -> Self {
        self.failing(errno, AfterFailure::Reverted)
    }

    fn failing(mut self, errno: Errno, unsynced: AfterFailure) -> Self {
        self.then = Then::Fail { errno: errno.raw_os_error(), unsynced };
        self
    }

    /// A write writes at most so many bytes, and says so.
    pub fn writes_only(mut self, bytes: usize) -> Self {
        self.then = Then::Short { bytes };
        self
    }

    /// It is held back for so long first.
    pub fn delayed(mut self, by: Duration) -> Self {
        self.wait = Wait::For(by);
        self
    }

    /// It is held back until the rule is released.
    pub fn held(mut self) -> Self {
        self.wait = Wait::UntilReleased;
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
    /// Ends a rule; what it holds back goes on.
    Release(RuleId),
    /// Ends every rule, every limit, and what is held back.
    Clear,
    /// Files may grow by so many bytes together; beyond that, a write fails with this error.
    LimitRoom {
        bytes: u64,
        errno: i32,
    },
    /// From now on nothing can be changed.
    ReadOnly,
    /// Answers once the rule has met so many operations.
    AwaitFired {
        rule: RuleId,
        times: u64,
    },
    /// Answers once the rule holds so many operations back.
    AwaitHeld {
        rule: RuleId,
        operations: u64,
    },
    /// How many operations the rule has met.
    Fired(RuleId),
    /// How many of each operation there were.
    Counts,
    /// Copies what a power cut would leave now into a directory.
    PowerCut {
        to: PathBuf,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done,
    Rule(RuleId),
    Count(u64),
    Counts(BTreeMap<String, u64>),
    Failed(String),
}

/// Where the program that serves a mount point listens.
pub(crate) fn socket_path(mount_point: &Path) -> PathBuf {
    let mut path = mount_point.as_os_str().to_owned();
    path.push(".ctl");
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_options_are_parsed_back_from_args() {
        let options = MountOptions {
            async_direct_io: true,
            open_direct_io: true,
            unaligned_direct_io: true,
            max_write_bytes: Some(4096),
        };
        for options in [options, MountOptions::default()] {
            let args = options.to_args().into_iter().map(OsString::from);
            assert_eq!(MountOptions::from_args(args), Some(options));
        }
        assert_eq!(MountOptions::from_args(["--sync".into()].into_iter()), None);
    }

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
