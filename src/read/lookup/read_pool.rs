//! Threads that read files for async callers: started when they are needed, parked when they are not, ended with the
//! last handle of the store.

use std::{collections::VecDeque, fmt, io, sync::Arc};

use crate::{
    caller_code::catch_caller_panic,
    journal::fork::ForkGuard,
    sync::{Condvar, Mutex, MutexGuard, PoisonError, thread},
};

/// So many files are read at a time: as many as keep a disk busy.
const THREADS_MAX: usize = 8;

type Job = Box<dyn FnOnce() + Send>;

/// Dropping it ends the threads, once they have done what was asked for.
#[derive(Debug)]
pub(crate) struct ReadPool {
    pool: Arc<Pool>,
    process: ForkGuard,
}

#[derive(Debug, Default)]
struct Pool {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for a job.
    idle: usize,
    ended: bool,
}

impl ReadPool {
    pub(crate) fn new(process: ForkGuard) -> Self {
        Self { pool: Arc::default(), process }
    }

    /// Whether this process is a fork of the one that has them.
    pub(crate) fn in_forked_child(&self) -> bool {
        self.process.in_forked_child()
    }

    /// Does it on one of the threads. Not to be called in a fork.
    ///
    /// # Errors
    ///
    /// There is no thread, and none can be started.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut state = self.pool.lock();
        if state.jobs.len() >= state.idle && state.threads < THREADS_MAX {
            match start(&self.pool) {
                Ok(()) => state.threads += 1,
                Err(error) if state.threads == 0 => return Err(error),
                Err(_) => {}
            }
        }
        state.jobs.push_back(Box::new(job));
        drop(state);
        self.pool.changed.notify_one();
        Ok(())
    }
}

impl Drop for ReadPool {
    fn drop(&mut self) {
        // A fork has none of the threads, and one of them may hold the lock.
        if !self.in_forked_child() {
            self.pool.lock().ended = true;
            self.pool.changed.notify_all();
        }
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // It wakes a caller.
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

fn start(pool: &Arc<Pool>) -> io::Result<()> {
    let pool = Arc::clone(pool);
    thread::Builder::new().name("ministore-reader".into()).spawn(move || pool.work()).map(drop)
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jobs, threads, idle, ended } = self;
        let jobs = jobs.len();
        f.debug_struct("State")
            .field("jobs", &jobs)
            .field("threads", threads)
            .field("idle", idle)
            .field("ended", ended)
            .finish()
    }
}
