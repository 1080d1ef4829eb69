//! What became of a commit group: told once by the writer, looked up by every caller whose lines stand in it.

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

/// What became of one append.
#[derive(Debug, Clone)]
pub(crate) enum AppendOutcome {
    Durable(CommitInfo),
    /// There was no room for it on the disk: not written.
    StorageFull(Arc<io::Error>),
    /// A call failed before anything was changed: not written.
    Unavailable {
        action: &'static str,
        source: Arc<io::Error>,
    },
    /// Its first record would not have got the number it was meant for: not written.
    SeqMismatch {
        expected: u64,
        actual: u64,
    },
    /// The store was closed, poisoned or abandoned by its writer: it knows why.
    Refused,
}

/// What became of all appends of a group.
#[derive(Debug)]
pub(crate) enum GroupOutcome {
    Durable(CommitInfo),
    /// Each had a commit of its own, in their order.
    Each(Vec<AppendOutcome>),
    Refused,
}

/// Where and when lines became durable: those of a group, or those of one append in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CommitInfo {
    /// Sequence number of the first record.
    pub(crate) seq: u64,
    /// Where its line begins in the segment.
    pub(crate) offset: u64,
    /// Sequence number of the segment's first record.
    pub(crate) segment_first_seq: u64,
    /// Records of the whole group.
    pub(crate) group_records: u64,
    /// Bytes of JSON of the whole group.
    pub(crate) group_bytes: u64,
    /// When the writer took the group.
    pub(crate) taken: Instant,
    /// When it was durable.
    pub(crate) durable: Instant,
}

/// Whoever waits for an outcome.
enum Waiter {
    Task(Waker),
    Callback(Callback, SlotOffset),
}

type OnFate = dyn FnOnce(AppendOutcome, &StoreStatus) + Send;

/// What is to be done with an outcome, on the thread that tells it.
pub(crate) struct Callback(Box<OnFate>);

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

/// What stands before an append in its group.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlotOffset {
    pub(super) records: u64,
    /// Bytes of lines, each with its LF.
    pub(super) bytes: u64,
}

/// Shared by the writer and the callers of one group: one for all of them, not one for each.
pub(crate) struct GroupCompletion {
    verdict: OnceLock<GroupOutcome>,
    /// Who is to be told, by place in the group; only until there is a verdict.
    waiting: Mutex<Vec<Option<Waiter>>>,
    /// Here, so that an append takes no reference of its own.
    status: Arc<StoreStatus>,
}

/// One append's place in a group.
#[derive(Debug)]
pub(crate) struct GroupSlot {
    completion: Arc<GroupCompletion>,
    index: usize,
    before: SlotOffset,
}

impl GroupCompletion {
    pub(super) fn new(status: Arc<StoreStatus>) -> Self {
        Self { verdict: OnceLock::new(), waiting: Mutex::new(Vec::new()), status }
    }

    pub(super) fn slot(self: &Arc<Self>, index: usize, before: SlotOffset) -> GroupSlot {
        GroupSlot { completion: Arc::clone(self), index, before }
    }

    /// Tells everybody. The first verdict is the one.
    pub(super) fn complete(&self, verdict: GroupOutcome) {
        let _ = self.verdict.set(verdict);
        let mut waiting = mem::take(&mut *self.lock()).into_iter().enumerate();
        let tell = |(index, waiter)| match waiter {
            Some(Waiter::Task(waker)) => Waker::wake(waker),
            Some(Waiter::Callback(callback, before)) => {
                let fate = self.fate(index, before).unwrap_or(AppendOutcome::Refused);
                (callback.0)(fate, &self.status);
            }
            None => {}
        };
        // Again where a caller's code panicked, for those behind it.
        while !catch_caller_panic(|| waiting.by_ref().for_each(tell)) {}
    }

    fn fate(&self, index: usize, before: SlotOffset) -> Option<AppendOutcome> {
        Some(match self.verdict.get()? {
            GroupOutcome::Durable(group) => AppendOutcome::Durable(CommitInfo {
                seq: group.seq + before.records,
                offset: group.offset + before.bytes,
                ..*group
            }),
            GroupOutcome::Each(fates) => fates.get(index).cloned().unwrap_or(AppendOutcome::Refused),
            GroupOutcome::Refused => AppendOutcome::Refused,
        })
    }

    pub(super) fn is_completed(&self) -> bool {
        self.verdict.get().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Waiter>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts somebody in a place; gives back who was there.
    fn wait(waiting: &mut Vec<Option<Waiter>>, index: usize, waiter: Waiter) -> Option<Waiter> {
        if waiting.len() <= index {
            waiting.resize_with(index + 1, || None);
        }
        match &mut waiting[index] {
            Some(_) if seeded(Bug::WakeReplacedWaker) => None,
            slot => slot.replace(waiter),
        }
    }
}

impl fmt::Debug for GroupCompletion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settlement").field("verdict", &self.verdict).finish_non_exhaustive()
    }
}

impl GroupSlot {
    pub(crate) fn status(&self) -> &StoreStatus {
        &self.completion.status
    }

    /// The fate, if it is known.
    pub(crate) fn fate(&self) -> Option<AppendOutcome> {
        self.completion.fate(self.index, self.before)
    }

    /// Has the fate told to `callback` as soon as it is known. Called before anybody can settle the group.
    pub(super) fn set_callback(&self, callback: Callback) {
        let waiter = Waiter::Callback(callback, self.before);
        GroupCompletion::wait(&mut self.completion.lock(), self.index, waiter);
    }

    /// As [`fate`](Self::fate); whoever asked last is woken when it is known.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<AppendOutcome> {
        // Cloned before the lock is taken, and what it replaces dropped after: both are a caller's code.
        let waker = context.waker().clone();
        let _replaced = {
            let mut waiting = self.completion.lock();
            // Looked at under the lock: a verdict that comes later finds the waker there.
            if let Some(fate) = self.fate().filter(|_| !seeded(Bug::WaitWithoutRecheck)) {
                return Poll::Ready(fate);
            }
            GroupCompletion::wait(&mut waiting, self.index, Waiter::Task(waker))
        };
        Poll::Pending
    }
}
