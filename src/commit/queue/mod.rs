//! The way from the callers to the writer thread, and back.
//!
//! Callers fill the youngest [`Group`] under a short lock; the writer takes the oldest, commits it, and settles it with
//! one [`GroupOutcome`] for all its appends. Never waits for a disk, and never runs a caller's code under its lock.
//!
//! The queue's capacity is counted in bytes under the same lock. An append that does not fit, or that arrives while
//! others wait, is added to the end of the waiting list, together with its bytes. The thread that frees capacity moves
//! waiting appends into the queue, first come, first served: no append depends on a future being polled.
//!
//! Invariant, except while a thread is in [`CommitQueue::accept_waiting`]: the first waiting append does not fit. So as long
//! as one waits there is a group in the queue or at the writer whose end frees capacity.

mod adaptive_spin;
mod completion;
mod group;
mod handle;
mod payload;
mod pending_commit;
#[cfg(test)]
mod tests;
mod waiting;

use std::{collections::VecDeque, sync::Arc, task::Wake, time::Duration};

use self::{
    adaptive_spin::AdaptiveSpin,
    group::GroupBuffers,
    waiting::{Resolved, Ticket, WaitingList},
};
pub(crate) use self::{
    completion::{AppendOutcome, Callback, CommitInfo, GroupOutcome, GroupSlot},
    group::Group,
    handle::WriterHandle,
    payload::Payload,
    pending_commit::{PendingCommit, append_result},
    waiting::Waiting,
};
use crate::{
    journal::status::StoreStatus,
    seeded_bugs::{Bug, seeded},
    sync::{AtomicU64, Condvar, Mutex, MutexGuard, Ordering, PoisonError, oneshot},
};

/// Groups whose memory is kept for those to come: one is being filled while another is committed.
const KEPT_BUFFERS: usize = 2;

/// Bytes and appends that one thread moves from the waiting list into the queue before it unlocks the queue for others.
const ACCEPTED_BYTES_PER_LOCK: usize = 64 << 10;
const ACCEPTED_APPENDS_PER_LOCK: usize = 64;

/// What the writer is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Commit(Group),
    Rotate(oneshot::Sender<crate::Result<()>>),
    Close(oneshot::Sender<crate::Result<()>>),
}

/// What a caller hands over.
#[derive(Debug, Default)]
pub(crate) struct QueuedAppend {
    pub(crate) lines: Payload,
    pub(crate) records: u64,
    /// What it took of the queue's room, when it is queued.
    pub(crate) permits: u32,
    /// Only if its first record gets this number. It then has a group to itself.
    pub(crate) next_seq: Option<u64>,
    pub(crate) callback: Option<Callback>,
}

impl QueuedAppend {
    /// On no terms.
    pub(crate) fn new(lines: Payload, records: u64) -> Self {
        Self { lines, records, permits: 0, next_seq: None, callback: None }
    }
}

/// Nobody takes requests any more.
#[derive(Debug)]
pub(crate) struct Disconnected;

/// Where an append is.
#[derive(Debug)]
pub(crate) enum Appended<'a> {
    Queued(PendingCommit),
    Waiting(Waiting<'a>),
}

#[derive(Debug)]
pub(crate) struct CommitQueue {
    status: Arc<StoreStatus>,
    state: Mutex<State>,
    /// Something happened that the writer waits for.
    changed: Condvar,
    /// Appends in the queue: looked at without the lock, by a writer that is not parked. Changed under the lock.
    appends: AtomicU64,
    /// Bytes in the queue, including those of the group that is being committed. Changed under the lock.
    used_bytes: AtomicU64,
    capacity_bytes: u64,
    /// A group that holds this many bytes takes no more.
    group_bytes_max: u64,
    /// A group that holds this many bytes is not given time to fill.
    goal_bytes: u64,
}

