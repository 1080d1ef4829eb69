//! Places between two groups where a scan can be taken up again.

use super::tail::Start;
use crate::format::Header;

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

impl Place {
    /// Where the next group begins.
    pub(crate) fn offset(&self) -> u64 {
        self.group.offset
    }
}
