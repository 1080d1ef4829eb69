//! Sequence numbers of segments whose bare headers do not state them, as in the journals of `ministore` 0.1.7: counted from
//! the headers that do.

use std::{convert::Infallible, io, path::PathBuf};

use super::segment_summary::{SegmentSummary, scan_to_end};
use crate::{
    Result,
    format::{ChainLink, HeaderError, SegmentHeader, scan::ReadAt, scan::read_header},
};

/// The part of a segment in the counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbering {
    /// Its header states the sequence number of its first record.
    Stated(u64),
    /// Its header states none; it has this number of records.
    Counted(u64),
}

/// Returns the sequence number of the first record of the first of these segments, which are consecutive. It is counted back
/// from the first header that states a number; if none does, the first record is 1.
pub(crate) fn count_back<E>(
    segments: impl Iterator<Item = std::result::Result<Numbering, E>>,
) -> std::result::Result<u64, E> {
    let mut before = 0;
    for segment in segments {
        match segment? {
            Numbering::Stated(first) => return Ok(first.saturating_sub(before).max(1)),
            Numbering::Counted(records) => before += records,
        }
    }
    Ok(1)
}

/// Returns the sequence number of the oldest record of a journal. `link` is that of the active segment, which follows the rotated
/// ones.
///
/// Reads one header, unless the oldest segment is plain. If segment 1 exists, nothing was ever deleted, and nothing is counted. A
/// segment that cannot be read is skipped: readers report it.
pub(crate) fn first_seq_of<R: ReadAt>(
    rotated: &[(u64, PathBuf)],
    link: Option<ChainLink>,
    open: impl Fn(&PathBuf) -> io::Result<R>,
) -> u64 {
    let header = |path: &PathBuf| open(path).and_then(|file| read_header(&file));
    let numbering = |(number, path): &(u64, PathBuf)| match header(path) {
        Ok(Ok(SegmentHeader::Checksummed(link) | SegmentHeader::Json(link))) => {
            Numbering::Stated(link.first_seq)
        }
        Ok(_) if *number == 1 => Numbering::Stated(1),
        Ok(_) => {
            let summary = open(path).and_then(|file| scan_to_end(&file));
            Numbering::Counted(
                summary.ok().and_then(std::result::Result::ok).map_or(0, |summary| summary.records),
            )
        }
        Err(error) => {
            tracing::warn!(segment = %path.display(), %error, "could not read a header");
            Numbering::Counted(0)
        }
    };
    let active = link.map(|link| Numbering::Stated(link.first_seq));
    let Ok(first) = count_back(rotated.iter().map(numbering).chain(active).map(Ok::<_, Infallible>));
    first
}

/// The position at which the segment after the rotated ones starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NextPosition {
    pub(crate) next_seq: u64,
    /// The last seal of the newest rotated segment.
    pub(crate) last_seal: Option<u32>,
}

/// A rotated segment whose records cannot be counted, so the segments after it have no sequence numbers.
#[derive(Debug, Clone)]
pub(crate) struct CountError {
    pub(crate) segment: PathBuf,
    pub(crate) offset: u64,
    pub(crate) line: u64,
    pub(crate) reason: String,
}

/// Counts the records of the rotated segments from the newest back to one whose header states a sequence number: one segment,
/// unless `ministore` 0.1.7 wrote them. If no header states one, the oldest segment starts with 1. A torn tail of the newest
/// segment does not count.
pub(crate) fn next_position(
    rotated: &[(u64, PathBuf)],
    mut scan: impl FnMut(&PathBuf) -> Result<std::result::Result<SegmentSummary, HeaderError>>,
) -> Result<std::result::Result<NextPosition, CountError>> {
    let (mut records, mut last_seal) = (0, None);
    for (index, (_, path)) in rotated.iter().enumerate().rev() {
        let count_error =
            |offset, line, reason: String| CountError { segment: path.clone(), offset, line, reason };
        let summary = match scan(path)? {
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
            return Ok(Ok(NextPosition { next_seq: link.first_seq + records, last_seal }));
        }
    }
    Ok(Ok(NextPosition { next_seq: 1 + records, last_seal }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(segments: &[Numbering]) -> u64 {
        let Ok(first) = count_back(segments.iter().copied().map(Ok::<_, Infallible>));
        first
    }

    #[test]
    fn counting_ends_at_the_first_stated_number() {
        use Numbering::{Counted, Stated};
        assert_eq!(count(&[]), 1);
        assert_eq!(count(&[Counted(5), Counted(6)]), 1);
        assert_eq!(count(&[Stated(7), Counted(6)]), 7);
        assert_eq!(count(&[Counted(5), Counted(6), Stated(20), Stated(99)]), 9);
        // More records than the number allows: one of the headers is wrong.
        assert_eq!(count(&[Counted(50), Stated(20)]), 1);
    }
}