#[derive(Debug, Default)]
struct State {
    requests: VecDeque<Command>,
    spare: Vec<GroupBuffers>,
    writer: WriterState,
    /// Something else than a request is there for the writer.
    wake_requested: bool,
    /// A caller found no room: the group that is being filled is not to wait for more.
    flush_requested: bool,
    /// Appends that wait for capacity. While there is one, no commit is delayed.
    waiting: WaitingList,
    /// Every handle is gone.
    is_disconnected: bool,
    /// Appends are rejected.
    closed: bool,
    /// Requests are rejected, too.
    ended: bool,
}

/// What the writer thread does, as far as callers need to know.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum WriterState {
    /// It will look here before it waits.
    #[default]
    Busy,
    /// It waits for anything.
    Parked,
    /// It waits for the group that is being filled to become full.
    Delaying,
}

/// What the writer finds.
#[derive(Debug)]
pub(crate) enum Recv {
    Command(Command),
    /// [`CommitQueue::wake_writer`] was called.
    Wakeup,
    /// Every handle is gone, and every request taken.
    Disconnected,
}

impl CommitQueue {
    pub(crate) fn status(&self) -> &Arc<StoreStatus> {
        &self.status
    }

    pub(crate) fn new(
        status: Arc<StoreStatus>,
        capacity_bytes: u32,
        group_bytes_max: u64,
        goal_bytes: u64,
    ) -> Self {
        Self {
            status,
            state: Mutex::default(),
            changed: Condvar::new(),
            appends: AtomicU64::new(0),
            used_bytes: AtomicU64::new(0),
            capacity_bytes: capacity_bytes.into(),
            group_bytes_max,
            goal_bytes,
        }
    }

