//! Wakes a follower: the writer does in its own process, inotify in any other.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use super::{
    durability::Durability,
    stop_signal::StopSignal,
    watch::{DirWatch, FsEvent},
};
use crate::{
    MiniStoreError, Result, journal::status::StoreStatus, journal::wait_durable::WaitDurable, sync::block_on,
};

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
