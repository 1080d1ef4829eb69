//! Probes a segment that is written while it is read for the bytes after a position. The bytes *before* a position never change;
//! after it, groups overwrite padding, and an LF overwrites the close marker.

use std::io;

use super::{ReadAt, ScanPosition};
use crate::{
    format::{CLOSE_MARKER, Chain, LF, PADDING, SEAL_LEN, SegmentHeader, seal},
    options::ReadLimits,
};

/// Bytes read after a position: a seal, the close marker, an LF and the first byte of a group.
const PROBE_BYTES: usize = SEAL_LEN + 3;

/// Bytes of one read in the search for an LF.
const SEARCH_BYTES: u64 = 64 << 10;

/// The content of a segment after the data that ends at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProbeResult {
    /// The end of the file, or padding.
    Empty,
    /// An LF: the start of a group, or the end of the data. A scan continues from this position.
    Newline(ScanPosition),
    /// An LF, and a group or a part of one. The data before it is durable, because the writer starts a group only after the
    /// previous one is durable.
    Group(ScanPosition),
    /// The close marker. The data before it is durable too.
    CloseMarker(ScanPosition),
    /// Bytes that no writer writes there.
    Unexpected,
    /// The seal before the position is missing.
    Lost,
}

impl ScanPosition {
    /// Returns the end of the last verified group.
    pub(crate) fn data_end(&self) -> u64 {
        self.data_end
    }

    /// Returns the last seal before the position in the segment.
    pub(crate) fn last_seal(&self) -> Option<u32> {
        self.last_seal
    }

    /// Returns the last seal before the position, read from the file if the segment was plain: a plain segment gets a seal after its
    /// last line when it is opened for writing.
    ///
    /// # Errors
    ///
    /// The error of a failed read.
    pub(crate) fn last_seal_now(&self, source: &(impl ReadAt + ?Sized)) -> io::Result<Option<u32>> {
        if !self.is_plain() {
            return Ok(self.last_seal);
        }
        let mut bytes = [0; SEAL_LEN];
        let count = read_full(source, &mut bytes, self.data_end)?;
        Ok(seal::decode(&bytes[..count]).filter(|value| *value == self.group.chain.seal()))
    }

    /// Returns whether the next lines are valid without a seal.
    pub(crate) fn is_plain(&self) -> bool {
        self.header == SegmentHeader::Plain && self.last_seal.is_none()
    }

    /// Reads the bytes after the position.
    ///
    /// # Errors
    ///
    /// The error of a failed read.
    pub(crate) fn probe_next(&self, source: &(impl ReadAt + ?Sized)) -> io::Result<ProbeResult> {
        let mut bytes = [0; SEAL_LEN + PROBE_BYTES];
        let seal_len = if self.last_seal.is_some() { SEAL_LEN } else { 0 };
        let wanted = &mut bytes[..seal_len + PROBE_BYTES];
        let count = read_full(source, wanted, self.data_end - seal_len as u64)?;
        let Some((last_seal, after)) = wanted[..count].split_at_checked(seal_len) else {
            return Ok(ProbeResult::Lost);
        };
        if self.last_seal.is_some() && seal::decode(last_seal) != self.last_seal {
            return Ok(ProbeResult::Lost);
        }
        Ok(match seal::decode(after).filter(|_| self.is_plain()) {
            // A plain segment was opened for writing, and its lines got a seal.
            Some(value) if value == self.group.chain.seal() => {
                self.with_seal(value).classify(&after[SEAL_LEN..])
            }
            Some(_) => ProbeResult::Unexpected,
            None => self.classify(after),
        })
    }

    fn classify(self, after: &[u8]) -> ProbeResult {
        match after {
            [] | [PADDING | 0, ..] => ProbeResult::Empty,
            [LF] | [LF, PADDING | 0, ..] => ProbeResult::Newline(self.advanced(1, false)),
            [LF, ..] => ProbeResult::Group(self.advanced(1, false)),
            // A scan decides what the bytes after the close marker mean.
            [CLOSE_MARKER, LF] => ProbeResult::CloseMarker(self.advanced(2, true)),
            [CLOSE_MARKER, LF, ..] => ProbeResult::Group(self.advanced(2, true)),
            // A close marker, or the seal of a plain segment, whose write is in progress.
            [CLOSE_MARKER, ..] => ProbeResult::Empty,
            _ => ProbeResult::Unexpected,
        }
    }

    /// Returns the position after `bytes` more bytes, of which the last is an LF.
    fn advanced(self, bytes: u64, closed: bool) -> Self {
        let mut position = self;
        position.group.offset = self.data_end + bytes;
        (position.has_newline, position.closed) = (true, closed);
        position
    }

    fn with_seal(self, value: u32) -> Self {
        let mut position = self;
        position.data_end += SEAL_LEN as u64;
        position.group.chain = Chain::from_seal(value);
        position.last_seal = Some(value);
        position
    }
}

/// A source that ends at `end`, so that the padding after it is not read.
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

    fn read_limits(&self) -> ReadLimits {
        self.source.read_limits()
    }
}

/// Returns the offset after the last LF between two offsets: the lines before it are whole.
///
/// # Errors
///
/// The error of a failed read.
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
