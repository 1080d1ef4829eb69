//! The queue itself: its state, its capacity, and when it wakes the writer thread.

use std::{collections::VecDeque, fmt, mem, sync::Arc};

use super::{
    capacity::{Capacity, CapacityGuard},
    completion::PendingCommit,
    group::Group,
    message::{Disconnected, WriterMessage},
    queue_state::{QueueState, WriterState},
    queued_append::QueuedAppend,
    waiting_list::{Resolved, Ticket},
};
use crate::{
    journal::status::StoreStatus,
    sync::{AtomicU64, Condvar, Mutex, MutexGuard, Ordering, PoisonError, Receiver, Sender, unbounded},
};

/// Bytes and appends that one thread moves from the waiting list into the queue before it unlocks the queue for others.
pub(super) const ACCEPTED_BYTES_PER_LOCK: usize = 64 << 10;
pub(super) const ACCEPTED_APPENDS_PER_LOCK: usize = 64;

/// A control message, and the number of groups whose completion it follows.
pub(super) type ControlMessage = (u64, WriterMessage);

pub(crate) struct CommitQueue {
    status: Arc<StoreStatus>,
    pub(super) state: Mutex<QueueState>,
    /// Notified when an event occurs that the writer thread waits for.
    pub(super) changed: Condvar,
    /// The control lane. Messages are sent under the lock.
    control: Sender<ControlMessage>,
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

impl CommitQueue {
    /// Returns an empty queue, and the receiver of its control lane.
    pub(super) fn new(
        status: Arc<StoreStatus>,
        capacity_bytes: u32,
        max_group_bytes: u64,
        goal_bytes: u64,
    ) -> (Arc<Self>, Receiver<ControlMessage>) {
        let (control, messages) = unbounded();
        let queue = Arc::new(Self {
            status,
            state: Mutex::default(),
            changed: Condvar::new(),
            control,
            appends: AtomicU64::new(0),
            used_bytes: AtomicU64::new(0),
            capacity_bytes: capacity_bytes.into(),
            max_group_bytes,
            goal_bytes,
        });
        (queue, messages)
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

    /// Sends a message that the writer thread receives at once.
    pub(crate) fn send(&self, message: WriterMessage) -> Result<(), Disconnected> {
        self.send_after(self.lock(), 0, message)
    }

    /// Sends a message that follows the appends that were accepted so far. The group that is being filled accepts no more
    /// appends.
    pub(crate) fn send_in_order(&self, message: WriterMessage) -> Result<(), Disconnected> {
        let mut state = self.lock();
        state.end_group();
        let opened = state.opened;
        self.send_after(state, opened, message)
    }

    fn send_after(
        &self,
        state: MutexGuard<'_, QueueState>,
        groups: u64,
        message: WriterMessage,
    ) -> Result<(), Disconnected> {
        if state.is_closed {
            drop(state);
            return Err(Disconnected);
        }
        self.control.send((groups, message)).map_err(|_| Disconnected)?;
        self.wake(state);
        Ok(())
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

    /// Rejects appends and messages from now on. Returns the groups that were accepted before.
    pub(super) fn close(&self) -> VecDeque<Group> {
        let mut state = self.lock();
        (state.appends_closed, state.is_closed) = (true, true);
        state.end_group();
        mem::take(&mut state.full)
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
        let may_pass = state.waiting.is_empty();
        Ok(may_pass && u64::from(queued.permits) <= self.free_bytes())
    }

    fn free_bytes(&self) -> u64 {
        self.capacity_bytes.saturating_sub(self.used_bytes())
    }

    /// Adds an append to the group that is being filled, or to one of its own. From here on the capacity that it takes
    /// belongs to the group.
    #[inline]
    pub(super) fn add(&self, state: &mut QueueState, queued: &mut QueuedAppend) -> PendingCommit {
        if queued.expected_seq.is_some() {
            state.end_group();
        }
        let QueueState { open, opened, spare, .. } = state;
        let group = open.get_or_insert_with(|| {
            *opened += 1;
            let buffers = spare.pop().unwrap_or_default();
            Group::with_buffers(buffers, self.max_group_bytes, Arc::clone(&self.status))
        });
        let pending = group.add(queued);
        if group.is_full() {
            state.end_group();
        }
        update(&self.appends, |appends| appends + 1);
        update(&self.used_bytes, |bytes| bytes + u64::from(queued.permits));
        pending
    }

    /// Adds an append to the end of the waiting list. Returns its ticket.
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
        let below_goal = state.open.as_ref().is_some_and(|group| group.bytes() < self.goal_bytes);
        below_goal
            && state.full.is_empty()
            && !state.flush_requested
            && state.waiting.is_empty()
            && !state.is_disconnected
    }

    /// Takes the oldest group. After the last one, returns [`WriterMessage::Close`] if every handle was dropped.
    pub(super) fn take(self: &Arc<Self>, state: &mut QueueState) -> Option<WriterMessage> {
        let group = self.take_group(state).map(WriterMessage::Commit);
        group.or_else(|| state.is_disconnected.then_some(WriterMessage::Close(None)))
    }

    fn take_group(self: &Arc<Self>, state: &mut QueueState) -> Option<Group> {
        let mut group = state.full.pop_front().or_else(|| state.open.take())?;
        state.flush_requested = false;
        update(&self.appends, |appends| appends.saturating_sub(group.appends() as u64));
        group.set_capacity(CapacityGuard { capacity: Arc::clone(self) as _, bytes: group.permits() });
        Some(group)
    }

    /// Takes the oldest group if it accepts no more appends, has records to write and no condition.
    pub(super) fn take_full_group(self: &Arc<Self>) -> Option<Group> {
        let mut state = self.lock();
        let oldest = state.full.front()?;
        if oldest.records() == 0 || oldest.expected_seq().is_some() {
            return None;
        }
        self.take_group(&mut state)
    }
}

impl Capacity for CommitQueue {
    fn free(&self, bytes: u64) {
        let state = self.lock();
        update(&self.used_bytes, |used| used.saturating_sub(bytes));
        self.accept_waiting(state);
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

/// Updates a count under the lock of the queue, which makes an atomic read-modify-write instruction unnecessary.
fn update(count: &AtomicU64, update: impl FnOnce(u64) -> u64) {
    count.store(update(count.load(Ordering::Relaxed)), Ordering::Relaxed);
}
