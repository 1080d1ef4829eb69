//! Shuttle's condition variable, with timeouts.

use std::{
    sync::{Arc, LockResult, PoisonError},
    time::Duration,
};

use super::{AtomicBool, MutexGuard, Ordering, thread};

/// A timeout of this length or longer never expires while a model runs; a shorter one may expire at any moment.
const NEVER: Duration = Duration::from_secs(1);

#[derive(Debug, Default, Clone)]
pub(crate) struct Condvar(Arc<shuttle::sync::Condvar>);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.0.wait(guard)
    }

    pub(crate) fn wait_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        self.0.wait_while(guard, condition)
    }

    /// Waits while `condition` holds, until the timeout. Returns the guard and whether the timeout expired.
    pub(crate) fn wait_timeout_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, bool)> {
        let timer = Timer { expired: Arc::default(), done: Arc::default() };
        if limit < NEVER {
            timer.start(self.clone());
        }
        let waited = self.0.wait_while(guard, |state| !timer.is_expired() && condition(state));
        timer.done.store(true, Ordering::SeqCst);
        waited
            .map(|guard| (guard, timer.is_expired()))
            .map_err(|poisoned| PoisonError::new((poisoned.into_inner(), timer.is_expired())))
    }
}

/// A thread that makes a timeout expire at some moment.
#[derive(Clone)]
struct Timer {
    expired: Arc<AtomicBool>,
    done: Arc<AtomicBool>,
}

impl Timer {
    fn is_expired(&self) -> bool {
        self.expired.load(Ordering::SeqCst)
    }

    /// Starts the thread. It notifies until the waiting thread has returned, because that thread may start to wait after the
    /// first notification.
    fn start(&self, condvar: Condvar) {
        let timer = self.clone();
        thread::spawn(move || {
            timer.expired.store(true, Ordering::SeqCst);
            while !timer.done.load(Ordering::SeqCst) {
                condvar.notify_all();
                thread::yield_now();
            }
        });
    }
}
