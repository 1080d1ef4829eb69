//! Inspects the newest rotated segment: whether it is closed, and whether the active segment continues it. Reads only its last bytes
//! where those are sufficient.

use std::{io, path::Path};

use super::scan_cache::ScanCache;
use crate::journal::segment_summary::SegmentSummary;
use crate::{
    format::scan::{SegmentEnd, Tail, read_header},
    format::{ChainLink, LF, SegmentHeader},
    io::{FileHandle, FileSystem, OpenMode},
    journal::chain::closing_seal,
};

/// The newest rotated segment, as far as it was read.
#[derive(Debug)]
pub(super) enum LastRotated {
    Absent,
    Closed { last_seal: Option<u32> },
    Unfinished { summary: SegmentSummary },
    Corrupt { tail: Option<Tail>, reason: String },
}

impl LastRotated {
    /// Inspects the segment. `successor` is the link in the header of the active segment.
    pub(super) fn inspect(
        fs: &dyn FileSystem,
        path: &Path,
        successor: Option<ChainLink>,
        cache: &mut ScanCache,
    ) -> io::Result<Self> {
        let file = fs.open(path, OpenMode::ReadOnly)?;
        // If the active segment has a link, the end of this one is sufficient. Otherwise the whole segment is read, before any file is
        // changed, because its records are counted for the sequence numbers of the next one.
        if let Some(link) = successor {
            match closing_seal(&*file)? {
                Some(seal) if seal != link.prev_seal => return Ok(Self::unlinked()),
                Some(seal) => return Ok(Self::Closed { last_seal: Some(seal) }),
                None if is_closed_plain(&*file)? => return Ok(Self::Closed { last_seal: None }),
                None => {}
            }
        }
        let summary = match cache.scan(path, &*file)? {
            Ok(summary) => summary,
            Err(error) => return Ok(Self::corrupt(&error.to_string())),
        };
        let SegmentEnd { last_seal, ref tail, has_newline, data_end, file_end, closed, .. } = summary.end;
        if let Some(tail) = tail.as_ref().filter(|tail| tail.is_corrupt) {
            return Ok(Self::Corrupt { reason: tail.reason.into(), tail: Some(tail.clone()) });
        }
        if successor.is_some_and(|link| last_seal.unwrap_or(0) != link.prev_seal) {
            return Ok(Self::unlinked());
        }
        let is_complete = tail.is_none() && has_newline && file_end <= data_end + 2;
        if is_complete && (closed || summary.header == SegmentHeader::Plain) {
            return Ok(Self::Closed { last_seal });
        }
        Ok(Self::Unfinished { summary })
    }

    pub(super) fn corrupt(reason: &str) -> Self {
        Self::Corrupt { tail: None, reason: reason.into() }
    }

    fn unlinked() -> Self {
        Self::corrupt(
            "the active segment does not continue it: a segment is missing or is not of this journal",
        )
    }

    pub(super) fn last_seal(&self) -> Option<u32> {
        match self {
            Self::Closed { last_seal } => *last_seal,
            Self::Unfinished { summary } => summary.end.last_seal,
            Self::Absent | Self::Corrupt { .. } => None,
        }
    }
}

/// Returns whether the segment is plain and ends in an LF, as `ministore` 0.1.7 leaves it.
fn is_closed_plain(file: &dyn FileHandle) -> io::Result<bool> {
    let mut last = [0];
    let Some(offset) = file.len()?.checked_sub(1) else { return Ok(false) };
    file.read_at(&mut last, offset)?;
    Ok(last == [LF] && read_header(file)? == Ok(SegmentHeader::Plain))
}
