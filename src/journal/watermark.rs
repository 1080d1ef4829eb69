//! How far the journal is durable, and who waits for that to go on.
//!
//! Owns the durable sequence number and the wakers of those who wait for it to pass a number. Where nobody waits it costs
//! the writer one load a commit. No waker is called under the lock.

use std::{collections::BTreeMap, fmt, mem, task::Waker};

use crate::{
    caller_code::catch_caller_panic,
    seeded_bugs::{Bug, seeded},
    sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering, PoisonError},
};

/// Nobody waits for any number.
const NO_WAITER: u64 = u64::MAX;

/// The number waited for, and which of those who wait for it.
pub(super) type Key = (u64, u64);

/// The durable sequence number and who waits for it.
pub(crate) struct DurableWatermark {
    durable_seq: AtomicU64,
    /// The lowest number that somebody waits for.
    lowest_waited_seq: AtomicU64,
    /// It will not go on.
    ended: AtomicBool,
    waiting: Mutex<Waiters>,
}

#[derive(Default)]
struct Waiters {
    wakers: BTreeMap<Key, Waker>,
    /// How many came so far: tells them apart.
    next_waiter_id: u64,
}

impl Waiters {
    fn lowest(&self) -> u64 {
        self.wakers.first_key_value().map_or(NO_WAITER, |((seq, _), _)| *seq)
    }
}

impl DurableWatermark {
    pub(crate) fn new() -> Self {
        Self {
            durable_seq: AtomicU64::default(),
            lowest_waited_seq: AtomicU64::new(NO_WAITER),
            ended: AtomicBool::default(),
            waiting: Mutex::new(Waiters::default()),
        }
    }

    /// The highest sequence number that is durable.
    pub(crate) fn durable_seq(&self) -> u64 {
        self.durable_seq.load(Ordering::SeqCst)
    }

    /// Makes a number known; [`tell`](Self::notify_waiters) wakes those who wait for it.
    pub(crate) fn publish(&self, durable_seq: u64) {
        let before = self.durable_seq.swap(durable_seq, Ordering::SeqCst);
        debug_assert!(before <= durable_seq, "a durable sequence number went back");
    }

    /// Wakes whoever waits for a number that is durable now.
    pub(crate) fn notify_waiters(&self) {
        // Either this sees what was wanted before the number was published, or whoever wants it sees the number.
        let durable_seq = self.durable_seq();
        if self.lowest_waited_seq.load(Ordering::SeqCst) <= durable_seq {
            self.wake(durable_seq);
        }
    }

    /// It will not go on: wakes everybody.
    pub(crate) fn close(&self) {
        self.ended.store(true, Ordering::SeqCst);
        if !seeded(Bug::CloseWithoutNotify) {
            self.wake(NO_WAITER);
        }
    }

    /// Whether it has ended; the durable number that is read after that is the last.
    pub(super) fn is_closed(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn wake(&self, up_to: u64) {
        let due = {
            let mut waiting = self.waiting();
            let later = waiting.wakers.split_off(&(up_to, u64::MAX));
            let due = mem::replace(&mut waiting.wakers, later);
            self.lowest_waited_seq.store(waiting.lowest(), Ordering::SeqCst);
            due
        };
        for waker in due.into_values() {
            catch_caller_panic(|| waker.wake());
        }
    }

    /// Has `waker` called when `seq` is durable; `key` is where it was left before.
    pub(super) fn register(&self, seq: u64, key: Option<Key>, waker: &Waker) -> Key {
        let waker = waker.clone();
        let mut waiting = self.waiting();
        let key = key.unwrap_or_else(|| {
            waiting.next_waiter_id += 1;
            (seq, waiting.next_waiter_id)
        });
        let left_before = waiting.wakers.insert(key, waker);
        self.lowest_waited_seq.store(waiting.lowest(), Ordering::SeqCst);
        drop(waiting);
        // Its owner's code may run.
        drop(left_before);
        key
    }

    pub(super) fn deregister(&self, key: Key) {
        let mut waiting = self.waiting();
        let forgotten = waiting.wakers.remove(&key);
        self.lowest_waited_seq.store(waiting.lowest(), Ordering::SeqCst);
        drop(waiting);
        // Its owner's code may run.
        drop(forgotten);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiters> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for DurableWatermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableWatermark").field("durable_seq", &self.durable_seq).finish_non_exhaustive()
    }
}
