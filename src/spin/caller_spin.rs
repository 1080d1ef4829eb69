//! Spinning of one caller until its append is durable.
//!
//! One caller at a time spins. A blocking caller polls in a loop. An asynchronous one lets its runtime poll it again at
//! once, so that the other tasks of the thread run, too: no thread of a runtime is blocked.
//!
//! An asynchronous caller spins only after a group of one append or of more than [`MANY_APPENDS`]. With one append it
//! returns without a wake-up. With many it keeps a worker thread of the runtime awake for the wake-ups of the others. In
//! between it would return before the others and split the group that they could share.

use std::{
    future::Future,
    pin::pin,
    task::Context,
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, task::yield_now};

use super::{SpinBackoff, is_multicore};
use crate::sync::{
    Mutex, PoisonError,
    stats::{AtomicU64, Ordering},
    thread,
};

/// The longest spin. On a slower disk a wake-up is a small part of a commit.
const SPIN_MAX: Duration = Duration::from_millis(2);

/// The longest spin, as a multiple of the last commit's latency.
const COMMITS_MAX: u32 = 4;

/// A group of more appends than this takes so long to notify that keeping a thread awake for it pays.
const MANY_APPENDS: u64 = 64;

/// A spin has paid if its caller sees the outcome within this time after the commit. A parked thread takes longer to
/// wake; and so does a caller that spins where other work needs the processors.
const LATE: Duration = Duration::from_micros(30);

/// Decides which caller spins, and for how long. Shared by the callers of a store.
#[derive(Debug)]
pub(crate) struct CallerSpin {
    is_enabled: bool,
    /// The longest spin: [`SPIN_MAX`], except in tests.
    spin_max: Duration,
    opened_at: Instant,
    /// The latency of the last commit in nanoseconds; `u64::MAX` before the first.
    commit_nanos: AtomicU64,
    /// Appends of the last group.
    group_appends: AtomicU64,
    /// When the turn of the last caller that spun ends, in nanoseconds after `opened_at`. So the turn of a caller that
    /// is not polled any more ends, too.
    turn_end: AtomicU64,
    backoff: Mutex<SpinBackoff>,
}

/// The turn of a caller that spins.
#[derive(Debug)]
pub(crate) struct SpinTurn {
    end: u64,
}

impl CallerSpin {
    /// Returns a spin that does nothing if `enabled` is not set, or where there is one processor.
    pub(crate) fn new(enabled: bool) -> Self {
        Self {
            is_enabled: enabled && is_multicore(),
            spin_max: SPIN_MAX,
            opened_at: Instant::now(),
            commit_nanos: AtomicU64::new(u64::MAX),
            group_appends: AtomicU64::new(0),
            turn_end: AtomicU64::new(0),
            backoff: Mutex::default(),
        }
    }

    /// Records the latency of a commit.
    pub(crate) fn record_commit(&self, latency: Duration) {
        self.commit_nanos.store(nanos(latency), Ordering::Relaxed);
    }

    /// Records how many appends a group has. Called before the group is completed.
    pub(crate) fn record_group(&self, appends: u64) {
        self.group_appends.store(appends, Ordering::Relaxed);
    }

    /// Returns the latency of the last commit, if there was one.
    pub(crate) fn last_commit_latency(&self) -> Option<Duration> {
        let nanos = self.commit_nanos.load(Ordering::Relaxed);
        (nanos < u64::MAX).then(|| Duration::from_nanos(nanos))
    }

    /// Begins a turn, unless another caller has one or spinning does not pay.
    pub(crate) fn begin(&self) -> Option<SpinTurn> {
        if !self.is_enabled {
            return None;
        }
        let latency = self.last_commit_latency().filter(|latency| *latency <= self.spin_max)?;
        let (now, last_end) = (self.now(), self.turn_end.load(Ordering::Relaxed));
        let end = now + nanos((latency * COMMITS_MAX).min(self.spin_max));
        let is_free = last_end <= now
            && self.turn_end.compare_exchange(last_end, end, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if !is_free {
            return None;
        }
        let turn = SpinTurn { end };
        if self.backoff.lock().unwrap_or_else(PoisonError::into_inner).skips() {
            self.release(&turn);
            return None;
        }
        Some(turn)
    }

    /// As [`begin`](Self::begin), for a task: not after groups of a few appends. Only tokio's runtime is known to poll a
    /// task again without waking another thread.
    pub(crate) fn begin_async(&self) -> Option<SpinTurn> {
        if (2..=MANY_APPENDS).contains(&self.group_appends.load(Ordering::Relaxed)) {
            return None;
        }
        let turn = self.begin()?;
        if Handle::try_current().is_err() {
            self.release(&turn);
            return None;
        }
        Some(turn)
    }

    /// Returns whether a turn is not over.
    pub(crate) fn has_time(&self, turn: &SpinTurn) -> bool {
        self.now() < turn.end
    }

    /// Yields the processor to another thread. Returns `false` when the turn is over.
    pub(crate) fn spin(&self, turn: &SpinTurn) -> bool {
        let continues = self.has_time(turn);
        if continues {
            thread::yield_now();
        }
        continues
    }

    /// Yields the processor to another thread, and lets the runtime poll the task again after the other tasks of its
    /// thread. (Waking the task here instead would wake another worker thread each time, which was measured to halve
    /// the rate.)
    pub(crate) fn spin_async(&self, context: &mut Context<'_>) {
        thread::yield_now();
        // Polled once, it has registered the task.
        let _pending = pin!(yield_now()).poll(context);
    }

    /// Ends a turn. `durable_at` is when the append became durable, if it did.
    pub(crate) fn end(&self, turn: &SpinTurn, durable_at: Option<Instant>) {
        self.finish(turn, durable_at.is_some_and(|at| at.elapsed() <= LATE));
    }

    fn finish(&self, turn: &SpinTurn, paid: bool) {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner).record(paid);
        self.release(turn);
    }

