//! The state of the queue, under its lock.

use std::collections::VecDeque;

use super::{
    group::{Group, GroupBuffers},
    waiting_list::WaitingList,
};

/// Groups whose buffers are kept for later ones: one group is filled while another is committed.
pub(super) const RETAINED_BUFFERS: usize = 2;

#[derive(Debug, Default)]
pub(super) struct QueueState {
    /// Groups that accept no more appends, oldest first.
    pub(super) full: VecDeque<Group>,
    /// The group that is being filled.
    pub(super) open: Option<Group>,
    /// Groups that were opened so far.
    pub(super) opened: u64,
    /// Buffers of completed groups, for new ones.
    pub(super) spare: Vec<GroupBuffers>,
    pub(super) writer: WriterState,
    /// A caller found no capacity: the commit of the group that is being filled is not delayed.
    pub(super) flush_requested: bool,
    /// Appends that wait for capacity. While there is one, no commit is delayed.
    pub(super) waiting: WaitingList,
    /// Every handle was dropped.
    pub(super) is_disconnected: bool,
    /// Appends are rejected.
    pub(super) appends_closed: bool,
    /// All messages are rejected.
    pub(super) is_closed: bool,
}

/// What the writer thread does, as far as callers need to know.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriterState {
    /// It checks the queue before it waits: callers need not wake it.
    #[default]
    Busy,
    /// It waits for any event.
    Parked,
    /// It waits for the group that is being filled to become full.
    Delaying,
}

impl QueueState {
    /// Lets the group that is being filled accept no more appends.
    pub(super) fn end_group(&mut self) {
        self.full.extend(self.open.take());
    }
}
