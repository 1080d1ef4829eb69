//! A segment that is written while it is read: what stands behind a place by now. What stands *before* a place never
//! changes; behind it padding gives way to groups, and the closed mark to an LF.

use std::io;

use super::{ReadAt, ScanPosition};
use crate::format::{CLOSE_MARKER, Chain, Header, LF, PADDING, SEAL_LEN, seal};

/// Bytes looked at behind a place: a seal, the closed mark, an LF and the first byte of what follows.
const BEHIND_BYTES: usize = SEAL_LEN + 3;

/// Bytes read at a time in search of an LF.
const SEARCH_BYTES: u64 = 64 << 10;

/// What stands behind the data of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProbeResult {
    /// Nothing yet: the end of the file, or padding.
    Nothing,
    /// The LF that a group begins with, or the data end in: a scan goes on from this place.
    Lf(ScanPosition),
    /// An LF, and a group after it, or a part of one. What stands before it is durable, for a writer begins a group only
    /// when the one before it is.
    Group(ScanPosition),
    /// The closed mark. What stands before it is durable, too.
    Mark(ScanPosition),
    /// Something that no writer puts there.
    Foreign,
    /// The seal before the place is not there any more.
    Lost,
}

impl ScanPosition {
    /// Behind the last verified group.
    pub(crate) fn data_end(&self) -> u64 {
        self.data_end
    }

    /// The last seal before it in the segment.
    pub(crate) fn last_seal(&self) -> Option<u32> {
        self.last_seal
    }

    /// The same as it is by now: a plain segment that was opened for writing has one behind the last of its lines.
    ///
    /// # Errors
    ///
    /// What the source says.
    pub(crate) fn last_seal_now(&self, source: &(impl ReadAt + ?Sized)) -> io::Result<Option<u32>> {
        if !self.is_plain() {
            return Ok(self.last_seal);
        }
        let mut bytes = [0; SEAL_LEN];
        let count = read_full(source, &mut bytes, self.data_end)?;
        Ok(seal::decode(&bytes[..count]).filter(|value| *value == self.group.chain.seal()))
    }

    /// Whether the lines to come are valid without a seal.
    pub(crate) fn is_plain(&self) -> bool {
        self.header == Header::Plain && self.last_seal.is_none()
    }

    /// Looks at what stands behind it now.
    ///
    /// # Errors
    ///
    /// What the source says.
    pub(crate) fn probe_next(&self, source: &(impl ReadAt + ?Sized)) -> io::Result<ProbeResult> {
        let mut bytes = [0; SEAL_LEN + BEHIND_BYTES];
        let before = if self.last_seal.is_some() { SEAL_LEN } else { 0 };
        let wanted = &mut bytes[..before + BEHIND_BYTES];
        let count = read_full(source, wanted, self.data_end - before as u64)?;
        let Some((own, behind)) = wanted[..count].split_at_checked(before) else {
            return Ok(ProbeResult::Lost);
        };
        if self.last_seal.is_some() && seal::decode(own) != self.last_seal {
            return Ok(ProbeResult::Lost);
        }
        Ok(match seal::decode(behind).filter(|_| self.is_plain()) {
            // A plain segment was opened for writing, and its lines were put under a seal.
            Some(value) if value == self.group.chain.seal() => {
                self.under_seal(value).classify_tail(&behind[SEAL_LEN..])
            }
            Some(_) => ProbeResult::Foreign,
            None => self.classify_tail(behind),
        })
    }

    fn classify_tail(self, behind: &[u8]) -> ProbeResult {
        match behind {
            [] | [PADDING | 0, ..] => ProbeResult::Nothing,
            [LF] | [LF, PADDING | 0, ..] => ProbeResult::Lf(self.behind(1, false)),
            [LF, ..] => ProbeResult::Group(self.behind(1, false)),
            // Whatever follows the mark is for a scan to judge.
            [CLOSE_MARKER, LF] => ProbeResult::Mark(self.behind(2, true)),
            [CLOSE_MARKER, LF, ..] => ProbeResult::Group(self.behind(2, true)),
            // A mark, or the seal of a plain segment, that is just being written.
            [CLOSE_MARKER, ..] => ProbeResult::Nothing,
            _ => ProbeResult::Foreign,
        }
    }

    fn behind(self, bytes: u64, closed: bool) -> Self {
        let mut position = self;
        position.group.offset = self.data_end + bytes;
        (position.has_newline, position.closed) = (true, closed);
        position
    }

    fn under_seal(self, value: u32) -> Self {
        let mut position = self;
        position.data_end += SEAL_LEN as u64;
        position.group.chain = Chain::from_seal(value);
        position.last_seal = Some(value);
        position
    }
}

/// A source that ends earlier: what is padding behind that need not be read.
#[derive(Debug, Clone)]
pub(crate) struct BoundedSource<S> {
    pub(crate) source: S,
    pub(crate) end: u64,
}

impl<S: ReadAt> ReadAt for BoundedSource<S> {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = into.len().min(left);
        self.source.read_at(&mut into[..count], offset)
    }
}

/// Behind the last LF between two places: lines are whole up to there.
///
/// # Errors
///
/// What the source says.
pub(crate) fn last_newline_before(
    source: &(impl ReadAt + ?Sized),
    start: u64,
    end: u64,
) -> io::Result<Option<u64>> {
    let mut to = end;
    while to > start {
        let from = to.saturating_sub(SEARCH_BYTES).max(start);
        let mut bytes = vec![0; (to - from) as usize];
        let count = read_full(source, &mut bytes, from)?;
        if let Some(at) = memchr::memrchr(LF, &bytes[..count]) {
            return Ok(Some(from + at as u64 + 1));
        }
        to = from;
    }
    Ok(None)
}

/// Reads until the buffer is full or the source ends.
fn read_full(source: &(impl ReadAt + ?Sized), into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match source.read_at(&mut into[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
