//! What `src/sync.rs` gives the engine while it is modelled. Compiled in `ministore-concurrency` only.
//!
//! Threads, locks, condition variables and atomics are those of the model checker. Tokio's channels and crossbeam's
//! channel are the real ones: none of them blocks by itself here, each operation on them is a point where
//! another thread may run, and who would block waits for the model checker's [`Bell`]. Their insides are not modelled.

mod channel;
mod condvar;
mod tasks;

pub(crate) use std::sync::{PoisonError, TryLockError};

pub(crate) use shuttle::{
    future::block_on,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

pub(crate) use self::{
    channel::{Receiver, Sender, unbounded},
    condvar::Condvar,
    tasks::{mpsc, oneshot},
};

/// A point where another thread may run.
pub(crate) fn switch() {
    if !std::thread::panicking() {
        AtomicBool::new(false).load(Ordering::SeqCst);
    }
}

/// Rung whenever something happens in a channel.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<u64>,
    changed: Condvar,
}

impl Bell {
    fn ring(&self) {
        if std::thread::panicking() {
            return;
        }
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    /// Repeats `attempt` until it gives something, looking again whenever the bell rings.
    fn wait_for<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> T {
        loop {
            let before = *self.rung.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = attempt() {
                return found;
            }
            let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.changed.wait_while(rung, |rung| *rung == before));
        }
    }
}

#[derive(Debug)]
pub(crate) struct OnceLock<T>(std::sync::OnceLock<T>);

impl<T> OnceLock<T> {
    pub(crate) const fn new() -> Self {
        Self(std::sync::OnceLock::new())
    }

    pub(crate) fn get(&self) -> Option<&T> {
        switch();
        self.0.get()
    }

    pub(crate) fn get_or_init(&self, value: impl FnOnce() -> T) -> &T {
        switch();
        self.0.get_or_init(value)
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        switch();
        self.0.set(value)
    }
}

/// Made anew for every execution.
macro_rules! process_wide {
    ($($(#[$attribute:meta])* $name:ident: $type:ty;)*) => {
        shuttle::lazy_static! { $($(#[$attribute])* static ref $name: $type = Default::default();)* }
    };
}

pub(crate) use process_wide;
