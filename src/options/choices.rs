//! The options that are a choice between a few values.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::error::{MiniStoreError, Result};

/// The system calls that commits use. Parses from and displays as `auto`, `io_uring`, `tokio-uring` or `blocking`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Backend {
    /// io_uring where the system allows it, otherwise blocking system calls. A `tracing` event at open and
    /// [`stats`](crate::MiniStore::stats) name the one in use.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// io_uring, or [`MiniStoreError::BackendUnavailable`].
    #[serde(rename = "io_uring")]
    Uring,
    /// io_uring through the runtime of the crate [tokio-uring](https://docs.rs/tokio-uring), or
    /// [`MiniStoreError::BackendUnavailable`]. Needs the feature `tokio-uring`. Each group is one write and one
    /// `fdatasync`, so [`SyncMode::Dsync`] is refused. The runtime belongs to the writer thread;
    /// [`Auto`](Self::Auto) never selects it.
    #[serde(rename = "tokio-uring")]
    TokioUring,
    /// Blocking system calls on the writer's own thread.
    #[serde(rename = "blocking")]
    Blocking,
}

/// The first line of a segment. Parses from and displays as `comment` or `json`. Every reader of this crate reads both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Header {
    /// A line that starts with `//`, as `ministore` 0.1.7 writes it. Other readers of JSON Lines must skip it.
    #[default]
    Comment,
    /// One JSON object, whose only key is `$ministore`: other readers of JSON Lines read the file from its first byte,
    /// and filter this record. At most 8 MiB of blanks follow the last record, also after a crash. `ministore` 0.1.7
    /// does not read such a journal.
    Json,
}

impl FromStr for Header {
    type Err = MiniStoreError;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "comment" => Ok(Self::Comment),
            "json" => Ok(Self::Json),
            _ => Err(MiniStoreError::InvalidArgument(format!(
                "the header must be comment or json, not {text:?}"
            ))),
        }
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Comment => "comment",
            Self::Json => "json",
        })
    }
}

/// How commits are made durable. The mode in use is in [`Stats::sync_mode`](crate::Stats::sync_mode).
///
/// `O_DSYNC` is relied on only on ext4, xfs and btrfs (ext2 and ext3 cannot be distinguished from ext4). Other file
/// systems can ignore it: FUSE does for asynchronous direct writes and for files that its server opens with
/// `FOPEN_DIRECT_IO`, and overlayfs does not show what is below it. There every mode is [`Fdatasync`](Self::Fdatasync),
/// through the page cache, so that no append is acknowledged without a completed sync. The file system is determined
/// whenever a segment is opened for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SyncMode {
    /// [`Dsync`](Self::Dsync) for direct writes on ext4, xfs and btrfs, otherwise [`Fdatasync`](Self::Fdatasync).
    /// Always `Fdatasync` with [`Backend::TokioUring`].
    #[default]
    Auto,
    /// One write to a file that is open with `O_DSYNC`, also through the page cache; on ext4, xfs and btrfs only.
    /// [`Backend::TokioUring`] refuses it.
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
            Self::TokioUring => "tokio-uring",
            Self::Blocking => "blocking",
        })
    }
}

impl FromStr for Backend {
    type Err = MiniStoreError;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Auto, Self::Uring, Self::TokioUring, Self::Blocking]
            .into_iter()
            .find(|backend| backend.to_string() == text)
            .ok_or_else(|| {
                MiniStoreError::InvalidArgument(format!(
                    "unknown backend {text:?}: expected auto, io_uring, tokio-uring or blocking"
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
    /// Truncates the damaged end of the active segment if nothing after the damage verifies: the records of the last commit
    /// groups are lost, and every group that verifies is kept. Refuses other damage as [`Strict`](Self::Strict) does. The
    /// truncated bytes are saved to `NAME.truncated-<offset>`. [`repair`](crate::maintenance::repair()) opens with it.
    TruncateDamagedEnd,
    /// Keeps what verifies before the first damaged commit group of the active segment and truncates the rest, even if
    /// later groups verify: their records are lost and their numbers are given to new ones. The truncated bytes are saved to `NAME.truncated-<offset>`.
    TruncateAtFirstError,
}
