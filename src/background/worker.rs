//! The writer's end of the background thread: submits jobs, which run one at a time in the order of submission. Their
//! results come back as messages to the writer thread.

use std::{fmt, io, sync::Arc};

use super::{
    job::{BackgroundJob, JobResult},
    runner::JobRunner,
};
use crate::io::Executor;

/// Sends the result of a job to the writer thread.
pub(crate) type ResultSender = Arc<dyn Fn(JobResult) + Send + Sync>;

pub(crate) struct BackgroundWorker {
    executor: Box<dyn Executor>,
    runner: Arc<JobRunner>,
    send_result: ResultSender,
    /// Jobs whose results the writer thread has not received.
    in_flight: usize,
}

impl BackgroundWorker {
    pub(crate) fn new(executor: Box<dyn Executor>, runner: JobRunner, send_result: ResultSender) -> Self {
        Self { executor, runner: Arc::new(runner), send_result, in_flight: 0 }
    }

    pub(crate) fn submit(&mut self, job: BackgroundJob) {
        let runner = Arc::clone(&self.runner);
        let guard = CompletionGuard { send_result: Arc::clone(&self.send_result), result: None };
        self.in_flight += 1;
        self.executor.run(Box::new(move || {
            let mut guard = guard;
            guard.result = Some(runner.run(job));
        }));
    }

    /// Called when the writer thread has received a result.
    pub(crate) fn on_received(&mut self) {
        debug_assert!(self.in_flight > 0, "a result without a job");
        self.in_flight -= 1;
    }

    pub(crate) fn has_jobs(&self) -> bool {
        self.in_flight > 0
    }

    /// Called before the writer thread waits for a result.
    pub(crate) fn before_wait(&mut self) {
        self.executor.before_wait();
    }

    /// Stops the executor. Called when the results of all jobs were received.
    pub(crate) fn finish(&mut self) {
        self.executor.finish();
    }

    /// Called when the journal starts to close: see [`RetentionManager::begin_closing`](super::RetentionManager).
    pub(crate) fn begin_closing(&self) {
        self.runner.retention().begin_closing();
    }

    /// Gives up the deletions that are left, and fails the callers that wait for them.
    pub(crate) fn cancel_deferred(&self) {
        self.runner.retention().cancel_deferred();
    }
}

impl fmt::Debug for BackgroundWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackgroundWorker").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}

/// Sends the result of a job when it is dropped, even if the job never ran or panicked.
struct CompletionGuard {
    send_result: ResultSender,
    result: Option<JobResult>,
}

impl Drop for CompletionGuard {
    fn drop(&mut self) {
        let lost = || JobResult::Lost(io::Error::other("a job of the background thread did not end"));
        (self.send_result)(self.result.take().unwrap_or_else(lost));
    }
}
