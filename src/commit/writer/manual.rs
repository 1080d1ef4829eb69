//! A writer without a thread: whoever holds it takes its steps, one by one, on one thread with the callers. What runs
//! is the same code; only the waiting is left out. For simulated disks.

use std::{ops::ControlFlow, path::Path};

use super::{
    Event, Writer,
    open::{SelectedBackend, WriterParts, start},
    rotation::RetentionPhase,
};
use crate::{
    JournalOptions, Result, commit::queue::Recv, journal::fork::ForkGuard, journal::lock::PendingRelease,
};

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepResult {
    /// Something was done.
    Busy,
    /// Nothing is there to be done.
    Idle,
    /// The journal is closed.
    Ended,
}

/// A writer that does nothing by itself.
#[derive(Debug)]
pub(crate) struct ManualWriter {
    writer: Option<Writer>,
}

impl ManualWriter {
    /// Opens and recovers the journal on the calling thread.
    pub(crate) fn start(
        options: JournalOptions,
        path: &Path,
        queue_bytes_max: u32,
        selected: SelectedBackend,
    ) -> Result<(Self, WriterParts)> {
        let (process, releasing) = (ForkGuard::current()?, PendingRelease::default());
        let (mut writer, opened) = start(options, path, queue_bytes_max, selected, process, releasing)?;
        writer.schedule_background_work();
        Ok((Self { writer: Some(writer) }, opened))
    }

    /// Takes in one request, or one outcome of a job (`outcomes_first` where both are there).
    pub(crate) fn step(&mut self, outcomes_first: bool) -> StepResult {
        let Some(mut writer) = self.writer.take() else { return StepResult::Ended };
        let Some(event) = writer.waiting_event(outcomes_first) else {
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
    /// Somebody asks something of retention, and the housekeeper has time for it.
    fn is_asked(&self) -> bool {
        self.retention_phase == RetentionPhase::Idle && self.retention_requests.has_pending()
    }

    /// An event that need not be waited for.
    fn waiting_event(&mut self, outcomes_first: bool) -> Option<Event> {
        let request = |writer: &Self| {
            loop {
                match writer.receiver.poll()? {
                    Recv::Command(request) => return Some(Event::Command(request)),
                    Recv::Disconnected => return Some(Event::Disconnected),
                    Recv::Wakeup if writer.is_asked() => return Some(Event::RetentionRequested),
                    Recv::Wakeup => {}
                }
            }
        };
        if outcomes_first {
            return self.background.poll().map(Event::JobDone).or_else(|| request(self));
        }
        request(self).or_else(|| self.background.poll().map(Event::JobDone))
    }
}
