//! Sequence numbers of segments that do not state theirs.

use std::{io, path::PathBuf};

use super::seen::Seen;
use crate::{MiniStoreError, Result, scan::ReadAt};

/// Where the segment after these begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Continuation {
    pub(super) next_seq: u64,
    /// The last seal of the last of them.
    pub(super) last_seal: Option<u32>,
}

/// An archived segment that cannot be counted: what follows it has no number.
#[derive(Debug, Clone)]
pub(super) struct Uncounted {
    pub(super) segment: PathBuf,
    pub(super) offset: u64,
    pub(super) line: u64,
    pub(super) reason: String,
}

/// Counts through archived segments from the newest back to one whose header states its number: one step, unless
/// `ministore` 0.1.7 wrote them. Where none does, the oldest begins with 1. What the newest was cut off in does not count.
pub(super) fn continuation_of<R: ReadAt>(
    archived: &[(u64, PathBuf)],
    open: impl Fn(&PathBuf) -> io::Result<R>,
    seen: &mut Seen,
) -> Result<std::result::Result<Continuation, Uncounted>> {
    let (mut records, mut last_seal) = (0, None);
    for (index, (_, path)) in archived.iter().enumerate().rev() {
        let file = open(path).map_err(MiniStoreError::file(path, "open"))?;
        let uncounted =
            |offset, line, reason: String| Uncounted { segment: path.clone(), offset, line, reason };
        let scanned = match seen.scan(path, &file).map_err(MiniStoreError::file(path, "read"))? {
            Ok(scanned) => scanned,
            Err(fault) => return Ok(Err(uncounted(0, 1, fault.to_string()))),
        };
        let is_newest = index + 1 == archived.len();
        if let Some(tail) = scanned.end.tail.filter(|tail| tail.damaged || !is_newest) {
            return Ok(Err(uncounted(tail.offset, tail.line, tail.reason.into())));
        }
        if is_newest {
            last_seal = scanned.end.last_seal;
        }
        records += scanned.records;
        if let Some(link) = scanned.header.link() {
            return Ok(Ok(Continuation { next_seq: link.first + records, last_seal }));
        }
    }
    Ok(Ok(Continuation { next_seq: 1 + records, last_seal }))
}