    fn release(&self, turn: &SpinTurn) {
        // Fails if the turn is over and another caller has begun one.
        let _ = self.turn_end.compare_exchange(turn.end, 0, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        nanos(self.opened_at.elapsed())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::atomic::{AtomicU32, Ordering as Order};

    use super::*;

    /// Longer than any test.
    const LONG: Duration = Duration::from_secs(3600);

    fn spin(group_appends: u64) -> CallerSpin {
        let spin = CallerSpin { is_enabled: true, spin_max: LONG, ..CallerSpin::new(true) };
        spin.record_commit(LONG);
        spin.record_group(group_appends);
        spin
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn one_caller_at_a_time_spins() {
        let spin = spin(1);
        let turn = spin.begin().unwrap();
        assert!(spin.spin(&turn) && spin.begin().is_none());
        spin.finish(&turn, true);
        assert!(spin.begin().is_some());
    }

    #[test]
    fn turn_of_dropped_caller_expires() {
        let spin = spin(1);
        spin.record_commit(Duration::from_nanos(1));
        let turn = spin.begin().unwrap();
        while spin.spin(&turn) {}
        spin.record_commit(LONG);
        let _next = spin.begin().unwrap();
        spin.release(&turn);
        assert!(spin.begin().is_none(), "the first caller does not end the second one's turn");
    }

    #[test]
    fn slow_or_unknown_commits_prevent_spins() {
        assert!(CallerSpin { is_enabled: true, ..CallerSpin::new(true) }.begin().is_none(), "no commit yet");
        let spin = spin(1);
        spin.record_commit(LONG + Duration::from_nanos(1));
        assert!(spin.begin().is_none());
        spin.record_commit(LONG);
        assert!(spin.begin().is_some(), "one slow commit has no lasting effect");
        assert!(CallerSpin::new(false).begin().is_none(), "the option is off");
    }

    #[test]
    fn late_or_failed_spin_is_a_miss() {
        let late = Instant::now().checked_sub(LATE * 2).unwrap();
        for durable_at in [None, Some(late)] {
            let spin = spin(1);
            spin.end(&spin.begin().unwrap(), durable_at);
            assert!(spin.begin().is_none(), "{durable_at:?}: the next one is skipped");
            assert!(spin.begin().is_some(), "{durable_at:?}: and only that one");
        }
    }

    #[test]
    fn task_spins_after_one_or_many_appends_only() {
        let runtime = runtime();
        let _inside = runtime.enter();
        for (appends, spins) in [(1, true), (2, false), (MANY_APPENDS, false), (MANY_APPENDS + 1, true)] {
            assert_eq!(spin(appends).begin_async().is_some(), spins, "{appends}");
        }
    }

    #[test]
    fn task_outside_of_tokio_does_not_spin() {
        let spin = spin(1);
        assert!(spin.begin_async().is_none());
        assert!(spin.begin().is_some(), "its turn was released");
    }

    #[test]
    fn other_tasks_run_while_one_spins() {
        let (spin, other) = (spin(1), std::sync::Arc::new(AtomicU32::new(0)));
        let count = std::sync::Arc::clone(&other);
        runtime().block_on(async move {
            let turn = spin.begin_async().unwrap();
            tokio::spawn(async move { count.fetch_add(1, Order::Relaxed) });
            let polls = std::future::poll_fn(|context| {
                if other.load(Order::Relaxed) == 0 && spin.has_time(&turn) {
                    spin.spin_async(context);
                    return std::task::Poll::Pending;
                }
                std::task::Poll::Ready(other.load(Order::Relaxed))
            });
            assert_eq!(polls.await, 1, "the task ran on the thread of the one that spins");
        });
    }
}
