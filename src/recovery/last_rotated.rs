//! The newest archived segment: whether it was closed, and whether the active one continues it. Where its last bytes
//! tell, no more of it is read.

use std::{io, path::Path};

use super::scan_cache::ScanCache;
use crate::journal::segment_summary::SegmentSummary;
use crate::{
    format::scan::{SegmentEnd, Tail, read_header},
    format::{ChainLink, Header, LF},
    io::{FileHandle, FileSystem, OpenMode},
    journal::ownership::closing_seal,
};

/// The newest archived segment, as far as it had to be read.
#[derive(Debug)]
pub(super) enum LastRotated {
    Absent,
    Closed { last_seal: Option<u32> },
    Unfinished { summary: SegmentSummary },
    Corrupt { tail: Option<Tail>, reason: String },
}

impl LastRotated {
    /// `successor` is what the active segment's header says of this one.
    pub(super) fn inspect(
        disk: &dyn FileSystem,
        path: &Path,
        successor: Option<ChainLink>,
        cache: &mut ScanCache,
    ) -> io::Result<Self> {
        let file = disk.open(path, OpenMode::ReadOnly)?;
        // Where the active segment says what it follows, the end is enough to see. Else this one is to be read
        // anyway, to give the next its numbers: better before anything is changed.
        if let Some(link) = successor {
            match closing_seal(&*file)? {
                Some(seal) if seal != link.prev => return Ok(Self::unlinked()),
                Some(seal) => return Ok(Self::Closed { last_seal: Some(seal) }),
                None if ends_plainly(&*file)? => return Ok(Self::Closed { last_seal: None }),
                None => {}
            }
        }
        let summary = match cache.scan(path, &*file)? {
            Ok(summary) => summary,
            Err(fault) => return Ok(Self::damaged(&fault.to_string())),
        };
        let SegmentEnd { last_seal, ref tail, has_newline, data_end, file_end, closed, .. } = summary.end;
        if let Some(tail) = tail.as_ref().filter(|tail| tail.damaged) {
            return Ok(Self::Corrupt { reason: tail.reason.into(), tail: Some(tail.clone()) });
        }
        if successor.is_some_and(|link| last_seal.unwrap_or(0) != link.prev) {
            return Ok(Self::unlinked());
        }
        let whole = tail.is_none() && has_newline && file_end <= data_end + 2;
        if whole && (closed || summary.header == Header::Plain) {
            return Ok(Self::Closed { last_seal });
        }
        Ok(Self::Unfinished { summary })
    }

    pub(super) fn damaged(reason: &str) -> Self {
        Self::Corrupt { tail: None, reason: reason.into() }
    }

    fn unlinked() -> Self {
        Self::damaged(
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

/// Whether it is plain and ends in LF, as the original leaves it.
fn ends_plainly(file: &dyn FileHandle) -> io::Result<bool> {
    let mut last = [0];
    let Some(offset) = file.len()?.checked_sub(1) else { return Ok(false) };
    file.read_at(&mut last, offset)?;
    Ok(last == [LF] && read_header(file)? == Ok(Header::Plain))
}
