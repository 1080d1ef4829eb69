//! A writer without a thread: its owner runs it step by step, on the thread of the callers. It runs the code of the
//! writer thread without the waiting. For simulated disks.

use std::{ops::ControlFlow, path::Path};

use super::{
    Writer,
    open::{SelectedBackend, WriterParts, start},
};
use crate::{
    JournalOptions, Result, commit::queue::WriterMessage, journal::fork::ForkGuard,
    journal::lock::PendingRelease,
};

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    /// A message was handled.
    Busy,
    /// There is no message.
    Idle,
    /// The journal is closed.
    Ended,
}

/// A writer that works only when it is stepped.
#[derive(Debug)]
pub struct SteppedWriter {
    writer: Option<Writer>,
}

impl SteppedWriter {
    /// Opens and recovers the journal on the calling thread.
    pub(crate) fn start(
        options: JournalOptions,
        path: &Path,
        max_queue_bytes: u32,
        selected: SelectedBackend,
    ) -> Result<(Self, WriterParts)> {
        let (fork_guard, releasing) = (ForkGuard::current()?, PendingRelease::default());
        let (writer, opened) = start(options, path, max_queue_bytes, selected, fork_guard, releasing)?;
        Ok((Self { writer: Some(writer) }, opened))
    }

    /// Handles one message: one that is not a group first, if there are both and `control_first` is set.
    pub fn step(&mut self, control_first: bool) -> StepOutcome {
        let Some(mut writer) = self.writer.take() else { return StepOutcome::Ended };
        let message = if control_first {
            writer.mailbox.poll_control().or_else(|| writer.poll_commits())
        } else {
            writer.poll_commits().or_else(|| writer.mailbox.poll_control())
        };
        let Some(message) = message else {
            self.writer = Some(writer);
            return StepOutcome::Idle;
        };
        match writer.step(message) {
            ControlFlow::Continue(()) => {
                self.writer = Some(writer);
                StepOutcome::Busy
            }
            ControlFlow::Break(closing) => {
                writer.shut_down(closing);
                StepOutcome::Ended
            }
        }
    }
}

impl Writer {
    fn poll_commits(&mut self) -> Option<WriterMessage> {
        self.next_group.take().map(WriterMessage::Commit).or_else(|| self.mailbox.poll_commits())
    }
}
