//! Sequence numbers of segments that do not state theirs.

use std::{io, path::PathBuf};

use super::{scanned::scan_to_end, seen::Seen};
use crate::{
    MiniStoreError, Result,
    format::{Header, Link},
    scan::{ReadAt, read_header},
};

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

/// The number of the oldest record, of segments behind which an active one follows that says `link` of itself. One
/// header is read; more only where the oldest segment is plain: its records, and those of the plain ones that follow it, are then counted
/// back from the first number that a header states. Where segment 1 is still there nothing was ever deleted, and nothing
/// need be counted. What cannot be read is passed over: readers will tell.
pub(super) fn first_of<R: ReadAt>(
    archived: &[(u64, PathBuf)],
    link: Option<Link>,
    open: impl Fn(&PathBuf) -> io::Result<R>,
) -> u64 {
    let stated = |path: &PathBuf| match read_header(open(path)?)? {
        Ok(header) => Ok::<_, io::Error>(header.link().map(|link| link.first)),
        Err(_) => Ok(None),
    };
    let mut plain = Vec::new();
    for (number, path) in archived {
        match stated(path) {
            Ok(Some(first)) => return count_back(first, &plain, open),
            Ok(None) if *number == 1 => return 1,
            Ok(None) => plain.push(path),
            Err(error) => tracing::warn!(segment = %path.display(), %error, "could not read a header"),
        }
    }
    // Where no segment states a number, they count from the oldest.
    link.map_or(1, |link| count_back(link.first, &plain, open))
}

fn count_back<R: ReadAt>(first: u64, plain: &[&PathBuf], open: impl Fn(&PathBuf) -> io::Result<R>) -> u64 {
    let count = |path: &&PathBuf| {
        let scanned = open(path).and_then(|file| scan_to_end(&file)).ok()?.ok()?;
        Some(if scanned.header == Header::Plain { scanned.records } else { 0 })
    };
    let records: u64 = plain.iter().filter_map(count).sum();
    first.saturating_sub(records).max(1)
}
