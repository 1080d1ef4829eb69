//! The durable watermark: the highest durable sequence number, and the wakers of the tasks that wait for it to reach a
//! number.
//!
//! While no task waits, it costs the writer one load per commit. No waker is called under the lock.

use std::{collections::BTreeMap, fmt, mem, task::Waker};

use crate::{
    caller_code::catch_caller_panic,
    sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering, PoisonError},
};

/// The value of `lowest_waited_seq` while no task waits.
const NO_WAITER: u64 = u64::MAX;

/// The sequence number that a task waits for, and the id of the task.
pub(super) type WaiterKey = (u64, u64);

/// The durable sequence number and the tasks that wait for it.
pub(crate) struct DurableWatermark {
    durable_seq: AtomicU64,
    /// The lowest sequence number that a task waits for.
    lowest_waited_seq: AtomicU64,
    /// The watermark will not rise any more.
    closed: AtomicBool,
    waiters: Mutex<Waiters>,
}

#[derive(Default)]
struct Waiters {
    wakers: BTreeMap<WaiterKey, Waker>,
    /// Distinguishes the tasks that wait for the same number.
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
            closed: AtomicBool::default(),
            waiters: Mutex::new(Waiters::default()),
        }
    }

    /// Returns the highest durable sequence number.
    pub(crate) fn durable_seq(&self) -> u64 {
        self.durable_seq.load(Ordering::SeqCst)
    }

    /// Stores a new durable sequence number. Does not wake any task: see [`notify_waiters`](Self::notify_waiters).
    pub(crate) fn publish(&self, durable_seq: u64) {
        let before = self.durable_seq.swap(durable_seq, Ordering::SeqCst);
        debug_assert!(before <= durable_seq, "a durable sequence number went back");
    }

    /// Wakes the tasks that wait for a number that is durable now.
    pub(crate) fn notify_waiters(&self) {
        // Sequentially consistent: either this load sees a registration, or the task that registers sees the published
        // number.
        let durable_seq = self.durable_seq();
        if self.lowest_waited_seq.load(Ordering::SeqCst) <= durable_seq {
            self.wake(durable_seq);
        }
    }

    /// Wakes all tasks: the watermark will not rise any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.wake(NO_WAITER);
    }

    /// Returns whether the watermark is closed. A durable number that is read after that is final.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn wake(&self, up_to: u64) {
        let due = {
            let mut waiters = self.lock();
            let later = waiters.wakers.split_off(&(up_to, u64::MAX));
            let due = mem::replace(&mut waiters.wakers, later);
            self.lowest_waited_seq.store(waiters.lowest(), Ordering::SeqCst);
            due
        };
        for waker in due.into_values() {
            catch_caller_panic(|| waker.wake());
        }
    }

    /// Registers `waker` to be woken when `seq` is durable. Replaces the waker that was registered under `key`, if any.
    pub(super) fn register(&self, seq: u64, key: Option<WaiterKey>, waker: &Waker) -> WaiterKey {
        let waker = waker.clone();
        let mut waiters = self.lock();
        let key = key.unwrap_or_else(|| {
            waiters.next_waiter_id += 1;
            (seq, waiters.next_waiter_id)
        });
        let replaced = waiters.wakers.insert(key, waker);
        self.lowest_waited_seq.store(waiters.lowest(), Ordering::SeqCst);
        drop(waiters);
        // After the lock is released, because dropping a waker may run a caller's code.
        drop(replaced);
        key
    }

    pub(super) fn deregister(&self, key: WaiterKey) {
        let mut waiters = self.lock();
        let removed = waiters.wakers.remove(&key);
        self.lowest_waited_seq.store(waiters.lowest(), Ordering::SeqCst);
        drop(waiters);
        // After the lock is released, because dropping a waker may run a caller's code.
        drop(removed);
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for DurableWatermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableWatermark").field("durable_seq", &self.durable_seq).finish_non_exhaustive()
    }
}
