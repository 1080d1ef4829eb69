//! Verifying, repairing, salvaging and backing up journals: what the program `ministore` does, for programs.
//!
//! [`verify()`] reads and never writes. [`repair()`] repairs the end of a journal in place and saves a copy of every byte
//! it truncates. [`salvage()`] copies every group that verifies into a new journal and does not change the old one.
//! [`backup()`] copies a journal that may be open for writing, and [`restore()`] copies it back.
//!
//! ```
//! # fn main() -> ministore_uring::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("journal.jsonl");
//! # let store = ministore_uring::JournalOptions::new().open_blocking(&path)?;
//! # store.blocking().append_batch([1, 2, 3])?;
//! # store.blocking().close()?;
//! let found = ministore_uring::maintenance::verify(&path)?;
//! assert_eq!(found.records, 3);
//! assert!(found.faults.is_empty());
//! # Ok(())
//! # }
//! ```

mod backup;
mod numbering;
mod repair;
mod report;
mod salvage;
#[cfg(test)]
mod tests;
mod verifier;
mod verify;

use std::{
    fmt,
    path::{Path, PathBuf},
};

pub use backup::{BackupMode, BackupReport, backup, restore};
pub use numbering::{LostRecords, SalvagedRecords};
pub use repair::{RepairMode, RepairReport, repair};
pub use report::{SegmentReport, SegmentState, VerifyReport};
pub use salvage::{SalvageReport, salvage};
pub use verify::verify;
#[cfg(any(test, feature = "testkit"))]
pub(crate) use verify::verify_on;

use serde::Serialize;

use crate::format::scan::Tail;

/// Bytes that do not verify.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Corruption {
    /// The file.
    #[serde(serialize_with = "crate::serialize::path")]
    pub segment: PathBuf,
    /// Where the bytes that do not verify begin, from the start of the file.
    pub offset: u64,
    /// The line that begins there, counted from 1 within the file.
    pub line: u64,
    /// The sequence number of that line, where it is known: after damage it is not.
    pub seq: Option<u64>,
    /// The check that failed.
    pub reason: String,
}

impl Corruption {
    fn new(segment: &Path, tail: &Tail, seq: Option<u64>) -> Self {
        Self {
            segment: segment.into(),
            offset: tail.offset,
            line: tail.line,
            seq,
            reason: tail.reason.into(),
        }
    }

    /// Returns corruption that concerns the whole file.
    fn of_file(segment: &Path, reason: impl Into<String>) -> Self {
        Self { segment: segment.into(), offset: 0, line: 1, seq: None, reason: reason.into() }
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, offset, line, seq, reason } = self;
        write!(f, "{}: byte {offset}, line {line}", segment.display())?;
        if let Some(seq) = seq {
            write!(f, ", record {seq}")?;
        }
        write!(f, ": {reason}")
    }
}
