//! The way from the callers to the writer thread, and back.
//!
//! Callers fill the youngest [`Group`] under a short lock; the writer takes the oldest, commits it, and settles it with
//! one [`Verdict`] for all its appends. Never waits for a disk, and never runs a caller's code under its lock.
//!
//! The queue's capacity is counted in bytes under the same lock. An append that does not fit, or that arrives while
//! others wait, is added to the end of the waiting list, together with its bytes. The thread that frees capacity moves
//! waiting appends into the queue, first come, first served: no append depends on a future being polled.
//!
//! Invariant, except while a thread is in [`Queue::accept_waiting`]: the first waiting append does not fit. So as long
//! as one waits there is a group in the queue or at the writer whose end frees capacity.

mod group;
mod linger;
mod settlement;
#[cfg(test)]
mod tests;
mod waiting;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use self::{
    group::Storage,
    linger::Linger,
    waiting::{Resolved, Ticket, WaitingList},
};
pub(crate) use self::{
    group::{COPIED_BYTES_MAX, Group},
    settlement::{Callback, Committed, Fate, Place, Verdict},
    waiting::Waiting,
};
use crate::{
    planted::{Bug, planted},
    request::{Lines, PendingCommit},
    shared::Shared,
    sync::{AtomicU64, Condvar, Mutex, MutexGuard, Ordering, PoisonError, oneshot},
};

/// Groups whose memory is kept for those to come: one is being filled while another is committed.
const STORAGES_KEPT: usize = 2;

/// Bytes and appends that one thread moves from the waiting list into the queue before it unlocks the queue for others.
const ACCEPTED_BYTES_PER_LOCK: usize = 64 << 10;
const ACCEPTED_APPENDS_PER_LOCK: usize = 64;

/// What the writer is asked to do.
#[derive(Debug)]
pub(crate) enum Request {
    Commit(Group),
    Rotate(oneshot::Sender<crate::Result<()>>),
    Close(oneshot::Sender<crate::Result<()>>),
}

/// What a caller hands over.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    pub(crate) lines: Lines,
    pub(crate) records: u64,
    /// What it took of the queue's room, when it is queued.
    pub(crate) room: u32,
    /// Only if its first record gets this number. It then has a group to itself.
    pub(crate) next_seq: Option<u64>,
    pub(crate) callback: Option<Callback>,
}

impl Handed {
    /// On no terms.
    pub(crate) fn plain(lines: Lines, records: u64) -> Self {
        Self { lines, records, room: 0, next_seq: None, callback: None }
    }
}

/// Nobody takes requests any more.
#[derive(Debug)]
pub(crate) struct Ended;

/// Where an append is.
#[derive(Debug)]
pub(crate) enum Appended<'a> {
    Queued(PendingCommit),
    Waiting(Waiting<'a>),
}

#[derive(Debug)]
pub(crate) struct Queue {
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
    requests: VecDeque<Request>,
    spare: Vec<Storage>,
    writer: Writer,
    /// Something else than a request is there for the writer.
    nudged: bool,
    /// A caller found no room: the group that is being filled is not to wait for more.
    hurried: bool,
    /// Appends that wait for capacity. While there is one, no commit is delayed.
    waiting: WaitingList,
    /// Every handle is gone.
    abandoned: bool,
    /// Appends are rejected.
    closed: bool,
    /// Requests are rejected, too.
    ended: bool,
}

/// What the writer thread does, as far as callers need to know.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// It will look here before it waits.
    #[default]
    Busy,
    /// It waits for anything.
    Parked,
    /// It waits for the group that is being filled to become full.
    Filling,
}

/// What the writer finds.
#[derive(Debug)]
pub(crate) enum Found {
    Request(Request),
    /// [`Queue::nudge`] was called.
    Nudge,
    /// Every handle is gone, and every request taken.
    Abandoned,
}

impl Queue {
    pub(crate) fn new(capacity_bytes: u32, group_bytes_max: u64, goal_bytes: u64) -> Self {
        Self {
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

    /// Adds an append to the queue, or to the waiting list. The caller drops what is left of `handed`: that may run code
    /// of its own.
    pub(crate) fn append<'a>(
        &self,
        handed: &mut Handed,
        shared: &'a Arc<Shared>,
    ) -> Result<Appended<'a>, Ended> {
        let mut state = self.lock();
        if self.has_capacity(&state, handed)? {
            let place = self.add(&mut state, handed, shared);
            self.wake(state);
            return Ok(Appended::Queued(PendingCommit { place }));
        }
        let ticket = state.waiting.push(std::mem::take(handed));
        // The group that is being filled is not delayed any more.
        self.wake(state);
        Ok(Appended::Waiting(Waiting::new(shared, ticket)))
    }

