//! Positions between two groups at which a scan can be resumed.

use super::tail::NextGroupStart;
use crate::format::{Chain, SegmentHeader};

/// A position between two groups at which a scan can be resumed. The bytes before it were verified, and are assumed unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScanPosition {
    pub(super) header: SegmentHeader,
    pub(super) last_seal: Option<u32>,
    pub(super) group: NextGroupStart,
    pub(super) data_end: u64,
    pub(super) has_newline: bool,
    pub(super) closed: bool,
}

/// A compact form of a [`ScanPosition`] right after a seal and its LF, as nearly all of them are, for an index of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexPoint {
    /// The offset of the next group.
    pub(crate) offset: u64,
    /// The seal before that group.
    pub(crate) seal: u32,
}

impl ScanPosition {
    /// Returns the compact form; `None` if [`at`](Self::at) does not restore this position from it.
    pub(crate) fn index_point(&self) -> Option<IndexPoint> {
        let index_point = IndexPoint { offset: self.group.offset, seal: self.last_seal? };
        (Self::at(self.header, self.group.line, index_point) == *self).then_some(index_point)
    }

    /// Returns the position of an index point, in a segment with this header; `line` is the next line.
    pub(crate) fn at(header: SegmentHeader, line: u64, IndexPoint { offset, seal }: IndexPoint) -> Self {
        Self {
            header,
            last_seal: Some(seal),
            group: NextGroupStart { offset, line, chain: Chain::from_seal(seal) },
            data_end: offset.saturating_sub(1),
            has_newline: true,
            closed: false,
        }
    }

    /// Returns the offset of the next group.
    pub(crate) fn offset(&self) -> u64 {
        self.group.offset
    }

    /// Returns the number of the next line, counted from 1 in the file.
    pub(crate) fn line(&self) -> u64 {
        self.group.line
    }

    /// Adds the number of lines before this position's scan was started, which counted from 0.
    pub(crate) fn with_lines_before(mut self, lines: u64) -> Self {
        self.group.line += lines;
        self
    }
}
