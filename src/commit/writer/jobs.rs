//! Scheduling jobs on the background thread, and handling their results.

use super::Writer;
use crate::background::job::{JobResult, RenameResult};

impl Writer {
    /// Submits every job that is due, and starts or continues a rotation. Never waits for the background thread.
    pub(super) fn schedule_background_work(&mut self) {
        self.run_retention();
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
            self.on_job_result(&result);
        }
    }

    /// Handles the result of a job.
    pub(super) fn on_job_result(&mut self, result: &JobResult) {
        self.background.on_received();
        if let JobResult::Preallocated(end) = result {
            self.on_preallocated(end.as_ref().ok().copied());
        }
        self.on_retention_result(result);
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
        if let Some(result) = &result {
            self.on_job_result(result);
        }
        result.is_some()
    }
}
