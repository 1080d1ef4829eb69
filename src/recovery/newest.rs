//! The newest archived segment: whether it was closed, and whether the active one continues it. Where its last bytes
//! tell, no more of it is read.

use std::{io, path::Path};

use super::{scanned::Scanned, seen::Seen};
use crate::{
    device::{Disk, DiskFile, Open},
    format::{Header, LF, Link},
    ownership::closing_seal,
    scan::{End, Tail, read_header},
};

/// The newest archived segment, as far as it had to be read.
#[derive(Debug)]
pub(super) enum Newest {
    Absent,
    Closed { last_seal: Option<u32> },
    Unfinished { scanned: Scanned },
    Damaged { tail: Option<Tail>, reason: String },
}

impl Newest {
    /// `successor` is what the active segment's header says of this one.
    pub(super) fn observe(
        disk: &dyn Disk,
        path: &Path,
        successor: Option<Link>,
        seen: &mut Seen,
    ) -> io::Result<Self> {
        let file = disk.open(path, Open::Read)?;
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
        let scanned = match seen.scan(path, &*file)? {
            Ok(scanned) => scanned,
            Err(fault) => return Ok(Self::damaged(&fault.to_string())),
        };
        let End { last_seal, ref tail, terminated, data_end, file_end, marked, .. } = scanned.end;
        if let Some(tail) = tail.as_ref().filter(|tail| tail.damaged) {
            return Ok(Self::Damaged { reason: tail.reason.into(), tail: Some(tail.clone()) });
        }
        if successor.is_some_and(|link| last_seal.unwrap_or(0) != link.prev) {
            return Ok(Self::unlinked());
        }
        let whole = tail.is_none() && terminated && file_end <= data_end + 2;
        if whole && (marked || scanned.header == Header::Plain) {
            return Ok(Self::Closed { last_seal });
        }
        Ok(Self::Unfinished { scanned })
    }

    pub(super) fn damaged(reason: &str) -> Self {
        Self::Damaged { tail: None, reason: reason.into() }
    }

    fn unlinked() -> Self {
        Self::damaged(
            "the active segment does not continue it: a segment is missing or is not of this journal",
        )
    }

    pub(super) fn last_seal(&self) -> Option<u32> {
        match self {
            Self::Closed { last_seal } => *last_seal,
            Self::Unfinished { scanned } => scanned.end.last_seal,
            Self::Absent | Self::Damaged { .. } => None,
        }
    }
}

/// Whether it is plain and ends in LF, as the original leaves it.
fn ends_plainly(file: &dyn DiskFile) -> io::Result<bool> {
    let mut last = [0];
    let Some(offset) = file.len()?.checked_sub(1) else { return Ok(false) };
    file.read_at(&mut last, offset)?;
    Ok(last == [LF] && read_header(file)? == Ok(Header::Plain))
}
