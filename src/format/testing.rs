//! Builds segments in memory, byte by byte, for tests to read, truncate and damage.

use super::{CLOSE_MARKER, Chain, ChainLink, Header, LF, PADDING, seal};

/// The header of the first segment of a journal.
pub(crate) const FIRST: Header = Header::Checksummed(ChainLink { first_seq: 1, prev_seal: 0 });

/// A segment up to its last line.
#[derive(Debug, Clone)]
pub(crate) struct SegmentBytes {
    bytes: Vec<u8>,
    chain: Chain,
    last_seal: u32,
}

impl SegmentBytes {
    pub(crate) fn new(header: Header) -> Self {
        let bytes = header.encode();
        Self { chain: Chain::from_header(&bytes), bytes, last_seal: 0 }
    }

    /// Adds a commit group: `LF lines seal`.
    pub(crate) fn group<L: AsRef<[u8]>>(mut self, lines: &[L]) -> Self {
        for line in lines {
            self = self.line(line);
        }
        self.last_seal = self.chain.seal();
        self.chain = Chain::from_seal(self.last_seal);
        self.bytes.extend_from_slice(&seal::encode(self.last_seal));
        self
    }

    /// Adds a line without a seal: `LF line`.
    pub(crate) fn line(mut self, line: impl AsRef<[u8]>) -> Self {
        self.bytes.push(LF);
        self.bytes.extend_from_slice(line.as_ref());
        self.chain.push(line.as_ref());
        self
    }

    /// Returns the offset of the next LF.
    pub(crate) fn data_end(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the value of the last seal; 0 if there is none.
    pub(crate) fn last_seal(&self) -> u32 {
        self.last_seal
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
