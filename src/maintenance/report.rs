//! The report of a verification.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::Corruption;

/// The parts of a journal, and the corruption found in it. See [`verify`](super::verify()).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Oldest first; the active one last.
    pub segments: Vec<SegmentReport>,
    /// Acknowledged data that does not verify. Empty for a sound journal.
    pub faults: Vec<Corruption>,
    /// An unacknowledged commit that a crash interrupted. Not a fault: the next open for writing truncates it.
    pub torn_tail: Option<Corruption>,
    /// Records that verify.
    pub records: u64,
    /// Commit groups that verify.
    pub groups: u64,
    /// The [holds](crate::MiniStore::hold): sequence numbers by name.
    pub holds: BTreeMap<String, u64>,
}

impl VerifyReport {
    /// The sequence number of the oldest record that verifies, where there is one and its number is known.
    #[must_use]
    pub fn first_seq(&self) -> Option<u64> {
        self.segments.iter().find(|segment| segment.records > 0)?.first_seq
    }
}

/// One file of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SegmentReport {
    /// The file.
    #[serde(serialize_with = "crate::serialize::path")]
    pub path: PathBuf,
    /// Records that verify.
    pub records: u64,
    /// Sequence number of the first, where there is one.
    pub first_seq: Option<u64>,
    /// Sequence number of the last that verifies without a gap before it.
    pub last_seq: Option<u64>,
    /// Commit groups that verify.
    pub groups: u64,
    /// The size of the file.
    pub file_bytes: u64,
    /// Bytes of header, lines and seals that verify.
    pub data_bytes: u64,
    /// Bytes of the header's line among them, its line feed not counted.
    pub header_bytes: u64,
    /// Bytes of the records themselves among them. What is left is line feeds, one before each record.
    pub record_bytes: u64,
    /// Bytes of the seals among them.
    pub seal_bytes: u64,
    /// Bytes preallocated and not used.
    pub padding_bytes: u64,
    /// Whether its header says that a seal covers every line.
    pub checksummed: bool,
    /// How it ends.
    pub state: SegmentState,
}

impl SegmentReport {
    /// Returns the report of a file before it is read.
    pub(super) fn of_file(path: &Path, file_bytes: u64) -> Self {
        Self {
            path: path.into(),
            records: 0,
            first_seq: None,
            last_seq: None,
            groups: 0,
            file_bytes,
            data_bytes: 0,
            header_bytes: 0,
            record_bytes: 0,
            seal_bytes: 0,
            padding_bytes: 0,
            checksummed: false,
            state: SegmentState::Damaged,
        }
    }
}

/// How a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SegmentState {
    /// Complete.
    Closed,
    /// In use, or left open by a crash between two commits.
    Open,
    /// Left open by a crash during a commit.
    TornTail,
    /// Some acknowledged data does not verify.
    Damaged,
    /// The file does not begin as a journal does.
    NotAJournal,
    /// It has the active name and contains nothing that a rotated segment does not, as after copying a live journal file by
    /// file. Its records are counted in that segment.
    OlderCopy,
}

impl fmt::Display for SegmentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::TornTail => "torn tail",
            Self::Damaged => "damaged",
            Self::NotAJournal => "not a journal",
            Self::OlderCopy => "older copy",
        })
    }
}
