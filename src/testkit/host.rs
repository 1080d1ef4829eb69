//! The simulated computer. Every operation on its disk is counted, can be the one at which the incarnation ends, and is
//! a point at which the other thread may run.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::io::Errno;

use super::{
    scheduler::Scheduler,
    state::{OpDecision, OpKind, SimState},
};

/// Called on a foreground thread before each of its operations.
pub(super) type Watcher = Box<dyn FnMut() + Send>;

/// A simulated computer: the state of its disk, and the scheduler of the operations on it.
pub(super) struct SimHost {
    state: Mutex<SimState>,
    pub(super) scheduler: Arc<Scheduler>,
    watcher: Mutex<Option<Watcher>>,
    /// Background work has a thread in lockstep; otherwise it runs inline.
    pub(super) lockstep: bool,
    /// Distinguishes the disks of one process.
    pub(super) id: u64,
}

impl fmt::Debug for SimHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimHost").field("id", &self.id).finish_non_exhaustive()
    }
}

impl SimHost {
    pub(super) fn new(seed: u64, lockstep: bool) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        Self {
            state: Mutex::new(SimState::new(seed)),
            scheduler: Arc::default(),
            watcher: Mutex::default(),
            lockstep,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, SimState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn watch(&self, watcher: Option<Watcher>) {
        *self.watcher() = watcher;
    }

    fn watcher(&self) -> MutexGuard<'_, Option<Watcher>> {
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called before every operation that changes something: the background thread may run, and the watcher is called.
    pub(super) fn yield_point(&self) {
        if self.scheduler.yield_if_background() {
            return;
        }
        let steps = if self.scheduler.is_busy() { self.state().background_steps() } else { 0 };
        for _ in 0..steps {
            self.scheduler.advance();
        }
        // Taken out while it runs, because it reads from this disk.
        let watcher = self.watcher().take();
        if let Some(mut watcher) = watcher {
            watcher();
            *self.watcher() = Some(watcher);
        }
    }

    /// Called before a read: the background thread may run.
    pub(super) fn maybe_yield_on_read(&self) {
        if !self.scheduler.on_background_thread() && self.scheduler.is_busy() && self.state().rng.chance(15) {
            self.scheduler.advance();
        }
    }

    /// Runs one operation; `change` applies it to the state. A crash in the middle of it may leave it applied or not.
    pub(super) fn apply<T>(
        &self,
        incarnation: u64,
        kind: OpKind,
        change: impl FnOnce(&mut SimState) -> io::Result<T>,
    ) -> io::Result<T> {
        self.yield_point();
        let mut state = self.state();
        match state.begin(incarnation, kind) {
            OpDecision::Apply => change(&mut state),
            OpDecision::Crash(_) => {
                if state.rng.chance(50) {
                    let _ = change(&mut state);
                }
                Err(Errno::IO.into())
            }
            OpDecision::Fail(errno) => Err(errno.into()),
        }
    }
}
