//! Sequence numbers of segments that do not state theirs.

use std::{io, path::PathBuf};

use super::scanned::scan_to_end;
use crate::{MiniStoreError, Result, scan::ReadAt};

/// Where the segment after these begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Continuation {
    pub(crate) next_seq: u64,
    /// The last seal of the last of them.
    pub(crate) last_seal: Option<u32>,
}

/// Counts through archived segments from the newest back to one whose header states its number: one step, unless
/// `ministore` 0.1.7 wrote them. Where none does, the oldest begins with 1.
pub(crate) fn continuation_of<R: ReadAt>(
    archived: &[(u64, PathBuf)],
    open: impl Fn(&PathBuf) -> io::Result<R>,
) -> Result<Continuation> {
    let (mut records, mut last_seal) = (0, None);
    for (index, (_, path)) in archived.iter().enumerate().rev() {
        let file = open(path).map_err(MiniStoreError::file(path, "open"))?;
        let corrupt = |offset, line, reason: String| MiniStoreError::Corrupt {
            segment: path.clone(),
            offset,
            line,
            seq: None,
            reason,
        };
        let scanned = scan_to_end(&file).map_err(MiniStoreError::file(path, "read"))?;
        let scanned = scanned.map_err(|fault| corrupt(0, 1, fault.to_string()))?;
        if let Some(tail) = scanned.end.tail {
            return Err(corrupt(tail.offset, tail.line, tail.reason.into()));
        }
        if index + 1 == archived.len() {
            last_seal = scanned.end.last_seal;
        }
        records += scanned.records;
        if let Some(link) = scanned.header.link() {
            return Ok(Continuation { next_seq: link.first + records, last_seal });
        }
    }
    Ok(Continuation { next_seq: 1 + records, last_seal })
}
