//! The completion of a commit group: set once by the writer thread, read by every caller with an append in the group.

use std::{
    fmt, io, mem,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use crate::{
    caller_code::catch_caller_panic,
    journal::status::StoreStatus,
    seeded_bugs::{Bug, seeded},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

/// The outcome of one append.
#[derive(Debug, Clone)]
pub(crate) enum AppendOutcome {
    Durable(CommitInfo),
    /// The disk had no space for it: not written.
    StorageFull(Arc<io::Error>),
    /// A call failed before anything was changed: not written.
    Unavailable {
        action: &'static str,
        source: Arc<io::Error>,
    },
    /// Its first record would not have got the expected sequence number: not written.
    SeqMismatch {
        expected: u64,
        actual: u64,
    },
    /// The store was closed or poisoned, or its writer thread panicked: [`StoreStatus::closed_error`] is the reason.
    Rejected,
}

/// The outcome of all appends of a group.
#[derive(Debug)]
pub(crate) enum GroupOutcome {
    Durable(CommitInfo),
    /// The outcome of each append, in order.
    Each(Vec<AppendOutcome>),
    Rejected,
}

/// Where and when lines became durable: those of a group, or those of one append in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CommitInfo {
    /// The sequence number of the first record.
    pub(crate) seq: u64,
    /// The offset of its line in the segment.
    pub(crate) offset: u64,
    /// The sequence number of the segment's first record.
    pub(crate) segment_first_seq: u64,
    /// Records of the whole group.
    pub(crate) group_records: u64,
    /// Bytes of JSON of the whole group.
    pub(crate) group_bytes: u64,
    /// When the writer thread took the group from the queue.
    pub(crate) dequeued_at: Instant,
    /// When the group became durable.
    pub(crate) durable_at: Instant,
}

/// What is notified of an outcome.
enum Waiter {
    Task(Waker),
    Callback(Callback, SlotOffset),
}

type OnOutcome = dyn FnOnce(AppendOutcome, &StoreStatus) + Send;

/// A function that is called with the outcome, on the thread that completes the group.
pub(crate) struct Callback(Box<OnOutcome>);

impl Callback {
    pub(crate) fn new(callback: impl FnOnce(AppendOutcome, &StoreStatus) + Send + 'static) -> Self {
        Self(Box::new(callback))
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback")
    }
}

/// The records and bytes that precede an append in its group.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlotOffset {
    pub(super) records: u64,
    /// Bytes of lines, each with its LF.
    pub(super) bytes: u64,
}

/// Shared by the writer thread and the callers of one group: one allocation for all of them.
pub(crate) struct GroupCompletion {
    outcome: OnceLock<GroupOutcome>,
    /// Waiters by index in the group. Empty once there is an outcome.
    waiters: Mutex<Vec<Option<Waiter>>>,
    /// Stored here, so that an append needs no reference of its own.
    status: Arc<StoreStatus>,
}

/// One append in a group.
#[derive(Debug)]
pub(crate) struct GroupSlot {
    completion: Arc<GroupCompletion>,
    index: usize,
    before: SlotOffset,
}

impl GroupCompletion {
    pub(super) fn new(status: Arc<StoreStatus>) -> Self {
        Self { outcome: OnceLock::new(), waiters: Mutex::new(Vec::new()), status }
    }

    pub(super) fn slot(self: &Arc<Self>, index: usize, before: SlotOffset) -> GroupSlot {
        GroupSlot { completion: Arc::clone(self), index, before }
    }

    /// Sets the outcome, unless there is one, and notifies all waiters.
    pub(super) fn complete(&self, outcome: GroupOutcome) {
        let _ = self.outcome.set(outcome);
        let mut waiters = mem::take(&mut *self.lock()).into_iter().enumerate();
        let notify = |(index, waiter)| match waiter {
            Some(Waiter::Task(waker)) => Waker::wake(waker),
            Some(Waiter::Callback(callback, before)) => {
                let outcome = self.outcome_of(index, before).unwrap_or(AppendOutcome::Rejected);
                (callback.0)(outcome, &self.status);
            }
            None => {}
        };
        // Continues with the next waiter after the code of one caller panicked.
        while !catch_caller_panic(|| waiters.by_ref().for_each(notify)) {}
    }

    fn outcome_of(&self, index: usize, before: SlotOffset) -> Option<AppendOutcome> {
        Some(match self.outcome.get()? {
            GroupOutcome::Durable(group) => AppendOutcome::Durable(CommitInfo {
                seq: group.seq + before.records,
                offset: group.offset + before.bytes,
                ..*group
            }),
            GroupOutcome::Each(outcomes) => outcomes.get(index).cloned().unwrap_or(AppendOutcome::Rejected),
            GroupOutcome::Rejected => AppendOutcome::Rejected,
        })
    }

    pub(super) fn is_completed(&self) -> bool {
        self.outcome.get().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Waiter>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a waiter. Returns the one that it replaces.
    fn register(waiters: &mut Vec<Option<Waiter>>, index: usize, waiter: Waiter) -> Option<Waiter> {
        if waiters.len() <= index {
            waiters.resize_with(index + 1, || None);
        }
        match &mut waiters[index] {
            Some(_) if seeded(Bug::WakeReplacedWaker) => None,
            slot => slot.replace(waiter),
        }
    }
}

impl fmt::Debug for GroupCompletion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupCompletion").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

impl GroupSlot {
    pub(crate) fn status(&self) -> &StoreStatus {
        &self.completion.status
    }

    /// Returns the outcome if it is known.
    pub(crate) fn outcome(&self) -> Option<AppendOutcome> {
        self.completion.outcome_of(self.index, self.before)
    }

    /// Registers a callback for the outcome. Called before another thread can complete the group.
    pub(super) fn set_callback(&self, callback: Callback) {
        let waiter = Waiter::Callback(callback, self.before);
        GroupCompletion::register(&mut self.completion.lock(), self.index, waiter);
    }

    /// Resolves to the [`outcome`](Self::outcome). The waker of the last call is woken when it is known.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<AppendOutcome> {
        // Cloned before the lock is taken, and the replaced waker is dropped after: both run code of the caller.
        let waker = context.waker().clone();
        let _replaced = {
            let mut waiters = self.completion.lock();
            // Read under the lock: a group that is completed later finds the waker.
            if let Some(outcome) = self.outcome().filter(|_| !seeded(Bug::WaitWithoutRecheck)) {
                return Poll::Ready(outcome);
            }
            GroupCompletion::register(&mut waiters, self.index, Waiter::Task(waker))
        };
        Poll::Pending
    }
}
