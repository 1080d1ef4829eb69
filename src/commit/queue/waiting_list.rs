//! Appends that wait for capacity. The list keeps their bytes, so that any thread that frees capacity can move them
//! into the queue: whether their futures are polled does not matter.

use std::{
    collections::BTreeMap,
    mem,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{completion::PendingCommit, queued_append::QueuedAppend};
use crate::{
    caller_code::catch_caller_panic,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Waiting appends by ticket, in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct WaitingList {
    appends: BTreeMap<u64, WaitingAppend>,
    next_ticket: u64,
}

#[derive(Debug)]
pub(super) struct WaitingAppend {
    queued: QueuedAppend,
    slot: Arc<WaitingSlot>,
}

/// Identifies a waiting append for its future.
#[derive(Debug)]
pub(super) struct Ticket {
    number: u64,
    slot: Arc<WaitingSlot>,
}

/// Shared by a waiting append and its future. Locked after the queue, never before it.
#[derive(Debug)]
struct WaitingSlot(Mutex<Stage>);

#[derive(Debug)]
enum Stage {
    Waiting(Option<Waker>),
    Accepted(PendingCommit),
    Rejected,
}

impl WaitingList {
    pub(super) fn is_empty(&self) -> bool {
        self.appends.is_empty()
    }

    pub(super) fn push(&mut self, queued: QueuedAppend) -> Ticket {
        let number = self.next_ticket;
        self.next_ticket += 1;
        let slot = Arc::new(WaitingSlot(Mutex::new(Stage::Waiting(None))));
        self.appends.insert(number, WaitingAppend { queued, slot: Arc::clone(&slot) });
        Ticket { number, slot }
    }

    /// Removes the first append if it takes no more than `free_bytes`.
    pub(super) fn pop_if_fits(&mut self, free_bytes: u64) -> Option<WaitingAppend> {
        let first = self.appends.first_entry()?;
        (u64::from(first.get().queued.permits) <= free_bytes).then(|| first.remove())
    }

    /// Removes an append if it still waits. The second value is whether it was the first.
    pub(super) fn remove(&mut self, ticket: &Ticket) -> (Option<WaitingAppend>, bool) {
        let is_first = self.appends.first_key_value().is_some_and(|(first, _)| *first == ticket.number);
        (self.appends.remove(&ticket.number), is_first)
    }

    /// Removes and returns all appends, in order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = WaitingAppend> + use<> {
        mem::take(&mut self.appends).into_values()
    }
}

impl Ticket {
    /// Resolves when the append is in the queue, or to `None` when it was rejected.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Option<PendingCommit>> {
        self.slot.poll(context)
    }
}

impl WaitingAppend {
    /// Adds it to the queue with `add`. Called under the queue's lock: [`Resolved::notify`] does the rest outside it.
    pub(super) fn accept(self, add: impl FnOnce(&mut QueuedAppend) -> PendingCommit) -> Resolved {
        let Self { mut queued, slot } = self;
        let pending = add(&mut queued);
        let waker = slot.resolve(Stage::Accepted(pending));
        Resolved { queued, waker }
    }

    pub(super) fn reject(self) -> Resolved {
        let Self { queued, slot } = self;
        let waker = slot.resolve(Stage::Rejected);
        Resolved { queued, waker }
    }
}

/// What remains of an append that does not wait any more: its bytes and its waker.
#[derive(Debug)]
pub(super) struct Resolved {
    queued: QueuedAppend,
    waker: Option<Waker>,
}

impl Resolved {
    /// Drops the bytes and wakes the future. Runs code of callers, so it must not be called under the lock.
    pub(super) fn notify(self) {
        let Self { queued, waker } = self;
        catch_caller_panic(|| drop(queued));
        if let Some(waker) = waker {
            catch_caller_panic(|| waker.wake());
        }
    }
}

impl WaitingSlot {
    fn resolve(&self, stage: Stage) -> Option<Waker> {
        match mem::replace(&mut *self.lock(), stage) {
            Stage::Waiting(waker) => waker,
            Stage::Accepted(_) | Stage::Rejected => None,
        }
    }

    /// Resolves to `None` if the append was rejected. The waker of the last call is woken.
    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<PendingCommit>> {
        // Cloned before the lock is taken, and the replaced one is dropped after: both run code of the caller.
        let waker = context.waker().clone();
        let _replaced = {
            let mut stage = self.lock();
            match mem::replace(&mut *stage, Stage::Rejected) {
                Stage::Waiting(replaced) => {
                    *stage = Stage::Waiting(Some(waker));
                    replaced
                }
                Stage::Accepted(slot) => return Poll::Ready(Some(slot)),
                Stage::Rejected => return Poll::Ready(None),
            }
        };
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
