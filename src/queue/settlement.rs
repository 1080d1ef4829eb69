//! What became of a commit group: told once by the writer, looked up by every caller whose lines stand in it.

use std::{
    io, mem,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use crate::{
    planted::{Bug, planted},
    request::outliving_callers,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

/// What became of one append.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    /// Durable; the sequence number of its first record.
    Durable(u64),
    /// There was no room for it on the disk: not written.
    NoRoom(Arc<io::Error>),
    /// The store was closed, poisoned or abandoned by its writer: it knows why.
    Refused,
}

/// What became of all appends of a group.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// All durable; the sequence number of the group's first record.
    Durable(u64),
    /// Each had a commit of its own, in their order.
    Each(Vec<Fate>),
    Refused,
}

/// Shared by the writer and the callers of one group: one for all of them, not one for each.
#[derive(Debug)]
pub(crate) struct Settlement {
    verdict: OnceLock<Verdict>,
    /// Who is to be woken, by place in the group; only until there is a verdict.
    waiting: Mutex<Vec<Option<Waker>>>,
}

/// One append's place in a group.
#[derive(Debug)]
pub(crate) struct Place {
    settlement: Arc<Settlement>,
    index: usize,
    /// Records of the group before its first.
    records_before: u64,
}

impl Settlement {
    pub(super) fn new() -> Self {
        Self { verdict: OnceLock::new(), waiting: Mutex::new(Vec::new()) }
    }

    pub(super) fn place(self: &Arc<Self>, index: usize, records_before: u64) -> Place {
        Place { settlement: Arc::clone(self), index, records_before }
    }

    /// Tells everybody. The first verdict is the one.
    pub(super) fn settle(&self, verdict: Verdict) {
        let _ = self.verdict.set(verdict);
        let mut waiting = mem::take(&mut *self.lock()).into_iter().flatten();
        // Again where a waker panicked, for those behind it.
        while !outliving_callers(|| waiting.by_ref().for_each(Waker::wake)) {}
    }

    pub(super) fn is_settled(&self) -> bool {
        self.verdict.get().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Waker>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The fate, if it is known.
    pub(crate) fn fate(&self) -> Option<Fate> {
        Some(match self.settlement.verdict.get()? {
            Verdict::Durable(first) => Fate::Durable(first + self.records_before),
            Verdict::Each(fates) => fates.get(self.index).cloned().unwrap_or(Fate::Refused),
            Verdict::Refused => Fate::Refused,
        })
    }

    /// As [`fate`](Self::fate); whoever asked last is woken when it is known.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Fate> {
        // Cloned before the lock is taken, and what it replaces dropped after: both are a caller's code.
        let waker = context.waker().clone();
        let _replaced = {
            let mut waiting = self.settlement.lock();
            // Looked at under the lock: a verdict that comes later finds the waker there.
            if let Some(fate) = self.fate().filter(|_| !planted(Bug::WaitsWithoutLooking)) {
                return Poll::Ready(fate);
            }
            if waiting.len() <= self.index {
                waiting.resize(self.index + 1, None);
            }
            match &mut waiting[self.index] {
                Some(_) if planted(Bug::WakesWhoAskedFirst) => None,
                place => place.replace(waker),
            }
        };
        Poll::Pending
    }
}
