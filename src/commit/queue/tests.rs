//! The queue without a writer thread: the tests take groups from it and complete them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod caller_code;
mod completion;
mod group;
mod mailbox;
mod waiting;

use std::{
    cell::{RefCell, RefMut},
    future::Future,
    path::PathBuf,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use super::{enqueue::Waiting, *};
use crate::{
    JournalOptions, MiniStoreError, commit::inner::StoreInner, journal::fork::ForkGuard,
    journal::status::StoreStatus,
};

/// A test that waits longer than this hangs.
const HANG: Duration = Duration::from_secs(60);

/// Both ends of a queue.
struct QueueEnds {
    queue: Arc<CommitQueue>,
    mailbox: RefCell<Option<Mailbox>>,
}

impl QueueEnds {
    fn new(permits: u32, max_group_bytes: u64) -> Self {
        let (queue, mailbox) =
            Mailbox::with_queue(status(), permits, &JournalOptions::new().max_group_bytes(max_group_bytes));
        Self { queue, mailbox: RefCell::new(Some(mailbox)) }
    }

    fn inner(&self) -> StoreInner {
        StoreInner { status: Arc::clone(self.queue.status()), queue: Arc::clone(&self.queue) }
    }

    fn mailbox(&self) -> RefMut<'_, Mailbox> {
        RefMut::map(self.mailbox.borrow_mut(), |mailbox| mailbox.as_mut().unwrap())
    }

    fn submit(&self, bytes: usize) -> PendingCommit {
        self.append(queued(line(bytes), u32::try_from(bytes).unwrap()))
    }

    fn append(&self, mut queued: QueuedAppend) -> PendingCommit {
        self.queue.try_append(&mut queued).unwrap().expect("there is capacity")
    }

    /// Appends a line for which the queue has no capacity.
    fn wait(&self, bytes: usize) -> Waiting<'_> {
        self.wait_with(queued(line(bytes), u32::try_from(bytes).unwrap()))
    }

    fn wait_with(&self, mut queued: QueuedAppend) -> Waiting<'_> {
        match self.queue.append(&mut queued) {
            Ok(Appended::Waiting(waiting)) => waiting,
            other => panic!("the append does not wait: {other:?}"),
        }
    }

    /// Commits the oldest group.
    fn commit(&self, first_seq: u64) {
        let group = self.group();
        self.complete(group, AppendOutcome::Durable(committed(first_seq)));
    }

    fn complete(&self, group: Group, outcome: AppendOutcome) {
        self.mailbox().complete(group, outcome);
    }

    fn group(&self) -> Group {
        self.poll_group().expect("a group is queued")
    }

    fn poll_group(&self) -> Option<Group> {
        match self.mailbox().poll_commits()? {
            WriterMessage::Commit(group) => Some(group),
            other => panic!("not a group: {other:?}"),
        }
    }
}

fn status() -> Arc<StoreStatus> {
    let (path, process) = (PathBuf::from("j"), ForkGuard::current().unwrap());
    Arc::new(StoreStatus::new(path, process, &JournalOptions::new(), true).unwrap())
}

fn line(bytes: usize) -> Payload {
    Payload::Vec(vec![b'1'; bytes])
}

fn queued(lines: Payload, permits: u32) -> QueuedAppend {
    QueuedAppend { permits, ..QueuedAppend::new(lines, 1) }
}

/// Returns the commit of a group whose first record has this sequence number and whose first line has offset 1,000.
fn committed(seq: u64) -> CommitInfo {
    let now = Instant::now();
    CommitInfo {
        seq,
        offset: 1000,
        segment_first_seq: 1,
        group_records: 2,
        group_bytes: 3,
        dequeued_at: now,
        durable_at: now,
    }
}

/// Counts its wake-ups.
#[derive(Default)]
struct WakeCounter(AtomicUsize);

impl Wake for WakeCounter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

struct PanickingWake;

impl Wake for PanickingWake {
    fn wake(self: Arc<Self>) {
        panic!("on purpose");
    }
}

fn panicking_waker() -> Waker {
    Waker::from(Arc::new(PanickingWake))
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(waker))
}

fn now<F: Future + Unpin>(mut future: F) -> F::Output {
    match poll(&mut future, Waker::noop()) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future is pending"),
    }
}
