//! Threads that read files for async callers. They are started on demand, park when they are idle, and end with the
//! last handle of the store.

use std::{collections::VecDeque, fmt, io, sync::Arc};

use crate::{
    caller_code::catch_caller_panic,
    journal::fork::ForkGuard,
    sync::{Condvar, Mutex, MutexGuard, PoisonError, thread},
};

/// The maximum number of threads: as many concurrent reads as keep a disk busy.
const THREADS_MAX: usize = 8;

type ReadJob = Box<dyn FnOnce() + Send>;

/// A pool of reader threads. Dropping it ends the threads after the queued jobs.
#[derive(Debug)]
pub(crate) struct ReadPool {
    inner: Arc<PoolInner>,
    fork_guard: ForkGuard,
}

#[derive(Debug, Default)]
struct PoolInner {
    state: Mutex<PoolState>,
    changed: Condvar,
}

#[derive(Default)]
struct PoolState {
    jobs: VecDeque<ReadJob>,
    threads: usize,
    /// Threads that wait for a job.
    idle: usize,
    ended: bool,
}

impl ReadPool {
    pub(crate) fn new(fork_guard: ForkGuard) -> Self {
        Self { inner: Arc::default(), fork_guard }
    }

    /// Returns whether this process is a fork of the one that has the threads.
    pub(crate) fn in_forked_child(&self) -> bool {
        self.fork_guard.in_forked_child()
    }

    /// Queues a job for one of the threads. Must not be called in a fork.
    ///
    /// # Errors
    ///
    /// There is no thread, and none can be started.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut state = self.inner.lock();
        if state.jobs.len() >= state.idle && state.threads < THREADS_MAX {
            match start_thread(&self.inner) {
                Ok(()) => state.threads += 1,
                Err(error) if state.threads == 0 => return Err(error),
                Err(_) => {}
            }
        }
        state.jobs.push_back(Box::new(job));
        drop(state);
        self.inner.changed.notify_one();
        Ok(())
    }
}

impl Drop for ReadPool {
    fn drop(&mut self) {
        // A forked child has none of the threads, and one of them may have held the lock at the fork.
        if !self.in_forked_child() {
            self.inner.lock().ended = true;
            self.inner.changed.notify_all();
        }
    }
}

impl PoolInner {
    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run_jobs(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // The job wakes the caller's task, which runs caller-supplied code.
                catch_caller_panic(job);
                state = self.lock();
            } else if state.ended {
                return;
            } else {
                state.idle += 1;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }
}

fn start_thread(inner: &Arc<PoolInner>) -> io::Result<()> {
    let inner = Arc::clone(inner);
    thread::Builder::new().name("ministore-reader".into()).spawn(move || inner.run_jobs()).map(drop)
}

impl fmt::Debug for PoolState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jobs, threads, idle, ended } = self;
        let jobs = jobs.len();
        f.debug_struct("PoolState")
            .field("jobs", &jobs)
            .field("threads", threads)
            .field("idle", idle)
            .field("ended", ended)
            .finish()
    }
}
