//! The primitives that `src/sync.rs` exports when the engine runs under the model checker. Compiled in
//! `ministore-concurrency` only.
//!
//! Threads, locks, condition variables and atomics are those of the model checker. The channels of tokio and crossbeam are the
//! real ones, whose internals are not modelled: another thread may run before each operation on them, and a thread that would
//! block waits for a [`Notifier`] of the model checker instead.

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
    channel::{ChannelReceiver as Receiver, ChannelSender as Sender, unbounded},
    condvar::Condvar,
    tasks::{mpsc, oneshot},
};

/// Lets another thread run.
pub(crate) fn switch() {
    if !std::thread::panicking() {
        AtomicBool::new(false).load(Ordering::SeqCst);
    }
}

/// Notified whenever a channel changes.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    notifications: Mutex<u64>,
    changed: Condvar,
}

impl Notifier {
    fn notify(&self) {
        if std::thread::panicking() {
            return;
        }
        *self.notifications.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    /// Calls `attempt` until it returns a value, again after each notification.
    fn wait_for<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> T {
        loop {
            let before = *self.notifications.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = attempt() {
                return found;
            }
            let notifications = self.notifications.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.changed.wait_while(notifications, |notifications| *notifications == before));
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

/// Statics that are created again for every execution.
macro_rules! process_wide {
    ($($(#[$attribute:meta])* $name:ident: $type:ty;)*) => {
        shuttle::lazy_static! { $($(#[$attribute])* static ref $name: $type = Default::default();)* }
    };
}

pub(crate) use process_wide;
