//! A writer without a thread: whoever holds it takes its steps, one by one, on one thread with the callers. What runs
//! is the same code; only the waiting is left out. For simulated disks.

use std::{ops::ControlFlow, path::Path};

use super::{
    Event, Writer,
    open::{Chosen, Opened, start},
    rotation::Retaining,
};
use crate::{JournalOptions, Result, lock::Releasing, process::Process, queue::Found};

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Something was done.
    Busy,
    /// Nothing is there to be done.
    Idle,
    /// The journal is closed.
    Ended,
}

/// A writer that does nothing by itself.
#[derive(Debug)]
pub(crate) struct Stepped {
    writer: Option<Writer>,
}

impl Stepped {
    /// Opens and recovers the journal on the calling thread.
    pub(crate) fn start(
        options: JournalOptions,
        path: &Path,
        queue_bytes_max: u32,
        chosen: Chosen,
    ) -> Result<(Self, Opened)> {
        let (process, releasing) = (Process::current()?, Releasing::default());
        let (mut writer, opened) = start(options, path, queue_bytes_max, chosen, process, releasing)?;
        writer.keep_house();
        Ok((Self { writer: Some(writer) }, opened))
    }

    /// Takes in one request, or one outcome of a job (`outcomes_first` where both are there).
    pub(crate) fn step(&mut self, outcomes_first: bool) -> Turn {
        let Some(mut writer) = self.writer.take() else { return Turn::Ended };
        let Some(event) = writer.waiting_event(outcomes_first) else {
            self.writer = Some(writer);
            return Turn::Idle;
        };
        match writer.handle(event) {
            ControlFlow::Continue(()) => {
                writer.keep_house();
                self.writer = Some(writer);
                Turn::Busy
            }
            ControlFlow::Break(closing) => {
                writer.shut_down(closing);
                Turn::Ended
            }
        }
    }
}

impl Writer {
    /// Somebody asks something of retention, and the housekeeper has time for it.
    fn is_asked(&self) -> bool {
        self.retaining == Retaining::No && self.shared.retention.asks.are_waiting()
    }

    /// An event that need not be waited for.
    fn waiting_event(&mut self, outcomes_first: bool) -> Option<Event> {
        let request = |writer: &Self| {
            loop {
                match writer.inbox.poll()? {
                    Found::Request(request) => return Some(Event::Request(request)),
                    Found::Abandoned => return Some(Event::Abandoned),
                    Found::Nudge if writer.is_asked() => return Some(Event::Asked),
                    Found::Nudge => {}
                }
            }
        };
        if outcomes_first {
            return self.housekeeper.poll().map(Event::Outcome).or_else(|| request(self));
        }
        request(self).or_else(|| self.housekeeper.poll().map(Event::Outcome))
    }
}
