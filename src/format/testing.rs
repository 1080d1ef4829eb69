//! Segments in memory, composed byte by byte: what tests read, cut and damage.

use super::{CLOSE_MARKER, Chain, ChainLink, Header, LF, PADDING, seal};

/// The header of a journal's first segment.
pub(crate) const FIRST: Header = Header::Sealed(ChainLink { first: 1, prev: 0 });

/// A segment up to the last thing written into it.
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

    /// Where the next LF is to stand.
    pub(crate) fn data_end(&self) -> usize {
        self.bytes.len()
    }

    /// The last seal; 0 for none.
    pub(crate) fn last_seal(&self) -> u32 {
        self.last_seal
    }

    /// Nothing follows.
    pub(crate) fn bare(self) -> Vec<u8> {
        self.bytes
    }

    /// As a segment that is written ahead.
    pub(crate) fn padded(self, spaces: usize) -> Vec<u8> {
        self.followed_by(&vec![PADDING; spaces])
    }

    /// As a segment that is not written ahead.
    pub(crate) fn ended(self) -> Vec<u8> {
        self.followed_by(&[LF])
    }

    /// As a segment that is complete.
    pub(crate) fn closed(self) -> Vec<u8> {
        self.followed_by(&[CLOSE_MARKER, LF])
    }

    pub(crate) fn followed_by(mut self, bytes: &[u8]) -> Vec<u8> {
        self.bytes.extend_from_slice(bytes);
        self.bytes
    }
}
