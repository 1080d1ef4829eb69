//! How commits to a file are made durable: the flags that the file is opened with, and the sync after a write.
//!
//! Owns the decision, and the list of file systems on which `O_DIRECT` and `O_DSYNC` are trusted. Does no I/O except
//! for asking the kernel which file system a file is on.

use std::{fmt, fs::File};

use rustix::fs::{OFlags, fstatfs};

use crate::options::{JournalOptions, SyncMode};

/// ext4, and also ext2 and ext3, which share its number: their direct writes honour `O_DSYNC` the same way.
const EXT4_MAGIC: u32 = 0xEF53;
const XFS_MAGIC: u32 = 0x5846_5342;
const BTRFS_MAGIC: u32 = 0x9123_683E;

/// What makes commits durable on the file in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SyncKind {
    /// The write itself: the file is open with `O_DSYNC`.
    Dsync,
    /// An `fdatasync` after each write.
    Fdatasync,
}

impl fmt::Display for SyncKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dsync => "dsync",
            Self::Fdatasync => "fdatasync",
        })
    }
}

/// The options that decide how commits to a file are made durable.
#[derive(Debug, Clone, Copy, Default)]
pub struct CommitOptions {
    pub direct: bool,
    pub sync: SyncMode,
    /// Trusts `O_DIRECT` and `O_DSYNC` on every file system. Used by tests that need a faulty one.
    pub trust_file_system: bool,
}

/// How commits to the attached file are made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitMethod {
    /// Writes bypass the page cache.
    pub direct: bool,
    pub sync: SyncKind,
    /// `O_DIRECT` and `O_DSYNC` are trusted on the file's file system.
    pub trusted: bool,
}

impl CommitMethod {
    /// The method that works on every file system: a write through the page cache, then `fdatasync`.
    pub(crate) const BUFFERED: Self = Self { direct: false, sync: SyncKind::Fdatasync, trusted: false };

    /// The method after direct writes were refused: each write is followed by an `fdatasync`.
    pub(crate) fn without_direct(self) -> Self {
        Self { direct: false, sync: SyncKind::Fdatasync, ..self }
    }

    /// Returns the flags that a file is opened with.
    pub(super) fn open_flags(self) -> OFlags {
        let mut flags = OFlags::empty();
        flags.set(OFlags::DIRECT, self.direct);
        flags.set(OFlags::DSYNC, self.sync == SyncKind::Dsync);
        flags
    }
}

impl CommitOptions {
    /// Returns the options for a segment with or without checksums. Only preallocated segments, which have checksums,
    /// are written directly.
    pub(crate) fn for_segment(options: &JournalOptions, checksums: bool) -> Self {
        let &JournalOptions { direct_io, preallocate, sync_mode: sync, trust_file_system, .. } = options;
        Self { direct: direct_io && preallocate && checksums, sync, trust_file_system }
    }

    /// Returns the method for a file, given whether its file system is trusted.
    ///
    /// `O_DSYNC` is never relied on elsewhere, even if the options ask for it: the kernel's FUSE code ignores it for
    /// asynchronous direct writes, and for every direct write to a file that the server opened with `FOPEN_DIRECT_IO`;
    /// overlayfs does not report the file system below it.
    pub(crate) fn method(self, trusted: bool) -> CommitMethod {
        if !(trusted || self.trust_file_system) {
            return CommitMethod::BUFFERED;
        }
        let sync = match self.sync {
            SyncMode::Dsync => SyncKind::Dsync,
            SyncMode::Auto if self.direct => SyncKind::Dsync,
            SyncMode::Auto | SyncMode::Fdatasync => SyncKind::Fdatasync,
        };
        CommitMethod { direct: self.direct, sync, trusted: true }
    }

    pub(crate) fn without_direct(self) -> Self {
        Self { direct: false, ..self }
    }

    pub(super) fn trusts(self, file: &File) -> bool {
        self.trust_file_system || is_trusted(file)
    }
}

/// Returns whether the file is on a file system whose direct writes honour `O_DSYNC`, asynchronous ones included;
/// `false` if the kernel does not report the file system.
pub(super) fn is_trusted(file: &File) -> bool {
    // `f_type` is signed on some architectures: only its 32 bits are the number.
    fstatfs(file).is_ok_and(|found| matches!(found.f_type as u32, EXT4_MAGIC | XFS_MAGIC | BTRFS_MAGIC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dsync_is_chosen_only_where_trusted() {
        for sync in [SyncMode::Auto, SyncMode::Dsync, SyncMode::Fdatasync] {
            for direct in [true, false] {
                let options = CommitOptions { direct, sync, trust_file_system: false };
                assert_eq!(options.method(false), CommitMethod::BUFFERED, "{options:?}");
                let method = options.method(true);
                assert_eq!(method.direct, direct, "{options:?}");
                let is_dsync = match sync {
                    SyncMode::Auto => direct,
                    SyncMode::Dsync => true,
                    SyncMode::Fdatasync => false,
                };
                assert_eq!(method.sync == SyncKind::Dsync, is_dsync, "{options:?}");
                assert_eq!(method.open_flags().contains(OFlags::DSYNC), is_dsync, "{options:?}");
            }
        }
    }
}
