//! What a backup did.

use std::path::PathBuf;

use serde::Serialize;

/// How [`backup`](super::backup) creates the files of rotated segments, which never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupMode {
    /// As hard links where the file system allows it, otherwise as reflinks, otherwise as copies. Links and reflinks
    /// take no time and no disk space, and protect against deletion, but not against damage of the disk: both files are
    /// the same bytes.
    Share,
    /// As copies.
    Copy,
}

/// The result of [`backup`](super::backup) or [`restore`](super::restore).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BackupReport {
    /// The journal that was written.
    #[serde(serialize_with = "crate::serialize::path")]
    pub path: PathBuf,
    /// The number of its oldest record; of the next one if it has none.
    pub first_seq: u64,
    /// The number of its newest record; 0 if it never had one.
    pub last_seq: u64,
    /// Segments that became hard links.
    pub linked: u64,
    /// Segments that became reflinks.
    pub reflinked: u64,
    /// Segments that were copied.
    pub copied: u64,
    /// Segments that an earlier call had written.
    pub kept: u64,
    /// Bytes of the segments that were copied.
    pub copied_bytes: u64,
}

impl BackupReport {
    /// The number of its records.
    #[must_use]
    pub fn records(&self) -> u64 {
        (self.last_seq + 1).saturating_sub(self.first_seq)
    }

    /// The number of its segments.
    #[must_use]
    pub fn segments(&self) -> u64 {
        self.linked + self.reflinked + self.copied + self.kept
    }
}
