//! Scheduling retention: the retention table, and the jobs that it asks for. The background thread decides what is
//! deleted (`background/retention`).

use std::mem;

use super::Writer;
use crate::background::job::{BackgroundJob, JobResult, Remaining};

/// Whether retention needs a job, or has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetentionState {
    Idle,
    /// It needs a job, because the journal was just opened.
    OnOpen,
    Running,
    /// It needs another job, because segments are left to delete.
    Deferred,
}

/// An event that changes the state of retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetentionEvent {
    Submitted,
    /// The job is done.
    Applied(Remaining),
    /// A rotated segment was closed, which also applies the limits.
    SegmentClosed(Remaining),
    Poisoned,
}

impl RetentionState {
    /// Returns whether a job is due, and if so whether it is the one after the open.
    pub(super) fn due_job(self, has_requests: bool) -> Option<Opening> {
        match self {
            Self::OnOpen => Some(Opening(true)),
            Self::Deferred => Some(Opening(false)),
            Self::Idle => has_requests.then_some(Opening(false)),
            Self::Running => None,
        }
    }

    /// Returns the state after an event. An event that does not belong to this state changes nothing.
    pub(super) fn after(self, event: RetentionEvent) -> Self {
        use RetentionEvent as Event;
        match (self, event) {
            (Self::Idle | Self::OnOpen | Self::Deferred, Event::Submitted) => Self::Running,
            (Self::Running, Event::Applied(Remaining::None)) => Self::Idle,
            (Self::Running, Event::Applied(Remaining::Some))
            | (Self::Idle, Event::SegmentClosed(Remaining::Some)) => Self::Deferred,
            // There is nothing to continue: later requests are received and fail.
            (Self::OnOpen | Self::Deferred, Event::Poisoned) => Self::Idle,
            // While a job runs, it deletes what the close of a segment left: it started later.
            (unchanged, _) => unchanged,
        }
    }
}

/// Whether a retention job is the one after the open, which applies the limits without a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opening(pub(super) bool);

impl Writer {
    /// Handles a job result, as far as retention depends on it.
    pub(super) fn on_retention_result(&mut self, result: &JobResult) {
        let left = |left: &std::io::Result<Remaining>| left.as_ref().copied().unwrap_or(Remaining::None);
        let event = match result {
            JobResult::RetentionApplied(remaining) => RetentionEvent::Applied(left(remaining)),
            JobResult::Closed(remaining) => RetentionEvent::SegmentClosed(left(remaining)),
            JobResult::CloseDeferred(_, remaining) => RetentionEvent::SegmentClosed(*remaining),
            _ => return,
        };
        self.retention = self.retention.after(event);
    }

    /// Submits a retention job if one is due.
    pub(super) fn run_retention(&mut self) {
        if self.inner.status.poisoned().is_some() {
            let closed_error = || self.inner.status.closed_error();
            self.retention_requests.drain(..).for_each(|request| request.fail(closed_error()));
            self.background.cancel_deferred();
            self.retention = self.retention.after(RetentionEvent::Poisoned);
        } else if let Some(Opening(opening)) = self.retention.due_job(!self.retention_requests.is_empty()) {
            self.retention = self.retention.after(RetentionEvent::Submitted);
            let requests = mem::take(&mut self.retention_requests);
            let newest = self.rotation.newest_deletable();
            self.background.submit(BackgroundJob::ApplyRetention { requests, newest, opening });
        }
    }

    /// Waits for all jobs, and serves the retention requests that were sent until then. Deletions that the limits
    /// require are finished; trimmed segments are left, so that closing does not wait for their deletion.
    pub(super) fn drain_background(&mut self) {
        loop {
            while self.wait_result() {
                if self.retention == RetentionState::Deferred {
                    self.run_retention();
                }
            }
            while let Some(request) = self.mailbox.poll_retention() {
                self.retention_requests.push(request);
            }
            if self.retention_requests.is_empty() {
                return;
            }
            self.run_retention();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Opening, Remaining, RetentionEvent as Event, RetentionState as State};

    const STATES: [State; 4] = [State::Idle, State::OnOpen, State::Running, State::Deferred];

    const EVENTS: [Event; 6] = [
        Event::Submitted,
        Event::Applied(Remaining::None),
        Event::Applied(Remaining::Some),
        Event::SegmentClosed(Remaining::None),
        Event::SegmentClosed(Remaining::Some),
        Event::Poisoned,
    ];

    #[test]
    fn one_retention_job_runs_at_a_time() {
        for state in STATES {
            for has_requests in [false, true] {
                let due = state.due_job(has_requests);
                let expected = match state {
                    State::Running => None,
                    State::Idle => has_requests.then_some(Opening(false)),
                    State::OnOpen => Some(Opening(true)),
                    State::Deferred => Some(Opening(false)),
                };
                assert_eq!(due, expected, "{state:?}");
                assert!(due.is_none() || state.after(Event::Submitted) == State::Running);
            }
        }
    }

    #[test]
    fn only_these_events_change_the_state() {
        let changes = STATES
            .iter()
            .flat_map(|&state| EVENTS.iter().map(move |&event| (state, event, state.after(event))));
        let changes: Vec<_> = changes.filter(|(before, _, after)| before != after).collect();
        let expected = [
            (State::Idle, Event::Submitted, State::Running),
            (State::Idle, Event::SegmentClosed(Remaining::Some), State::Deferred),
            (State::OnOpen, Event::Submitted, State::Running),
            (State::OnOpen, Event::Poisoned, State::Idle),
            (State::Running, Event::Applied(Remaining::None), State::Idle),
            (State::Running, Event::Applied(Remaining::Some), State::Deferred),
            (State::Deferred, Event::Submitted, State::Running),
            (State::Deferred, Event::Poisoned, State::Idle),
        ];
        assert_eq!(changes, expected);
    }

    #[test]
    fn deletions_end_when_nothing_is_left() {
        for mut state in STATES {
            let mut jobs = 0;
            while let Some(Opening(_)) = state.due_job(false) {
                state = state.after(Event::Submitted);
                jobs += 1;
                let remaining = if jobs < 3 { Remaining::Some } else { Remaining::None };
                state = state.after(Event::Applied(remaining));
            }
            assert!(matches!(state, State::Idle | State::Running) && jobs <= 3, "{state:?}: {jobs}");
        }
    }
}
