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
#[cfg(any(test, feature = "_sim"))]
mod manual;
mod open;
mod preallocate;
mod retry;
mod rotation;
mod segment;
#[cfg(test)]
mod tests;

use std::{mem, ops::ControlFlow, sync::Arc, time::Instant};

#[cfg(any(test, feature = "_sim"))]
pub(crate) use manual::{ManualWriter, StepResult};
pub(crate) use open::{SelectedBackend, WriterParts, select_backend, spawn};

use self::{
    jobs::RetentionPhase,
    logging::LogOnce,
    preallocate::{GroupSizeEma, Preallocating},
    rotation::Rotation,
    segment::ActiveSegment,
};
use crate::{
    JournalOptions, Result,
    background::{job::JobResult, requests::RequestReceiver, worker::BackgroundWorker},
    commit::inner::StoreInner,
    commit::queue::{Command, Group, QueueReceiver, Recv},
    io::{CommitBackend, FileSystem},
    journal::file_names::FileNames,
    journal::lock::JournalLock,
    sync::oneshot,
};

/// The state of the writer thread.
#[derive(Debug)]
struct Writer {
    options: JournalOptions,
    names: FileNames,
    fs: Arc<dyn FileSystem>,
    commit_backend: Box<dyn CommitBackend>,
    inner: StoreInner,
    retention_requests: RequestReceiver,
    receiver: QueueReceiver,
    background: BackgroundWorker,
    segment: ActiveSegment,
    rotation: Rotation,
    retention_phase: RetentionPhase,
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
    rotate_callers: Vec<oneshot::Sender<Result<()>>>,
    // The last field: the lock is released after everything else is dropped.
    lock: JournalLock,
}

/// Replies to the caller that closes the journal.
type CloseReply = oneshot::Sender<Result<()>>;

/// An event that wakes the writer thread.
enum WriterEvent {
    Command(Command),
    JobDone(JobResult),
    /// A caller has sent a retention request.
    RetentionRequested,
    /// Every handle was dropped.
    Disconnected,
}

impl Writer {
    /// Runs until the journal is closed, or every handle was dropped.
    fn run(mut self) {
        self.schedule_background_work();
        let closing = loop {
            let event = self.wait();
            if let ControlFlow::Break(closing) = self.handle(event) {
                break closing;
            }
            self.schedule_background_work();
        };
        self.shut_down(closing);
    }

    fn wait(&mut self) -> WriterEvent {
        loop {
            // Job results come first: where jobs run inline, the order of all operations is then deterministic.
            if let Some(result) = self.background.poll() {
                return WriterEvent::JobDone(result);
            }
            if let Some(group) = self.next_group.take() {
                return WriterEvent::Command(Command::Commit(group));
            }
            self.receiver.spin_for_appends(mem::take(&mut self.last_group_len));
            match self.receiver.wait() {
                Recv::Command(command) => return WriterEvent::Command(command),
                Recv::Disconnected => return WriterEvent::Disconnected,
                Recv::Wakeup if self.retention_requests.has_pending() => {
                    return WriterEvent::RetentionRequested;
                }
                // For a job result.
                Recv::Wakeup => {}
            }
        }
    }

    /// Handles an event. Breaks when the journal must be closed, with the reply for the caller that closes it, if any.
    fn handle(&mut self, event: WriterEvent) -> ControlFlow<Option<CloseReply>> {
        match event {
            WriterEvent::Command(Command::Commit(group)) => self.commit_group(group),
            WriterEvent::Command(Command::Rotate(reply)) => self.rotate(reply),
            WriterEvent::Command(Command::Close(reply)) => return ControlFlow::Break(Some(reply)),
            WriterEvent::JobDone(result) => self.on_job_result(&result),
            // `schedule_background_work`, which is called after every event, handles it.
            WriterEvent::RetentionRequested => {}
            WriterEvent::Disconnected => return ControlFlow::Break(None),
        }
        ControlFlow::Continue(())
    }
}