    /// Returns the bytes in the queue, including those of the group that is being committed.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Adds an append to the queue, or to the waiting list. The caller drops what is left of `queued`: that may run code
    /// of its own.
    pub(crate) fn append(&self, queued: &mut QueuedAppend) -> Result<Appended<'_>, Disconnected> {
        let mut state = self.lock();
        if self.has_capacity(&state, queued)? {
            let slot = self.add(&mut state, queued);
            self.wake(state);
            return Ok(Appended::Queued(PendingCommit { slot }));
        }
        let ticket = state.waiting.push(std::mem::take(queued));
        // The group that is being filled is not delayed any more.
        self.wake(state);
        Ok(Appended::Waiting(Waiting::new(self, ticket)))
    }

    /// Adds an append to the queue unless it would have to wait.
    pub(crate) fn try_append(
        &self,
        queued: &mut QueuedAppend,
    ) -> Result<Option<PendingCommit>, Disconnected> {
        let mut state = self.lock();
        if self.has_capacity(&state, queued)? {
            let slot = self.add(&mut state, queued);
            self.wake(state);
            return Ok(Some(PendingCommit { slot }));
        }
        state.flush_requested = true;
        self.wake(state);
        Ok(None)
    }

    /// Returns whether a new append may be added to the queue at once.
    fn has_capacity(&self, state: &State, queued: &QueuedAppend) -> Result<bool, Disconnected> {
        if state.closed {
            return Err(Disconnected);
        }
        let may_pass = state.waiting.is_empty() || seeded(Bug::AppendOvertakesWaiters);
        Ok(may_pass && u64::from(queued.permits) <= self.free_bytes())
    }

    /// Adds lines to the group that is being filled, or to one of their own. The capacity that they take belongs to the
    /// group from here on.
    #[inline]
    fn add(&self, state: &mut State, queued: &mut QueuedAppend) -> GroupSlot {
        let alone = queued.next_seq.is_some();
        let open =
            |request: &&mut Command| matches!(request, Command::Commit(group) if !alone && !group.is_full());
        let slot = match state.requests.back_mut().filter(open) {
            Some(Command::Commit(group)) => group.add(queued),
            _ => {
                let buffers = state.spare.pop().unwrap_or_default();
                let mut group = Group::with_buffers(buffers, self.group_bytes_max, Arc::clone(&self.status));
                let slot = group.add(queued);
                state.requests.push_back(Command::Commit(group));
                slot
            }
        };
        change(&self.appends, |appends| appends + 1);
        change(&self.used_bytes, |bytes| bytes + u64::from(queued.permits));
        slot
    }

    fn free_bytes(&self) -> u64 {
        self.capacity_bytes.saturating_sub(self.used_bytes())
    }

    /// Frees capacity that a group took.
    fn free(&self, bytes: u64) {
        let state = self.lock();
        change(&self.used_bytes, |used| used.saturating_sub(bytes));
        if !seeded(Bug::FreedCapacityNotGranted) {
            self.accept_waiting(state);
        }
    }

    /// Moves waiting appends into the queue, first come, first served, until one does not fit.
    fn accept_waiting<'a>(&'a self, mut state: MutexGuard<'a, State>) {
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

    fn accept_some(&self, state: &mut State) -> Vec<Resolved> {
        let (mut accepted, mut bytes) = (Vec::new(), 0);
        while !state.closed
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
    fn stop_waiting(&self, ticket: &Ticket) {
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

    /// Rejects all appends from now on, and those that wait.
    pub(crate) fn close_to_appends(&self) {
        let waiting = {
            let mut state = self.lock();
            state.closed = true;
            state.waiting.drain()
        };
        waiting.for_each(|append| append.reject().notify());
    }

    /// Adds a request that ends the group before it.
    pub(crate) fn control(&self, request: Command) -> Result<(), Disconnected> {
        let mut state = self.lock();
        if state.ended {
            return Err(Disconnected);
        }
        let forgotten = seeded(Bug::GroupEndingCommandLost) && !state.requests.is_empty();
        if !forgotten {
            state.requests.push_back(request);
        }
        self.wake(state);
        Ok(())
    }

    /// Something that is not a request is there for the writer to look at.
    pub(crate) fn wake_writer(&self) {
        let mut state = self.lock();
        state.wake_requested = true;
        self.wake(state);
    }

    /// The last handle is gone.
    pub(crate) fn disconnect(&self) {
        let mut state = self.lock();
        state.is_disconnected = true;
        self.wake(state);
    }

    /// Wakes the writer if this is what it waits for.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
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

    /// Nothing is there but one group that may be given time for more.
    fn may_delay(&self, state: &State) -> bool {
        let below_goal = matches!(
            state.requests.front(),
            Some(Command::Commit(group)) if !group.is_full() && group.bytes() < self.goal_bytes
        );
        below_goal
            && state.requests.len() == 1
            && !state.flush_requested
            && state.waiting.is_empty()
            && !state.is_disconnected
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the writer thread: the waker of the background thread.
impl Wake for CommitQueue {
    fn wake(self: Arc<Self>) {
        self.wake_writer();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_writer();
    }
}

/// Changes a count under the lock of the queue, which makes a locked instruction unnecessary.
fn change(count: &AtomicU64, change: impl FnOnce(u64) -> u64) {
    count.store(change(count.load(Ordering::Relaxed)), Ordering::Relaxed);
}

/// The writer's end of the queue. When it is dropped, whoever still waits is refused.
#[derive(Debug)]
pub(crate) struct QueueReceiver {
    queue: Arc<CommitQueue>,
    /// How long a group may be filled before it is taken.
    delay: Duration,
    linger: AdaptiveSpin,
}

impl QueueReceiver {
    pub(crate) fn new(queue: Arc<CommitQueue>, delay: Duration) -> Self {
        Self { queue, delay, linger: AdaptiveSpin::new() }
    }

    /// After a commit: gives the callers it woke a moment to come back, where that has paid.
    pub(crate) fn linger(&mut self, woken: u64) {
        let Self { queue, linger, .. } = self;
        let last_commit_latency = queue.status.last_commit_latency().unwrap_or_default();
        linger.wait_for(woken, last_commit_latency, || queue.appends.load(Ordering::Relaxed));
    }

    /// Waits until there is something.
    pub(crate) fn wait(&self) -> Recv {
        let mut state = self.queue.lock();
        loop {
            if !self.delay.is_zero() && self.queue.may_delay(&state) {
                state = self.delay_commit(state);
            }
            if let Some(found) = self.take(&mut state) {
                return found;
            }
            if seeded(Bug::ParkWithoutRecheck) {
                drop(state);
                state = self.queue.lock();
            }
            state.writer = WriterState::Parked;
            let changed = self.queue.changed.wait_while(state, |state| state.writer == WriterState::Parked);
            state = changed.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What is there now, if anything.
    #[cfg(any(test, feature = "_sim", shuttle))]
    pub(crate) fn poll(&self) -> Option<Recv> {
        self.take(&mut self.queue.lock())
    }

    /// The oldest group, if it takes no more appends: to be looked at, and [put back](Self::push_front_group).
    pub(crate) fn pop_full_group(&self) -> Option<Group> {
        let mut state = self.queue.lock();
        let last = state.requests.len() == 1 && !state.is_disconnected;
        let full = match state.requests.front()? {
            Command::Commit(group) => {
                group.records() > 0 && group.next_seq().is_none() && (group.is_full() || !last)
            }
            Command::Rotate(_) | Command::Close(_) => false,
        };
        match full.then(|| self.take(&mut state))?? {
            Recv::Command(Command::Commit(group)) => Some(group),
            _ => None,
        }
    }

    pub(crate) fn push_front_group(&self, group: Group) {
        let mut state = self.queue.lock();
        change(&self.queue.appends, |appends| appends + group.appends() as u64);
        state.requests.push_front(Command::Commit(group));
    }

    fn take(&self, state: &mut State) -> Option<Recv> {
        if let Some(request) = state.requests.pop_front() {
            state.flush_requested = false;
            if let Command::Commit(group) = &request {
                change(&self.queue.appends, |appends| appends.saturating_sub(group.appends() as u64));
            }
            return Some(Recv::Command(request));
        }
        if std::mem::take(&mut state.wake_requested) {
            return Some(Recv::Wakeup);
        }
        state.is_disconnected.then_some(Recv::Disconnected)
    }

    /// Gives the group that is being filled some time to become full.
    fn delay_commit<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let still = |state: &mut State| {
            let may_delay = self.queue.may_delay(state);
            // Whoever woke it may have gone by now: then others are to wake it.
            state.writer = if may_delay { WriterState::Delaying } else { WriterState::Busy };
            may_delay
        };
        let waited = self.queue.changed.wait_timeout_while(state, self.delay, still);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.writer = WriterState::Busy;
        state
    }

    /// Tells every caller of a group what became of it.
    pub(crate) fn complete(&self, mut group: Group, verdict: GroupOutcome) {
        let permits = group.take_permits();
        if !seeded(Bug::PermitsNeverReleased) {
            // First: a caller that is notified finds the capacity free.
            self.queue.free(permits);
        }
        group.complete(verdict);
        let buffers = group.take_buffers();
        let mut state = self.queue.lock();
        if state.spare.len() < KEPT_BUFFERS {
            state.spare.push(buffers);
        }
    }

    /// Nothing is accepted from now on; what was accepted before comes out.
    pub(crate) fn end(&self) -> VecDeque<Command> {
        let mut state = self.queue.lock();
        (state.closed, state.ended) = (true, true);
        std::mem::take(&mut state.requests)
    }
}

impl Drop for QueueReceiver {
    fn drop(&mut self) {
        // Outside the lock: a group that goes wakes its callers.
        drop(self.end());
        // Nobody gives room back any more: a writer that panicked did not come to say so.
        self.queue.close_to_appends();
        self.queue.status.watermark.close();
    }
}
