//! Computes the sequence numbers of segments whose headers do not contain them.

use std::{io, path::PathBuf};

use super::scan_cache::ScanCache;
use crate::journal::segment_summary::scan_to_end;
use crate::{
    MiniStoreError, Result,
    format::scan::{ReadAt, read_header},
    format::{ChainLink, Header},
};

/// The position at which the segment after the rotated ones starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NextPosition {
    pub(super) next_seq: u64,
    /// The last seal of the newest rotated segment.
    pub(super) last_seal: Option<u32>,
}

/// A rotated segment whose records cannot be counted, so the segments after it have no sequence numbers.
#[derive(Debug, Clone)]
pub(super) struct CountError {
    pub(super) segment: PathBuf,
    pub(super) offset: u64,
    pub(super) line: u64,
    pub(super) reason: String,
}

/// Counts the records of the rotated segments from the newest back to one whose header has a sequence number: one segment, unless
/// `ministore` 0.1.7 wrote them. If no header has one, the oldest segment starts with 1. A torn tail of the newest does not count.
pub(super) fn next_position<R: ReadAt>(
    rotated: &[(u64, PathBuf)],
    open: impl Fn(&PathBuf) -> io::Result<R>,
    cache: &mut ScanCache,
) -> Result<std::result::Result<NextPosition, CountError>> {
    let (mut records, mut last_seal) = (0, None);
    for (index, (_, path)) in rotated.iter().enumerate().rev() {
        let file = open(path).map_err(MiniStoreError::file(path, "open"))?;
        let count_error =
            |offset, line, reason: String| CountError { segment: path.clone(), offset, line, reason };
        let summary = match cache.scan(path, &file).map_err(MiniStoreError::file(path, "read"))? {
            Ok(summary) => summary,
            Err(error) => return Ok(Err(count_error(0, 1, error.to_string()))),
        };
        let is_newest = index + 1 == rotated.len();
        if let Some(tail) = summary.end.tail.filter(|tail| tail.is_corrupt || !is_newest) {
            return Ok(Err(count_error(tail.offset, tail.line, tail.reason.into())));
        }
        if is_newest {
            last_seal = summary.end.last_seal;
        }
        records += summary.records;
        if let Some(link) = summary.header.link() {
            return Ok(Ok(NextPosition { next_seq: link.first + records, last_seal }));
        }
    }
    Ok(Ok(NextPosition { next_seq: 1 + records, last_seal }))
}

/// Returns the sequence number of the oldest record. `link` is the link of the active segment, which follows the rotated ones.
///
/// Reads one header, unless the oldest segment is plain: then its records, and those of the plain segments after it, are counted
/// backwards from the first sequence number in a header. If segment 1 exists, nothing was ever deleted, and nothing is counted. A
/// segment that cannot be read is skipped: readers report it.
pub(super) fn first_seq_of<R: ReadAt>(
    rotated: &[(u64, PathBuf)],
    link: Option<ChainLink>,
    open: impl Fn(&PathBuf) -> io::Result<R>,
) -> u64 {
    let header_seq = |path: &PathBuf| match read_header(open(path)?)? {
        Ok(header) => Ok::<_, io::Error>(header.link().map(|link| link.first)),
        Err(_) => Ok(None),
    };
    let mut plain = Vec::new();
    for (number, path) in rotated {
        match header_seq(path) {
            Ok(Some(first)) => return count_backwards(first, &plain, open),
            Ok(None) if *number == 1 => return 1,
            Ok(None) => plain.push(path),
            Err(error) => tracing::warn!(segment = %path.display(), %error, "could not read a header"),
        }
    }
    // If no header has a sequence number, the oldest segment starts with 1.
    link.map_or(1, |link| count_backwards(link.first, &plain, open))
}

fn count_backwards<R: ReadAt>(
    first: u64,
    plain: &[&PathBuf],
    open: impl Fn(&PathBuf) -> io::Result<R>,
) -> u64 {
    let count = |path: &&PathBuf| {
        let summary = open(path).and_then(|file| scan_to_end(&file)).ok()?.ok()?;
        Some(if summary.header == Header::Plain { summary.records } else { 0 })
    };
    let records: u64 = plain.iter().filter_map(count).sum();
    first.saturating_sub(records).max(1)
}
