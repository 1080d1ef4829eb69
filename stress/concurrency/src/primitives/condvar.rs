//! Shuttle's condition variable, and time that passes.

use std::{
    sync::{Arc, LockResult, PoisonError},
    time::Duration,
};

use super::{AtomicBool, MutexGuard, Ordering, thread};

/// So long a time does not pass while a model runs; a shorter one may have passed at any moment.
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

    /// Whether the time passed is said beside the guard.
    pub(crate) fn wait_timeout_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, bool)> {
        let timer = Timer { passed: Arc::default(), done: Arc::default() };
        if limit < NEVER {
            timer.start(self.clone());
        }
        let waited = self.0.wait_while(guard, |state| !timer.passed() && condition(state));
        timer.done.store(true, Ordering::SeqCst);
        waited
            .map(|guard| (guard, timer.passed()))
            .map_err(|poisoned| PoisonError::new((poisoned.into_inner(), timer.passed())))
    }
}

/// A thread that lets time pass for one who waits.
#[derive(Clone)]
struct Timer {
    passed: Arc<AtomicBool>,
    done: Arc<AtomicBool>,
}

impl Timer {
    fn passed(&self) -> bool {
        self.passed.load(Ordering::SeqCst)
    }

    /// It rings until it is heard: whoever waits may be about to, and not hear the first.
    fn start(&self, bell: Condvar) {
        let timer = self.clone();
        thread::spawn(move || {
            timer.passed.store(true, Ordering::SeqCst);
            while !timer.done.load(Ordering::SeqCst) {
                bell.notify_all();
                thread::yield_now();
            }
        });
    }
}
