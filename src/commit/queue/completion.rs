//! The completion of a commit group: set once by the writer thread, read by every caller with an append in the group.

use std::{
    fmt,
    future::Future,
    io, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use crate::{
    MiniStoreError, Result,
    caller_code::catch_caller_panic,
    journal::status::StoreStatus,
    spin::SpinTurn,
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
    Callback(Callback, Slot),
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

/// The place of an append in its group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) index: usize,
    /// Records of the appends before it.
    pub(super) records_before: u64,
    /// Bytes of the lines before it, each with its LF.
    pub(super) bytes_before: u64,
}

/// The outcome of a group.
#[derive(Debug)]
enum GroupOutcome {
    /// One outcome for all appends.
    All(AppendOutcome),
    /// The outcome of each append, in order.
    Each(Vec<AppendOutcome>),
}

/// Shared by the writer thread and the callers of one group: one allocation for all of them.
pub(crate) struct GroupCompletion {
    outcome: OnceLock<GroupOutcome>,
    /// Waiters by index in the group. Empty once there is an outcome.
    waiters: Mutex<Vec<Option<Waiter>>>,
    /// Stored here, so that an append needs no reference of its own.
    status: Arc<StoreStatus>,
}

/// The future of an append that is in the queue: resolves once it is durable.
#[derive(Debug)]
#[must_use = "the outcome of an append is in its PendingCommit"]
pub(crate) struct PendingCommit {
    completion: Arc<GroupCompletion>,
    slot: Slot,
    spin: SpinState,
}

/// Whether a caller spins until its append is durable.
#[derive(Debug)]
enum SpinState {
    NotBegun,
    Spinning(SpinTurn),
    Ended,
}

impl GroupCompletion {
    pub(super) fn new(status: Arc<StoreStatus>) -> Self {
        Self { outcome: OnceLock::new(), waiters: Mutex::new(Vec::new()), status }
    }

    /// Returns the future of the append in this slot.
    pub(super) fn pending(self: &Arc<Self>, slot: Slot) -> PendingCommit {
        PendingCommit { completion: Arc::clone(self), slot, spin: SpinState::NotBegun }
    }

    /// Sets the outcome of all appends, unless there is one, and notifies all waiters.
    pub(super) fn complete(&self, outcome: AppendOutcome) {
        self.set(GroupOutcome::All(outcome));
    }

    /// Sets the outcome of each append, unless there is one, and notifies all waiters.
    pub(super) fn complete_each(&self, outcomes: Vec<AppendOutcome>) {
        self.set(GroupOutcome::Each(outcomes));
    }

    fn set(&self, outcome: GroupOutcome) {
        let _ = self.outcome.set(outcome);
        let mut waiters = mem::take(&mut *self.lock()).into_iter();
        let notify = |waiter| match waiter {
            Some(Waiter::Task(waker)) => Waker::wake(waker),
            Some(Waiter::Callback(callback, slot)) => {
                let outcome = self.outcome_of(slot).unwrap_or(AppendOutcome::Rejected);
                (callback.0)(outcome, &self.status);
            }
            None => {}
        };
        // Continues with the next waiter after the code of one caller panicked.
        while !catch_caller_panic(|| waiters.by_ref().for_each(notify)) {}
    }

    fn outcome_of(&self, slot: Slot) -> Option<AppendOutcome> {
        Some(match self.outcome.get()? {
            GroupOutcome::All(AppendOutcome::Durable(group)) => AppendOutcome::Durable(CommitInfo {
                seq: group.seq + slot.records_before,
                offset: group.offset + slot.bytes_before,
                ..*group
            }),
            GroupOutcome::All(outcome) => outcome.clone(),
            GroupOutcome::Each(outcomes) => {
                outcomes.get(slot.index).cloned().unwrap_or(AppendOutcome::Rejected)
            }
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
        waiters[index].replace(waiter)
    }
}

impl fmt::Debug for GroupCompletion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupCompletion").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

impl PendingCommit {
    fn status(&self) -> &StoreStatus {
        &self.completion.status
    }

    /// Returns the outcome if it is known.
    pub(super) fn outcome(&self) -> Option<AppendOutcome> {
        self.completion.outcome_of(self.slot)
    }

    /// Registers a callback for the outcome. Called before another thread can complete the group.
    pub(super) fn set_callback(&self, callback: Callback) {
        let waiter = Waiter::Callback(callback, self.slot);
        GroupCompletion::register(&mut self.completion.lock(), self.slot.index, waiter);
    }

    /// Returns the result if it is known.
    pub(crate) fn try_committed(&self) -> Option<Result<CommitInfo>> {
        self.outcome().map(|outcome| append_result(outcome, self.status()))
    }

    /// Spins for a while before a blocking caller parks, if that pays.
    pub(crate) fn spin_blocking(&mut self) {
        if let Some(turn) = self.status().caller_spin.begin() {
            while self.outcome().is_none() && self.status().caller_spin.spin(&turn) {}
            self.spin = SpinState::Spinning(turn);
        }
        self.end_spin();
    }

    pub(crate) fn poll_committed(&mut self, context: &mut Context<'_>) -> Poll<Result<CommitInfo>> {
        if let Some(committed) = self.try_committed() {
            self.end_spin();
            return Poll::Ready(committed);
        }
        // No thread of a forked child would ever wake it.
        self.status().check_fork()?;
        let spins = self.begin_spin();
        // Cloned before the lock is taken, and the replaced waker is dropped after: both run code of the caller.
        let waker = context.waker().clone();
        let registered = {
            let mut waiters = self.completion.lock();
            // Read under the lock: a group that is completed later finds the waker.
            match self.try_committed() {
                Some(committed) => Err(committed),
                None => Ok(GroupCompletion::register(&mut waiters, self.slot.index, Waiter::Task(waker))),
            }
        };
        if let Err(committed) = registered {
            self.end_spin();
            return Poll::Ready(committed);
        }
        // The waker is registered all the same: where another executor blocks a thread of the runtime, the runtime polls
        // nothing.
        if spins {
            self.status().caller_spin.spin_async(context);
        }
        Poll::Pending
    }

    /// Returns whether the caller spins, which it may do for a limited time.
    fn begin_spin(&mut self) -> bool {
        if matches!(self.spin, SpinState::NotBegun) {
            let turn = self.status().caller_spin.begin_async();
            self.spin = turn.map_or(SpinState::Ended, SpinState::Spinning);
        }
        let SpinState::Spinning(turn) = &self.spin else { return false };
        let spins = self.status().caller_spin.has_time(turn);
        if !spins {
            self.end_spin();
        }
        spins
    }

    fn end_spin(&mut self) {
        if let SpinState::Spinning(turn) = mem::replace(&mut self.spin, SpinState::Ended) {
            let durable_at = match self.outcome() {
                Some(AppendOutcome::Durable(committed)) => Some(committed.durable_at),
                _ => None,
            };
            self.status().caller_spin.end(&turn, durable_at);
        }
    }
}

impl Future for PendingCommit {
    type Output = Result<CommitInfo>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_committed(context)
    }
}

/// Converts an outcome into the result that the caller gets.
pub(crate) fn append_result(outcome: AppendOutcome, status: &StoreStatus) -> Result<CommitInfo> {
    match outcome {
        AppendOutcome::Durable(committed) => Ok(committed),
        AppendOutcome::StorageFull(source) => {
            Err(MiniStoreError::StorageFull { path: status.path.clone(), source })
        }
        AppendOutcome::Unavailable { action, source } => {
            Err(MiniStoreError::Unavailable { path: status.path.clone(), action, source })
        }
        AppendOutcome::SeqMismatch { expected, actual } => {
            Err(MiniStoreError::SeqMismatch { expected, actual })
        }
        AppendOutcome::Rejected => Err(status.closed_error()),
    }
}
