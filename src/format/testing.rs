//! Builds segments in memory, byte by byte, for tests to read, truncate and damage.

use super::{CLOSE_MARKER, ChainLink, DataEnd, GroupLayout, LF, PADDING, SegmentHeader, encode_group};

/// The header of the first segment of a journal.
pub(crate) const FIRST: SegmentHeader = SegmentHeader::Checksummed(ChainLink { first_seq: 1, prev_seal: 0 });

/// The same header as a JSON object.
pub(crate) const FIRST_JSON: SegmentHeader = SegmentHeader::Json(ChainLink { first_seq: 1, prev_seal: 0 });

/// A segment up to its last line.
#[derive(Debug, Clone)]
pub(crate) struct SegmentBytes {
    bytes: Vec<u8>,
    end: DataEnd,
}

impl SegmentBytes {
    pub(crate) fn new(header: SegmentHeader) -> Self {
        let bytes = header.encode();
        Self { end: DataEnd::after_header(&bytes), bytes }
    }

    /// Adds a commit group: `LF lines seal`.
    pub(crate) fn group<L: AsRef<[u8]>>(self, lines: &[L]) -> Self {
        self.encoded(lines, true)
    }

    /// Adds a line without a seal: `LF line`.
    pub(crate) fn line(self, line: impl AsRef<[u8]>) -> Self {
        self.encoded(&[line], false)
    }

    fn encoded<L: AsRef<[u8]>>(mut self, lines: &[L], checksummed: bool) -> Self {
        let layout = GroupLayout { checksummed, padded_to: None };
        let lines = lines.iter().map(AsRef::as_ref);
        self.end = encode_group(&mut self.bytes, self.end, layout, lines).data_end;
        self.bytes.truncate(self.data_end());
        self
    }

    /// Returns the offset of the next LF.
    pub(crate) fn data_end(&self) -> usize {
        self.end.offset as usize
    }

    /// Returns the value of the last seal; 0 if there is none.
    pub(crate) fn last_seal(&self) -> u32 {
        self.end.last_seal.unwrap_or(0)
    }

    /// Returns the bytes up to the last line.
    pub(crate) fn bare(self) -> Vec<u8> {
        self.bytes
    }

    /// Returns the bytes of a segment with preallocated space.
    pub(crate) fn padded(self, spaces: usize) -> Vec<u8> {
        self.followed_by(&vec![PADDING; spaces])
    }

    /// Returns the bytes of a segment without preallocated space.
    pub(crate) fn ended(self) -> Vec<u8> {
        self.followed_by(&[LF])
    }

    /// Returns the bytes of a closed segment.
    pub(crate) fn closed(self) -> Vec<u8> {
        self.followed_by(&[CLOSE_MARKER, LF])
    }

    pub(crate) fn followed_by(mut self, bytes: &[u8]) -> Vec<u8> {
        self.bytes.extend_from_slice(bytes);
        self.bytes
    }
}