    /// Adds an append to the queue unless it would have to wait.
    pub(crate) fn try_append(
        &self,
        handed: &mut Handed,
        shared: &Arc<Shared>,
    ) -> Result<Option<PendingCommit>, Ended> {
        let mut state = self.lock();
        if self.has_capacity(&state, handed)? {
            let place = self.add(&mut state, handed, shared);
            self.wake(state);
            return Ok(Some(PendingCommit { place }));
        }
        state.hurried = true;
        self.wake(state);
        Ok(None)
    }

    /// Returns whether a new append may be added to the queue at once.
    fn has_capacity(&self, state: &State, handed: &Handed) -> Result<bool, Ended> {
        if state.closed {
            return Err(Ended);
        }
        let may_pass = state.waiting.is_empty() || planted(Bug::OvertakesWaitingAppends);
        Ok(may_pass && u64::from(handed.room) <= self.free_bytes())
    }

    /// Adds lines to the group that is being filled, or to one of their own. The capacity that they take belongs to the
    /// group from here on.
    #[inline]
    fn add(&self, state: &mut State, handed: &mut Handed, shared: &Arc<Shared>) -> Place {
        let alone = handed.next_seq.is_some();
        let open =
            |request: &&mut Request| matches!(request, Request::Commit(group) if !alone && !group.is_full());
        let place = match state.requests.back_mut().filter(open) {
            Some(Request::Commit(group)) => group.add(handed),
            _ => {
                let storage = state.spare.pop().unwrap_or_default();
                let mut group = Group::on(storage, self.group_bytes_max, Arc::clone(shared));
                let place = group.add(handed);
                state.requests.push_back(Request::Commit(group));
                place
            }
        };
        change(&self.appends, |appends| appends + 1);
        change(&self.used_bytes, |bytes| bytes + u64::from(handed.room));
        place
    }

    fn free_bytes(&self) -> u64 {
        self.capacity_bytes.saturating_sub(self.used_bytes())
    }

    /// Frees capacity that a group took.
    fn free(&self, bytes: u64, shared: &Arc<Shared>) {
        let state = self.lock();
        change(&self.used_bytes, |used| used.saturating_sub(bytes));
        if !planted(Bug::KeepsFreedCapacity) {
            self.accept_waiting(state, shared);
        }
    }

