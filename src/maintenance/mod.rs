//! Looking at, checking and mending journals: what the program `ministore` does, for programs.
//!
//! [`examine()`] reads and never writes. [`repair()`] mends the end of a journal in place, keeping a copy of every
//! byte it cuts. [`salvage()`] copies whatever verifies into a new journal, and leaves the old one as it is.
//!
//! ```
//! # fn main() -> ministore_uring::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("journal.jsonl");
//! # let store = ministore_uring::MiniStore::open_blocking(&path)?;
//! # store.blocking().append_batch([1, 2, 3])?;
//! # store.blocking().close()?;
//! let found = ministore_uring::maintenance::examine(&path)?;
//! assert_eq!(found.records, 3);
//! assert!(found.faults.is_empty());
//! # Ok(())
//! # }
//! ```

mod examine;
mod repair;
mod salvage;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::{Path, PathBuf},
};

#[cfg(any(test, feature = "testkit"))]
pub(crate) use examine::examine_on;
pub use examine::{Examination, Segment, SegmentState, examine};
pub use repair::{Repair, RepairMode, repair};
pub use salvage::{Salvage, salvage};

use crate::scan::Tail;

/// Something that does not verify.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The file.
    pub segment: PathBuf,
    /// Where the bytes that do not verify begin, from the start of the file.
    pub offset: u64,
    /// The line that begins there, counted from 1 within the file.
    pub line: u64,
    /// The sequence number that line has, where it is known: behind damage it is not.
    pub seq: Option<u64>,
    /// What does not hold.
    pub reason: String,
}

impl Fault {
    fn new(segment: &Path, tail: &Tail, seq: Option<u64>) -> Self {
        Self {
            segment: segment.into(),
            offset: tail.offset,
            line: tail.line,
            seq,
            reason: tail.reason.into(),
        }
    }

    /// One that concerns the whole file.
    fn of_file(segment: &Path, reason: impl Into<String>) -> Self {
        Self { segment: segment.into(), offset: 0, line: 1, seq: None, reason: reason.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, offset, line, seq, reason } = self;
        write!(f, "{}: byte {offset}, line {line}", segment.display())?;
        if let Some(seq) = seq {
            write!(f, ", record {seq}")?;
        }
        write!(f, ": {reason}")
    }
}
