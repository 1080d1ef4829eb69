//! The writer thread: the only thread that commits. It owns the journal from open to close.
//!
//! It takes the oldest group from the queue, commits it, wakes the callers, and repeats. Slow work that can run
//! concurrently with commits (preallocating, creating the next segment, closing rotated ones, retention) is submitted
//! to the [`background`](crate::background) thread. No code here may panic on what a disk returns: every failure
//! becomes the result of an append or of another call.

mod close;
mod commit;
mod jobs;
mod logging;
mod open;
mod preallocate;
mod retention;
mod retry;
mod rotation;
mod segment;
#[cfg(any(test, feature = "unstable-internals"))]
mod stepped;
#[cfg(test)]
mod tests;

use std::{mem, ops::ControlFlow, sync::Arc, time::Instant};

pub(crate) use open::{SelectedBackend, WriterParts, select_backend, spawn};
#[cfg(any(test, feature = "unstable-internals"))]
pub use stepped::{StepOutcome, SteppedWriter};

use self::{
    logging::LogOnce,
    preallocate::{GroupSizeEma, Preallocating},
    retention::RetentionState,
    rotation::Rotation,
    segment::ActiveSegment,
};
use crate::{
    JournalOptions,
    background::{requests::RetentionRequest, worker::BackgroundWorker},
    commit::inner::StoreInner,
    commit::queue::{Group, Mailbox, ReplySender, WriterMessage},
    io::{CommitBackend, FileSystem},
    journal::file_names::FileNames,
    journal::lock::JournalLock,
};

/// The state of the writer thread.
#[derive(Debug)]
struct Writer {
    options: JournalOptions,
    names: FileNames,
    fs: Arc<dyn FileSystem>,
    commit_backend: Box<dyn CommitBackend>,
    inner: StoreInner,
    mailbox: Mailbox,
    background: BackgroundWorker,
    segment: ActiveSegment,
    rotation: Rotation,
    retention: RetentionState,
    /// Retention requests that no job serves yet.
    retention_requests: Vec<RetentionRequest>,
    preallocating: Preallocating,
    group_size: GroupSizeEma,
    next_seq: u64,
    /// The group to commit next, if it was taken from the queue during the last commit.
    next_group: Option<Group>,
    /// When records became durable whose callers are not notified yet.
    notify_pending_since: Option<Instant>,
    log_once: LogOnce,
    /// Appends of the last group, until the writer has spun for the next ones.
    last_group_len: u64,
    /// Callers that wait for a rotation.
    rotate_callers: Vec<ReplySender>,
    // The last field: the lock is released after everything else is dropped.
    lock: JournalLock,
}

impl Writer {
    /// Runs until the journal is closed.
    fn run(mut self) {
        loop {
            let message = self.recv();
            if let ControlFlow::Break(closing) = self.step(message) {
                return self.shut_down(closing);
            }
        }
    }

    /// Waits for a message.
    fn recv(&mut self) -> WriterMessage {
        if let Some(message) = self.mailbox.poll_control() {
            return message;
        }
        if let Some(group) = self.next_group.take() {
            return WriterMessage::Commit(group);
        }
        self.mailbox.spin_for_appends(mem::take(&mut self.last_group_len));
        self.mailbox.recv()
    }

    /// Handles a message, and starts the background work that is due after it. Breaks when the journal must be closed, with
    /// the sender for the reply to the caller that closes it, if any.
    fn step(&mut self, message: WriterMessage) -> ControlFlow<Option<ReplySender>> {
        match message {
            WriterMessage::Commit(group) => self.commit_group(group),
            WriterMessage::Rotate(reply_tx) => self.rotate(reply_tx),
            WriterMessage::Retention(request) => self.retention_requests.push(request),
            WriterMessage::JobDone(result) => self.on_job_result(&result),
            WriterMessage::Close(reply_tx) => return ControlFlow::Break(reply_tx),
        }
        self.schedule_background_work();
        ControlFlow::Continue(())
    }
}