    /// Moves waiting appends into the queue, first come, first served, until one does not fit.
    fn accept_waiting<'a>(&'a self, mut state: MutexGuard<'a, State>, shared: &Arc<Shared>) {
        loop {
            let accepted = self.accept_some(&mut state, shared);
            self.wake(state);
            if accepted.is_empty() {
                return;
            }
            accepted.into_iter().for_each(Resolved::notify);
            state = self.lock();
        }
    }

    fn accept_some(&self, state: &mut State, shared: &Arc<Shared>) -> Vec<Resolved> {
        let (mut accepted, mut bytes) = (Vec::new(), 0);
        while !state.closed
            && bytes < ACCEPTED_BYTES_PER_LOCK
            && accepted.len() < ACCEPTED_APPENDS_PER_LOCK
            && let Some(append) = state.waiting.pop_if_fits(self.free_bytes())
        {
            accepted.push(append.accept(|handed| {
                bytes += handed.lines.bytes().len();
                self.add(state, handed, shared)
            }));
        }
        accepted
    }

    /// Removes an append from the waiting list, if it still waits.
    fn stop_waiting(&self, ticket: &Ticket, shared: &Arc<Shared>) {
        let mut state = self.lock();
        let (removed, was_first) = state.waiting.remove(ticket);
        if was_first {
            self.accept_waiting(state, shared);
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
    pub(crate) fn control(&self, request: Request) -> Result<(), Ended> {
        let mut state = self.lock();
        if state.ended {
            return Err(Ended);
        }
        let forgotten = planted(Bug::ForgetsWhatEndsAGroup) && !state.requests.is_empty();
        if !forgotten {
            state.requests.push_back(request);
        }
        self.wake(state);
        Ok(())
    }

    /// Something that is not a request is there for the writer to look at.
    pub(crate) fn nudge(&self) {
        let mut state = self.lock();
        state.nudged = true;
        self.wake(state);
    }

    /// The last handle is gone.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.abandoned = true;
        self.wake(state);
    }

    /// Wakes the writer if this is what it waits for.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let wakes = match state.writer {
            Writer::Busy => false,
            Writer::Parked => true,
            Writer::Filling => !self.may_fill(&state),
        };
        if wakes {
            state.writer = Writer::Busy;
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Nothing is there but one group that may be given time for more.
    fn may_fill(&self, state: &State) -> bool {
        let below_goal = matches!(
            state.requests.front(),
            Some(Request::Commit(group)) if !group.is_full() && group.bytes() < self.goal_bytes
        );
        below_goal
            && state.requests.len() == 1
            && !state.hurried
            && state.waiting.is_empty()
            && !state.abandoned
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changes a count under the lock of the queue, which makes a locked instruction unnecessary.
fn change(count: &AtomicU64, change: impl FnOnce(u64) -> u64) {
    count.store(change(count.load(Ordering::Relaxed)), Ordering::Relaxed);
}

/// The writer's end of the queue. When it is dropped, whoever still waits is refused.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: Arc<Queue>,
    shared: Arc<Shared>,
    /// How long a group may be filled before it is taken.
    delay: Duration,
    linger: Linger,
}

impl Inbox {
    pub(crate) fn new(queue: Arc<Queue>, shared: Arc<Shared>, delay: Duration) -> Self {
        Self { queue, shared, delay, linger: Linger::new() }
    }

    /// After a commit: gives the callers it woke a moment to come back, where that has paid.
    pub(crate) fn linger(&mut self, woken: u64) {
        let Self { queue, linger, shared, .. } = self;
        let last_commit = shared.last_commit().unwrap_or_default();
        linger.wait_for(woken, last_commit, || queue.appends.load(Ordering::Relaxed));
    }

    /// Waits until there is something.
    pub(crate) fn wait(&self) -> Found {
        let mut state = self.queue.lock();
        loop {
            if !self.delay.is_zero() && self.queue.may_fill(&state) {
                state = self.let_fill(state);
            }
            if let Some(found) = self.take(&mut state) {
                return found;
            }
            if planted(Bug::ParksWithoutLooking) {
                drop(state);
                state = self.queue.lock();
            }
            state.writer = Writer::Parked;
            let changed = self.queue.changed.wait_while(state, |state| state.writer == Writer::Parked);
            state = changed.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What is there now, if anything.
    #[cfg(any(test, feature = "_sim", shuttle))]
    pub(crate) fn poll(&self) -> Option<Found> {
        self.take(&mut self.queue.lock())
    }

    /// The oldest group, if it takes no more appends: to be looked at, and [put back](Self::put_back).
    pub(crate) fn borrow_full(&self) -> Option<Group> {
        let mut state = self.queue.lock();
        let last = state.requests.len() == 1 && !state.abandoned;
        let full = match state.requests.front()? {
            Request::Commit(group) => {
                group.records() > 0 && group.next_seq().is_none() && (group.is_full() || !last)
            }
            Request::Rotate(_) | Request::Close(_) => false,
        };
        match full.then(|| self.take(&mut state))?? {
            Found::Request(Request::Commit(group)) => Some(group),
            _ => None,
        }
    }

    pub(crate) fn put_back(&self, group: Group) {
        let mut state = self.queue.lock();
        change(&self.queue.appends, |appends| appends + group.appends() as u64);
        state.requests.push_front(Request::Commit(group));
    }

    fn take(&self, state: &mut State) -> Option<Found> {
        if let Some(request) = state.requests.pop_front() {
            state.hurried = false;
            if let Request::Commit(group) = &request {
                change(&self.queue.appends, |appends| appends.saturating_sub(group.appends() as u64));
            }
            return Some(Found::Request(request));
        }
        if std::mem::take(&mut state.nudged) {
            return Some(Found::Nudge);
        }
        state.abandoned.then_some(Found::Abandoned)
    }

    /// Gives the group that is being filled some time to become full.
    fn let_fill<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let still = |state: &mut State| {
            let may_fill = self.queue.may_fill(state);
            // Whoever woke it may have gone by now: then others are to wake it.
            state.writer = if may_fill { Writer::Filling } else { Writer::Busy };
            may_fill
        };
        let waited = self.queue.changed.wait_timeout_while(state, self.delay, still);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.writer = Writer::Busy;
        state
    }

    /// Tells every caller of a group what became of it.
    pub(crate) fn settle(&self, mut group: Group, verdict: Verdict) {
        let room = group.take_room();
        if !planted(Bug::KeepsItsRoom) {
            // First: a caller that is notified finds the capacity free.
            self.queue.free(room, &self.shared);
        }
        group.settle(verdict);
        let storage = group.recycle();
        let mut state = self.queue.lock();
        if state.spare.len() < STORAGES_KEPT {
            state.spare.push(storage);
        }
    }

    /// Nothing is accepted from now on; what was accepted before comes out.
    pub(crate) fn end(&self) -> VecDeque<Request> {
        let mut state = self.queue.lock();
        (state.closed, state.ended) = (true, true);
        std::mem::take(&mut state.requests)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // Outside the lock: a group that goes wakes its callers.
        drop(self.end());
        // Nobody gives room back any more: a writer that panicked did not come to say so.
        self.shared.close_room();
        self.shared.end_retention();
    }
}
