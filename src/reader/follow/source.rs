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
    durable::Durable,
    watch::{Seen, Watch},
};
use crate::{
    MiniStoreError, Result,
    process::Process,
    progress::WaitDurable,
    request::outliving_callers,
    shared::Shared,
    sync::{AtomicBool, Mutex, Ordering, PoisonError, block_on},
};

/// Ends a follower that may be waiting.
#[derive(Debug)]
pub(super) struct Stop {
    /// Whose the rest is.
    process: Process,
    stopped: AtomicBool,
    /// Of a thread that waits for the writer.
    waiting: Mutex<Option<Waker>>,
    /// Wakes a thread that waits for the kernel.
    event: Option<OwnedFd>,
}

impl Stop {
    /// For a follower that waits for the writer.
    pub(super) fn new() -> Result<Self> {
        let process = Process::current()?;
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
        if self.process.is_elsewhere() {
            return;
        }
        if let Some(waker) = self.waiting().take() {
            outliving_callers(|| waker.wake());
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
    pub(super) fn check_process(&self, path: &Path) -> Result<()> {
        if self.process.is_elsewhere() {
            return Err(MiniStoreError::Forked { path: path.to_path_buf(), pid: self.process.id });
        }
        Ok(())
    }

    pub(super) fn event(&self) -> Option<&OwnedFd> {
        self.event.as_ref()
    }

    fn leave(&self, waker: &Waker) {
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
pub(super) enum Source {
    /// The store that writes the journal.
    Store(Arc<Shared>),
    /// The directory.
    Watch(Watch),
}

/// What waiting came to.
#[derive(Debug)]
pub(super) enum Waited {
    /// There may be more.
    Moved { names_changed: bool },
    /// There will be no more.
    Ended,
}

impl Source {
    /// What may be handed out now.
    pub(super) fn durable(&self) -> Durable {
        match self {
            Self::Store(shared) => Durable::UpTo(shared.durable_seq()),
            Self::Watch(watch) => watch.durable(),
        }
    }

    /// Takes in what is known already, before a look.
    pub(super) fn begin_look(&mut self) -> Seen {
        match self {
            Self::Store(_) => Seen::Nothing,
            Self::Watch(watch) => watch.drain(),
        }
    }

    /// Waits until there may be more, from record `next_seq` on.
    pub(super) fn wait(&mut self, next_seq: u64, stop: &Stop) -> Result<Waited> {
        match self {
            Self::Store(shared) => wait_for_writer(shared, next_seq, stop),
            Self::Watch(watch) => Ok(match watch.wait(stop)? {
                _ if stop.is_set() => Waited::Ended,
                seen => Waited::Moved { names_changed: seen == Seen::Names },
            }),
        }
    }
}

fn wait_for_writer(shared: &Arc<Shared>, next_seq: u64, stop: &Stop) -> Result<Waited> {
    let mut durable = WaitDurable::new(Arc::clone(shared), next_seq);
    let waited = block_on(poll_fn(|context| {
        stop.leave(context.waker());
        if stop.is_set() {
            return Poll::Ready(None);
        }
        Pin::new(&mut durable).poll(context).map(Some)
    }));
    match waited {
        None | Some(Err(MiniStoreError::Closed)) => Ok(Waited::Ended),
        Some(Ok(())) => Ok(Waited::Moved { names_changed: true }),
        Some(Err(error)) => Err(error),
    }
}
