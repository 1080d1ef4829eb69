//! When to look again: told by the writer in its own process, by the kernel in any other.

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

/// Ends a follower that may be waiting.
#[derive(Debug)]
pub(super) struct StopSignal {
    /// Whose the rest is.
    process: ForkGuard,
    stopped: AtomicBool,
    /// Of a thread that waits for the writer.
    waiting: Mutex<Option<Waker>>,
    /// Wakes a thread that waits for the kernel.
    event: Option<OwnedFd>,
}

impl StopSignal {
    /// For a follower that waits for the writer.
    pub(super) fn new() -> Result<Self> {
        let process = ForkGuard::current()?;
        Ok(Self { process, stopped: AtomicBool::new(false), waiting: Mutex::new(None), event: None })
    }

    /// For a follower that waits for the kernel.
    pub(super) fn with_event() -> Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| MiniStoreError::Io { source: errno.into() })?;
        Ok(Self { event: Some(event), ..Self::new()? })
    }

    /// In a fork nothing but the fork's copy is stopped: who waits is another process's, and so is the event.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        if self.process.in_forked_child() {
            return;
        }
        if let Some(waker) = self.waiting().take() {
            catch_caller_panic(|| waker.wake());
        }
        if let Some(event) = &self.event {
            // It fails only where it is full of earlier ones.
            let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
        }
    }

    pub(super) fn is_set(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Refuses to go on, in a fork, with what another process has opened.
    pub(super) fn check_fork(&self, path: &Path) -> Result<()> {
        if self.process.in_forked_child() {
            return Err(MiniStoreError::Forked { path: path.to_path_buf(), pid: self.process.id });
        }
        Ok(())
    }

    pub(super) fn event(&self) -> Option<&OwnedFd> {
        self.event.as_ref()
    }

    fn register(&self, waker: &Waker) {
        let waker = waker.clone();
        let left_before = self.waiting().replace(waker);
        drop(left_before);
    }

    fn waiting(&self) -> crate::sync::MutexGuard<'_, Option<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who says that there is more.
#[derive(Debug)]
pub(super) enum WakeupSource {
    /// The store that writes the journal.
    Store(Arc<StoreStatus>),
    /// The directory.
    DirWatch(DirWatch),
}

/// What waiting came to.
#[derive(Debug)]
pub(super) enum Wakeup {
    /// There may be more.
    Changed { names_changed: bool },
    /// There will be no more.
    Closed,
}

impl WakeupSource {
    /// What may be handed out now.
    pub(super) fn durable(&self) -> Durability {
        match self {
            Self::Store(status) => Durability::Watermark(status.durable_seq()),
            Self::DirWatch(watch) => watch.durable(),
        }
    }

    /// Takes in what is known already, before a look.
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
                seen => Wakeup::Changed { names_changed: seen == FsEvent::DirEntries },
            }),
        }
    }
}

fn wait_for_writer(status: &Arc<StoreStatus>, next_seq: u64, stop: &StopSignal) -> Result<Wakeup> {
    let mut durable = WaitDurable::new(Arc::clone(status), next_seq);
    let waited = block_on(poll_fn(|context| {
        stop.register(context.waker());
        if stop.is_set() {
            return Poll::Ready(None);
        }
        Pin::new(&mut durable).poll(context).map(Some)
    }));
    match waited {
        None | Some(Err(MiniStoreError::Closed)) => Ok(Wakeup::Closed),
        Some(Ok(())) => Ok(Wakeup::Changed { names_changed: true }),
        Some(Err(error)) => Err(error),
    }
}
