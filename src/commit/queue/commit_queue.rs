//! The queue itself: its state, its capacity, and when it wakes the writer thread.

use std::{collections::VecDeque, fmt, mem, sync::Arc, task::Wake};

use super::{
    command::{Command, Disconnected, Recv},
    completion::GroupSlot,
    group::{Group, GroupBuffers},
    queued_append::QueuedAppend,
    waiting_list::{Resolved, Ticket, WaitingList},
};
use crate::{
    journal::status::StoreStatus,
    seeded_bugs::{Bug, seeded},
    sync::{AtomicU64, Condvar, Mutex, MutexGuard, Ordering, PoisonError},
};

/// Groups whose buffers are kept for later ones: one group is filled while another is committed.
pub(super) const RETAINED_BUFFERS: usize = 2;

/// Bytes and appends that one thread moves from the waiting list into the queue before it unlocks the queue for others.
pub(super) const ACCEPTED_BYTES_PER_LOCK: usize = 64 << 10;
pub(super) const ACCEPTED_APPENDS_PER_LOCK: usize = 64;

pub(crate) struct CommitQueue {
    status: Arc<StoreStatus>,
    pub(super) state: Mutex<QueueState>,
    /// Notified when an event occurs that the writer thread waits for.
    pub(super) changed: Condvar,
    /// Appends in the queue. Changed under the lock; the writer thread reads it without the lock while it spins.
    appends: AtomicU64,
    /// Bytes in the queue, including those of the group that is being committed. Changed under the lock.
    used_bytes: AtomicU64,
    capacity_bytes: u64,
    /// A group that has this many bytes is full: no append is added to it.
    max_group_bytes: u64,
    /// The commit of a group that has this many bytes is not delayed.
    goal_bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct QueueState {
    commands: VecDeque<Command>,
    /// Buffers of completed groups, for new ones.
    pub(super) spare: Vec<GroupBuffers>,
    pub(super) writer: WriterState,
    /// [`CommitQueue::wake_writer`] was called, and the writer thread has not received it yet.
    wake_requested: bool,
    /// A caller found no capacity: the commit of the group that is being filled is not delayed.
    flush_requested: bool,
    /// Appends that wait for capacity. While there is one, no commit is delayed.
    waiting: WaitingList,
    /// Every handle was dropped.
    is_disconnected: bool,
    /// Appends are rejected.
    appends_closed: bool,
    /// All commands are rejected.
    commands_closed: bool,
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

impl CommitQueue {
    pub(crate) fn new(
        status: Arc<StoreStatus>,
        capacity_bytes: u32,
        max_group_bytes: u64,
        goal_bytes: u64,
    ) -> Self {
        Self {
            status,
            state: Mutex::default(),
            changed: Condvar::new(),
            appends: AtomicU64::new(0),
            used_bytes: AtomicU64::new(0),
            capacity_bytes: capacity_bytes.into(),
            max_group_bytes,
            goal_bytes,
        }
    }

    pub(crate) fn status(&self) -> &Arc<StoreStatus> {
        &self.status
    }

    /// Returns the bytes in the queue, including those of the group that is being committed.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Returns the number of appends in the queue. Takes no lock.
    pub(super) fn appends(&self) -> u64 {
        self.appends.load(Ordering::Relaxed)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a command after the newest group, which then accepts no more appends.
    pub(crate) fn control(&self, command: Command) -> Result<(), Disconnected> {
        let mut state = self.lock();
        if state.commands_closed {
            return Err(Disconnected);
        }
        let lost = seeded(Bug::GroupEndingCommandLost) && !state.commands.is_empty();
        if !lost {
            state.commands.push_back(command);
        }
        self.wake(state);
        Ok(())
    }

    /// Wakes the writer thread for an event that is not a command: it receives [`Recv::Wakeup`].
    pub(crate) fn wake_writer(&self) {
        let mut state = self.lock();
        state.wake_requested = true;
        self.wake(state);
    }

    /// Records that the last handle was dropped.
    pub(crate) fn disconnect(&self) {
        let mut state = self.lock();
        state.is_disconnected = true;
        self.wake(state);
    }

    /// Rejects all appends from now on, and those that wait.
    pub(crate) fn close_to_appends(&self) {
        let waiting = {
            let mut state = self.lock();
            state.appends_closed = true;
            state.waiting.drain()
        };
        waiting.for_each(|append| append.reject().notify());
    }

    /// Rejects appends and commands from now on. Returns the commands that were accepted before.
    pub(super) fn close(&self) -> VecDeque<Command> {
        let mut state = self.lock();
        (state.appends_closed, state.commands_closed) = (true, true);
        mem::take(&mut state.commands)
    }

    /// Returns whether a new append may be added to the queue at once.
    pub(super) fn has_capacity(
        &self,
        state: &QueueState,
        queued: &QueuedAppend,
    ) -> Result<bool, Disconnected> {
        if state.appends_closed {
            return Err(Disconnected);
        }
        let may_pass = state.waiting.is_empty() || seeded(Bug::AppendOvertakesWaiters);
        Ok(may_pass && u64::from(queued.permits) <= self.free_bytes())
    }

    fn free_bytes(&self) -> u64 {
        self.capacity_bytes.saturating_sub(self.used_bytes())
    }

    /// Adds an append to the group that is being filled, or to one of its own. From here on the capacity that it takes
    /// belongs to the group.
    #[inline]
    pub(super) fn add(&self, state: &mut QueueState, queued: &mut QueuedAppend) -> GroupSlot {
        let alone = queued.expected_seq.is_some();
        let open =
            |command: &&mut Command| matches!(command, Command::Commit(group) if !alone && !group.is_full());
        let slot = match state.commands.back_mut().filter(open) {
            Some(Command::Commit(group)) => group.add(queued),
            _ => {
                let buffers = state.spare.pop().unwrap_or_default();
                let mut group = Group::with_buffers(buffers, self.max_group_bytes, Arc::clone(&self.status));
                let slot = group.add(queued);
                state.commands.push_back(Command::Commit(group));
                slot
            }
        };
        update(&self.appends, |appends| appends + 1);
        update(&self.used_bytes, |bytes| bytes + u64::from(queued.permits));
        slot
    }

    /// Adds an append to the end of the waiting list.
    pub(super) fn add_waiting(&self, mut state: MutexGuard<'_, QueueState>, queued: QueuedAppend) -> Ticket {
        let ticket = state.waiting.push(queued);
        // The commit of the group that is being filled is not delayed any more.
        self.wake(state);
        ticket
    }

    /// Asks the writer thread not to delay the group that is being filled.
    pub(super) fn request_flush(&self, mut state: MutexGuard<'_, QueueState>) {
        state.flush_requested = true;
        self.wake(state);
    }

    /// Frees capacity that a group took.
    pub(super) fn free(&self, bytes: u64) {
        let state = self.lock();
        update(&self.used_bytes, |used| used.saturating_sub(bytes));
        if !seeded(Bug::FreedCapacityNotGranted) {
            self.accept_waiting(state);
        }
    }

    /// Moves waiting appends into the queue, first come, first served, until one does not fit.
    fn accept_waiting<'a>(&'a self, mut state: MutexGuard<'a, QueueState>) {
        loop {
            let accepted = self.accept_some(&mut state);
            self.wake(state);
            if accepted.is_empty() {
                return;
            }
            accepted.into_iter().for_each(Resolved::notify);
            state = self.lock();
        }
    }

    fn accept_some(&self, state: &mut QueueState) -> Vec<Resolved> {
        let (mut accepted, mut bytes) = (Vec::new(), 0);
        while !state.appends_closed
            && bytes < ACCEPTED_BYTES_PER_LOCK
            && accepted.len() < ACCEPTED_APPENDS_PER_LOCK
            && let Some(append) = state.waiting.pop_if_fits(self.free_bytes())
        {
            accepted.push(append.accept(|queued| {
                bytes += queued.lines.bytes().len();
                self.add(state, queued)
            }));
        }
        accepted
    }

    /// Removes an append from the waiting list, if it still waits.
    pub(super) fn stop_waiting(&self, ticket: &Ticket) {
        let mut state = self.lock();
        let (removed, was_first) = state.waiting.remove(ticket);
        if was_first {
            self.accept_waiting(state);
        } else {
            drop(state);
        }
        // After the others, and outside the lock: it runs code of the caller.
        drop(removed);
    }

    /// Wakes the writer thread if it waits for what `state` now contains.
    pub(super) fn wake(&self, mut state: MutexGuard<'_, QueueState>) {
        let wakes = match state.writer {
            WriterState::Busy => false,
            WriterState::Parked => true,
            WriterState::Delaying => !self.may_delay(&state),
        };
        if wakes {
            state.writer = WriterState::Busy;
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Returns whether the queue contains nothing but one group whose commit may be delayed.
    pub(super) fn may_delay(&self, state: &QueueState) -> bool {
        let below_goal = matches!(
            state.commands.front(),
            Some(Command::Commit(group)) if !group.is_full() && group.bytes() < self.goal_bytes
        );
        below_goal
            && state.commands.len() == 1
            && !state.flush_requested
            && state.waiting.is_empty()
            && !state.is_disconnected
    }

    /// Takes the next event for the writer thread.
    pub(super) fn take(&self, state: &mut QueueState) -> Option<Recv> {
        if let Some(command) = state.commands.pop_front() {
            state.flush_requested = false;
            if let Command::Commit(group) = &command {
                update(&self.appends, |appends| appends.saturating_sub(group.appends() as u64));
            }
            return Some(Recv::Command(command));
        }
        if mem::take(&mut state.wake_requested) {
            return Some(Recv::Wakeup);
        }
        state.is_disconnected.then_some(Recv::Disconnected)
    }

    /// Takes the oldest group if it has records to write, has no condition, and accepts no more appends.
    pub(super) fn take_full_group(&self) -> Option<Group> {
        let mut state = self.lock();
        let last = state.commands.len() == 1 && !state.is_disconnected;
        let full = match state.commands.front()? {
            Command::Commit(group) => {
                group.records() > 0 && group.expected_seq().is_none() && (group.is_full() || !last)
            }
            Command::Rotate(_) | Command::Close(_) => false,
        };
        match full.then(|| self.take(&mut state))?? {
            Recv::Command(Command::Commit(group)) => Some(group),
            _ => None,
        }
    }
}

/// Without the appends: the queue is part of every handle.
impl fmt::Debug for CommitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitQueue")
            .field("appends", &self.appends)
            .field("used_bytes", &self.used_bytes)
            .finish_non_exhaustive()
    }
}

/// Wakes the writer thread: the background thread uses the queue as its waker.
impl Wake for CommitQueue {
    fn wake(self: Arc<Self>) {
        self.wake_writer();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_writer();
    }
}

/// Updates a count under the lock of the queue, which makes an atomic read-modify-write instruction unnecessary.
fn update(count: &AtomicU64, update: impl FnOnce(u64) -> u64) {
    count.store(update(count.load(Ordering::Relaxed)), Ordering::Relaxed);
}
