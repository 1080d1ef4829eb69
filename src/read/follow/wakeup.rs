//! Wakes a follower: the writer does in its own process, inotify in any other.

use std::{
    future::{Future, poll_fn},
    os::fd::OwnedFd,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Poll, Waker},
};

use rustix::event::{EventfdFlags, eventfd};

use super::{
    durability::Durability,
    watch::{DirWatch, FsEvent},
};
use crate::{
    MiniStoreError, Result,
    caller_code::catch_caller_panic,
    journal::fork::ForkGuard,
    journal::status::StoreStatus,
    journal::wait_durable::WaitDurable,
    sync::{AtomicBool, Mutex, Ordering, PoisonError, block_on},
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

    fn register(&self, waker: &Waker) {
        let waker = waker.clone();
        // Dropped after the lock is released: dropping a waker may run foreign code.
        let previous = self.lock_waker().replace(waker);
        drop(previous);
    }

    fn lock_waker(&self) -> crate::sync::MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reports that there may be more records.
#[derive(Debug)]
pub(super) enum WakeupSource {
    /// The store that writes the journal.
    Store(Arc<StoreStatus>),
    /// Events of the journal's directory.
    DirWatch(DirWatch),
}

/// The reason that a wait ended.
#[derive(Debug)]
pub(super) enum Wakeup {
    /// There may be more records.
    Changed { names_changed: bool },
    /// The follower was stopped, or the store was closed.
    Closed,
}

impl WakeupSource {
    /// Returns how to ensure that the records read now are durable.
    pub(super) fn durability(&self) -> Durability {
        match self {
            Self::Store(status) => Durability::Watermark(status.durable_seq()),
            Self::DirWatch(watch) => watch.durability(),
        }
    }

    /// Reads the events that are pending, without waiting.
    pub(super) fn drain_events(&mut self) -> FsEvent {
        match self {
            Self::Store(_) => FsEvent::None,
            Self::DirWatch(watch) => watch.drain(),
        }
    }

    /// Waits until there may be more, from record `next_seq` on.
    pub(super) fn wait(&mut self, next_seq: u64, stop: &StopSignal) -> Result<Wakeup> {
        match self {
            Self::Store(status) => wait_for_writer(status, next_seq, stop),
            Self::DirWatch(watch) => Ok(match watch.wait(stop)? {
                _ if stop.is_set() => Wakeup::Closed,
                event => Wakeup::Changed { names_changed: event == FsEvent::DirEntries },
            }),
        }
    }
}

fn wait_for_writer(status: &Arc<StoreStatus>, next_seq: u64, stop: &StopSignal) -> Result<Wakeup> {
    let mut durable = WaitDurable::new(Arc::clone(status), next_seq);
    let outcome = block_on(poll_fn(|context| {
        stop.register(context.waker());
        if stop.is_set() {
            return Poll::Ready(None);
        }
        Pin::new(&mut durable).poll(context).map(Some)
    }));
    match outcome {
        None | Some(Err(MiniStoreError::Closed)) => Ok(Wakeup::Closed),
        Some(Ok(())) => Ok(Wakeup::Changed { names_changed: true }),
        Some(Err(error)) => Err(error),
    }
}
