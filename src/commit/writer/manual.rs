//! A writer without a thread: its owner runs it step by step, on the thread of the callers. It runs the code of the
//! writer thread without the waiting. For simulated disks.

use std::{ops::ControlFlow, path::Path};

use super::{
    Writer, WriterEvent,
    jobs::RetentionPhase,
    open::{SelectedBackend, WriterParts, start},
};
use crate::{
    JournalOptions, Result,
    commit::queue::{Command, Recv},
    journal::fork::ForkGuard,
    journal::lock::PendingRelease,
};

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepResult {
    /// An event was handled.
    Busy,
    /// There is no event.
    Idle,
    /// The journal is closed.
    Ended,
}

/// A writer that works only when it is stepped.
#[derive(Debug)]
pub(crate) struct ManualWriter {
    writer: Option<Writer>,
}

impl ManualWriter {
    /// Opens and recovers the journal on the calling thread.
    pub(crate) fn start(
        options: JournalOptions,
        path: &Path,
        max_queue_bytes: u32,
        selected: SelectedBackend,
    ) -> Result<(Self, WriterParts)> {
        let (fork_guard, releasing) = (ForkGuard::current()?, PendingRelease::default());
        let (mut writer, opened) = start(options, path, max_queue_bytes, selected, fork_guard, releasing)?;
        writer.schedule_background_work();
        Ok((Self { writer: Some(writer) }, opened))
    }

    /// Handles one command or one job result: the result if there are both and `results_first` is set.
    pub(crate) fn step(&mut self, results_first: bool) -> StepResult {
        let Some(mut writer) = self.writer.take() else { return StepResult::Ended };
        let Some(event) = writer.poll_event(results_first) else {
            self.writer = Some(writer);
            return StepResult::Idle;
        };
        match writer.handle(event) {
            ControlFlow::Continue(()) => {
                writer.schedule_background_work();
                self.writer = Some(writer);
                StepResult::Busy
            }
            ControlFlow::Break(closing) => {
                writer.shut_down(closing);
                StepResult::Ended
            }
        }
    }
}

impl Writer {
    /// Returns whether there is a retention request that can be served now.
    fn has_retention_request(&self) -> bool {
        self.retention_phase == RetentionPhase::Idle && self.retention_requests.has_pending()
    }

    /// Returns an event if there is one now.
    fn poll_event(&mut self, results_first: bool) -> Option<WriterEvent> {
        let command = |writer: &mut Self| {
            if let Some(group) = writer.next_group.take() {
                return Some(WriterEvent::Command(Command::Commit(group)));
            }
            loop {
                match writer.receiver.poll()? {
                    Recv::Command(command) => return Some(WriterEvent::Command(command)),
                    Recv::Disconnected => return Some(WriterEvent::Disconnected),
                    Recv::Wakeup if writer.has_retention_request() => {
                        return Some(WriterEvent::RetentionRequested);
                    }
                    Recv::Wakeup => {}
                }
            }
        };
        if results_first {
            return self.background.poll().map(WriterEvent::JobDone).or_else(|| command(self));
        }
        command(self).or_else(|| self.background.poll().map(WriterEvent::JobDone))
    }
}
