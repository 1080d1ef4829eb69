//! The writer's end of the background thread: submits jobs, which run one at a time in the order of submission, and
//! receives their results.

use std::{io, sync::Arc, task::Waker};

use super::{
    job::{BackgroundJob, JobResult},
    runner::JobRunner,
};
use crate::{
    io::Executor,
    sync::{Receiver, Sender, unbounded},
};

#[derive(Debug)]
pub(crate) struct BackgroundWorker {
    executor: Box<dyn Executor>,
    runner: Arc<JobRunner>,
    result_tx: Sender<JobResult>,
    results: Receiver<JobResult>,
    /// Wakes the writer thread.
    waker: Waker,
    in_flight: usize,
}

impl BackgroundWorker {
    pub(crate) fn new(executor: Box<dyn Executor>, runner: JobRunner, waker: Waker) -> Self {
        let (result_tx, results) = unbounded();
        Self { executor, runner: Arc::new(runner), result_tx, results, waker, in_flight: 0 }
    }

    pub(crate) fn submit(&mut self, job: BackgroundJob) {
        let runner = Arc::clone(&self.runner);
        let guard =
            CompletionGuard { result_tx: self.result_tx.clone(), waker: self.waker.clone(), result: None };
        self.in_flight += 1;
        self.executor.run(Box::new(move || {
            let mut guard = guard;
            guard.result = Some(runner.run(job));
        }));
    }

    /// Returns whether retention has segments left to delete and needs another job.
    pub(crate) fn has_deferred(&self) -> bool {
        self.runner.retention().has_deferred()
    }

    /// Called when the journal starts to close: see [`RetentionManager::begin_closing`](super::RetentionManager).
    pub(crate) fn begin_closing(&self) {
        self.runner.retention().begin_closing();
    }

    /// Gives up the deletions that are left, and fails the callers that wait for them.
    pub(crate) fn cancel_deferred(&self) {
        self.runner.retention().cancel_deferred();
    }

    fn received(&mut self) {
        debug_assert!(self.in_flight > 0, "a result without a job");
        self.in_flight -= 1;
    }

    /// Returns a result if there is one. Never waits.
    pub(crate) fn poll(&mut self) -> Option<JobResult> {
        let result = self.results.try_recv().ok()?;
        self.received();
        Some(result)
    }

    /// Waits for a result. Returns `None` if no job is in flight.
    pub(crate) fn recv(&mut self) -> Option<JobResult> {
        if self.in_flight == 0 {
            return None;
        }
        if self.results.is_empty() {
            self.executor.before_wait();
        }
        let result = self.results.recv().ok();
        self.received();
        result
    }

    /// Waits until every submitted job is done, then stops the executor.
    pub(crate) fn finish(&mut self, mut on_result: impl FnMut(JobResult)) {
        while let Some(result) = self.recv() {
            on_result(result);
        }
        self.executor.finish();
    }
}

/// Sends the result of a job when it is dropped, even if the job never ran or panicked.
#[derive(Debug)]
struct CompletionGuard {
    result_tx: Sender<JobResult>,
    waker: Waker,
    result: Option<JobResult>,
}

impl Drop for CompletionGuard {
    fn drop(&mut self) {
        let lost = || JobResult::Lost(io::Error::other("a job of the background thread did not end"));
        let _ = self.result_tx.send(self.result.take().unwrap_or_else(lost));
        self.waker.wake_by_ref();
    }
}
