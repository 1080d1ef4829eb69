//! Whether one segment continues another: compares the last seal of the first with the link in the header of the second.

use std::io;

use super::segment_summary::scan_to_end;
use crate::{
    format::{CLOSE_MARKER, LF, SEAL_LEN, SegmentHeader, scan::read_header, seal},
    io::FileHandle,
};

/// Whether one segment continues another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChainRelation {
    /// The second continues the first.
    Continues,
    /// The second provably does not continue the first.
    Unrelated,
    /// One of them has no checksums, or is damaged.
    Unknown,
}

impl ChainRelation {
    pub(crate) fn or(self, other: Self) -> Self {
        if self == Self::Unknown { other } else { self }
    }
}

/// Compares the last seal of a segment with the one that the next segment's header stores. Reads the whole first
/// segment only if it is not closed.
pub(crate) fn follows(segment: &dyn FileHandle, next: &dyn FileHandle) -> io::Result<ChainRelation> {
    let header = read_header(next)?;
    let Some(link) = header.ok().and_then(SegmentHeader::link) else { return Ok(ChainRelation::Unknown) };
    let last_seal = match closing_seal(segment)? {
        Some(seal) => seal,
        None => match scan_to_end(segment)? {
            Ok(scanned) if scanned.end.tail.is_none() => scanned.end.last_seal.unwrap_or(0),
            _ => return Ok(ChainRelation::Unknown),
        },
    };
    Ok(if last_seal == link.prev_seal { ChainRelation::Continues } else { ChainRelation::Unrelated })
}

/// Returns the last seal of a segment that has a close marker, or `None` for another file.
pub(crate) fn closing_seal(file: &dyn FileHandle) -> io::Result<Option<u32>> {
    let mut closing = [0; SEAL_LEN + 2];
    let Some(offset) = file.len()?.checked_sub(closing.len() as u64) else { return Ok(None) };
    if file.read_at(&mut closing, offset)? != closing.len() || !closing.ends_with(&[CLOSE_MARKER, LF]) {
        return Ok(None);
    }
    Ok(seal::decode(&closing))
}
