//! Places between two groups where a scan can be taken up again.

use super::tail::Start;
use crate::format::{Chain, Header};

/// A place between two groups where a scan can be taken up again. Everything before it was verified, and is taken to be
/// as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(super) header: Header,
    pub(super) last_seal: Option<u32>,
    pub(super) group: Start,
    pub(super) data_end: u64,
    pub(super) terminated: bool,
    pub(super) marked: bool,
}

/// A place right behind a seal and its LF, as nearly all of them are: what is to be remembered of it, to remember many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waypoint {
    /// Where the next group begins.
    pub(crate) offset: u64,
    /// The seal before it.
    pub(crate) seal: u32,
}

impl Place {
    /// What is to be remembered of this place. `None` where that is not enough to find it again.
    pub(crate) fn waypoint(&self) -> Option<Waypoint> {
        let waypoint = Waypoint { offset: self.group.offset, seal: self.last_seal? };
        (Self::at(self.header, self.group.line, waypoint) == *self).then_some(waypoint)
    }

    /// The place in a segment with this header, before this line.
    pub(crate) fn at(header: Header, line: u64, Waypoint { offset, seal }: Waypoint) -> Self {
        Self {
            header,
            last_seal: Some(seal),
            group: Start { offset, line, chain: Chain::after(seal) },
            data_end: offset.saturating_sub(1),
            terminated: true,
            marked: false,
        }
    }

    /// Where the next group begins.
    pub(crate) fn offset(&self) -> u64 {
        self.group.offset
    }
}
