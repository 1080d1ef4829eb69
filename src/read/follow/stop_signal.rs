//! Stops a follower that waits in another thread.

use std::{os::fd::OwnedFd, path::Path, task::Waker};

use rustix::event::{EventfdFlags, eventfd};

use crate::{
    MiniStoreError, Result,
    caller_code::catch_caller_panic,
    journal::fork::ForkGuard,
    sync::{AtomicBool, Mutex, MutexGuard, Ordering, PoisonError},
};

/// Stops a follower, which may be waiting.
#[derive(Debug)]
pub(super) struct StopSignal {
    /// The process that waits. A forked child must not wake it.
    fork_guard: ForkGuard,
    stopped: AtomicBool,
    /// The waker of the thread that waits for the writer.
    waker: Mutex<Option<Waker>>,
    /// Wakes the thread that waits for inotify.
    event: Option<OwnedFd>,
}

impl StopSignal {
    /// Creates the signal of a follower that waits for the writer.
    pub(super) fn new() -> Result<Self> {
        let fork_guard = ForkGuard::current()?;
        Ok(Self { fork_guard, stopped: AtomicBool::new(false), waker: Mutex::new(None), event: None })
    }

    /// Creates the signal of a follower that waits for inotify.
    pub(super) fn with_event() -> Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| MiniStoreError::Io { source: errno.into() })?;
        Ok(Self { event: Some(event), ..Self::new()? })
    }

    /// Stops the follower. In a forked child it stops only the child's copy: the waiting thread and the eventfd belong
    /// to the parent.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        if self.fork_guard.in_forked_child() {
            return;
        }
        if let Some(waker) = self.lock_waker().take() {
            catch_caller_panic(|| waker.wake());
        }
        if let Some(event) = &self.event {
            // The write fails only if the counter is full, and then the event is set already.
            let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
        }
    }

    pub(super) fn is_set(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Fails in a forked child: the follower's descriptors belong to the parent.
    pub(super) fn check_fork(&self, path: &Path) -> Result<()> {
        if self.fork_guard.in_forked_child() {
            return Err(MiniStoreError::Forked { path: path.to_path_buf(), pid: self.fork_guard.id });
        }
        Ok(())
    }

    pub(super) fn event(&self) -> Option<&OwnedFd> {
        self.event.as_ref()
    }

    pub(super) fn register(&self, waker: &Waker) {
        let waker = waker.clone();
        // Dropped after the lock is released: dropping a waker may run foreign code.
        let previous = self.lock_waker().replace(waker);
        drop(previous);
    }

    fn lock_waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
