//! Places between two groups where a scan can be taken up again.

use super::tail::GroupStart;
use crate::format::{Chain, Header};

/// A place between two groups where a scan can be taken up again. Everything before it was verified, and is taken to be
/// as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScanPosition {
    pub(super) header: Header,
    pub(super) last_seal: Option<u32>,
    pub(super) group: GroupStart,
    pub(super) data_end: u64,
    pub(super) has_newline: bool,
    pub(super) closed: bool,
}

/// A place right behind a seal and its LF, as nearly all of them are: what is to be remembered of it, to remember many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexPoint {
    /// Where the next group begins.
    pub(crate) offset: u64,
    /// The seal before it.
    pub(crate) seal: u32,
}

impl ScanPosition {
    /// What is to be remembered of this place. `None` where that is not enough to find it again.
    pub(crate) fn index_point(&self) -> Option<IndexPoint> {
        let index_point = IndexPoint { offset: self.group.offset, seal: self.last_seal? };
        (Self::at(self.header, self.group.line, index_point) == *self).then_some(index_point)
    }

    /// The place in a segment with this header, before this line.
    pub(crate) fn at(header: Header, line: u64, IndexPoint { offset, seal }: IndexPoint) -> Self {
        Self {
            header,
            last_seal: Some(seal),
            group: GroupStart { offset, line, chain: Chain::from_seal(seal) },
            data_end: offset.saturating_sub(1),
            has_newline: true,
            closed: false,
        }
    }

    /// Where the next group begins.
    pub(crate) fn offset(&self) -> u64 {
        self.group.offset
    }
}
