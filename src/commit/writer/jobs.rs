//! Scheduling jobs on the background thread, and handling their results.

use std::mem;

use super::Writer;
use crate::{
    background::job::{BackgroundJob, JobResult, RenameResult},
    commit::queue::Message,
};

/// Whether retention needs a job, or has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetentionPhase {
    Idle,
    /// It needs a job, because the journal was just opened.
    OnOpen,
    Running,
    /// It needs another job, because segments are left to delete.
    Deferred,
}

impl Writer {
    /// Submits every job that is due, and starts or continues a rotation. Never waits for the background thread.
    pub(super) fn schedule_background_work(&mut self) {
        self.maybe_run_retention();
        if self.inner.status.poisoned().is_some() {
            self.reply_to_rotate_callers();
            return;
        }
        self.preallocate();
        self.advance_rotation();
        self.record_rotated();
        self.reply_to_rotate_callers();
    }

    /// Handles all job results that there are. Never waits.
    pub(super) fn drain_results(&mut self) {
        while let Some(result) = self.mailbox.poll_result() {
            self.background.on_received();
            self.on_job_result(&result);
        }
    }

    /// Called for every message from the mailbox.
    pub(super) fn on_received(&mut self, message: &Message) {
        if let Message::JobDone(_) = message {
            self.background.on_received();
        }
    }

    pub(super) fn on_job_result(&mut self, result: &JobResult) {
        if let JobResult::Preallocated(end) = result {
            self.on_preallocated(end.as_ref().ok().copied());
        }
        if let JobResult::RetentionApplied(_) = result {
            self.retention_phase = RetentionPhase::Idle;
        }
        if let JobResult::RetentionApplied(_) | JobResult::Closed(_) | JobResult::CloseDeferred(_) = result
            && self.retention_phase == RetentionPhase::Idle
            && self.background.has_deferred()
        {
            self.retention_phase = RetentionPhase::Deferred;
        }
        self.rotation.on_result(result, &self.names, &self.inner, self.fs.elapsed());
        if matches!(result, JobResult::Renamed(Ok(renamed)) if !matches!(renamed, RenameResult::Renamed)) {
            self.segment.file.rotated_path = None;
        }
    }

    /// Waits for one job result and handles it. Returns `false` if no job is in flight.
    pub(super) fn wait_result(&mut self) -> bool {
        if !self.background.has_jobs() {
            return false;
        }
        let result = self.mailbox.poll_result().or_else(|| {
            self.background.before_wait();
            self.mailbox.recv_result()
        });
        self.background.on_received();
        if let Some(result) = &result {
            self.on_job_result(result);
        }
        result.is_some()
    }

    /// Submits a retention job if one is due or a caller has sent a request.
    pub(super) fn maybe_run_retention(&mut self) {
        if self.inner.status.poisoned().is_some() {
            let closed_error = || self.inner.status.closed_error();
            self.retention_requests.drain(..).for_each(|request| request.fail(closed_error()));
            self.background.cancel_deferred();
            if self.retention_phase != RetentionPhase::Running {
                // There is nothing to continue: later requests are received and fail.
                self.retention_phase = RetentionPhase::Idle;
            }
        } else if matches!(self.retention_phase, RetentionPhase::OnOpen | RetentionPhase::Deferred)
            || (self.retention_phase == RetentionPhase::Idle && !self.retention_requests.is_empty())
        {
            let opening = self.retention_phase == RetentionPhase::OnOpen;
            self.retention_phase = RetentionPhase::Running;
            let newest = self.rotation.newest_deletable();
            let requests = mem::take(&mut self.retention_requests);
            self.background.submit(BackgroundJob::ApplyRetention { requests, newest, opening });
        }
    }

    /// Waits for all jobs, and serves the retention requests that were sent until then. Deletions that the limits
    /// require are finished; trimmed segments are left, so that closing does not wait for their deletion.
    pub(super) fn drain_background(&mut self) {
        loop {
            while self.wait_result() {
                if self.retention_phase == RetentionPhase::Deferred {
                    self.maybe_run_retention();
                }
            }
            while let Some(request) = self.mailbox.poll_retention() {
                self.retention_requests.push(request);
            }
            if self.retention_requests.is_empty() {
                return;
            }
            self.maybe_run_retention();
        }
    }
}
