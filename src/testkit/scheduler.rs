//! The order of foreground and background operations. Either background work runs inline on the thread that submits it;
//! or it has a thread in lockstep: exactly one of the two threads runs at any time, and the seed decides how many
//! background operations run between two operations of the writer. So any interleaving can occur, and a seed repeats
//! it.

use std::{
    cell::RefCell,
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
};

use crate::io::{Executor, Task};

/// Decides which thread runs before an operation.
#[derive(Debug, Default)]
pub(super) struct Scheduler {
    background: Mutex<Option<BackgroundThread>>,
}

/// The foreground's end of the background thread.
#[derive(Debug)]
struct BackgroundThread {
    resume: Sender<()>,
    yielded: Receiver<YieldReason>,
    /// Tasks that are not done.
    outstanding: usize,
}

/// Why the background thread stopped running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum YieldReason {
    /// It is about to make an operation.
    Operation,
    /// A task is done.
    TaskDone,
}

/// The background thread's end.
struct RunToken {
    resume: Receiver<()>,
    yielded: Sender<YieldReason>,
}

thread_local! {
    static RUN_TOKEN: RefCell<Option<RunToken>> = const { RefCell::new(None) };
}

impl Scheduler {
    /// Called before every operation. On the background thread, yields until its next turn and returns `true`. On any
    /// other thread returns `false`: that thread may let the background thread run.
    pub(super) fn yield_if_background(&self) -> bool {
        if !self.on_background_thread() {
            return false;
        }
        // After the foreground's end is gone the task runs to its end: its results are ignored.
        report(YieldReason::Operation);
        wait_turn();
        true
    }

    /// Returns whether this is the background thread.
    pub(super) fn on_background_thread(&self) -> bool {
        RUN_TOKEN.with_borrow(Option::is_some)
    }

    /// Lets the background thread make one operation or reach the end of a task. Returns `false` if it has no task.
    pub(super) fn advance(&self) -> bool {
        self.lock().as_mut().is_some_and(|background| background.advance().is_some())
    }

    /// Returns whether the background thread has a task.
    pub(super) fn is_busy(&self) -> bool {
        self.lock().as_ref().is_some_and(|background| background.outstanding > 0)
    }

    fn before_wait(&self) {
        let mut background = self.lock();
        if let Some(background) = background.as_mut() {
            while background.advance() == Some(YieldReason::Operation) {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<BackgroundThread>> {
        self.background.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BackgroundThread {
    fn advance(&mut self) -> Option<YieldReason> {
        if self.outstanding == 0 || self.resume.send(()).is_err() {
            return None;
        }
        let Ok(reason) = self.yielded.recv() else {
            // A task panicked: its result channel is closed, which notifies the thread that waits for it.
            self.outstanding = 0;
            return None;
        };
        if reason == YieldReason::TaskDone {
            self.outstanding -= 1;
        }
        Some(reason)
    }
}

/// Runs each task at once, on the thread that submits it.
#[derive(Debug)]
pub(super) struct InlineExecutor;

impl Executor for InlineExecutor {
    fn run(&mut self, task: Task) {
        task();
    }

    fn finish(&mut self) {}
}

/// Runs tasks on a background thread in lockstep with the foreground.
pub(super) struct LockstepExecutor {
    scheduler: Arc<Scheduler>,
    tasks: Option<Sender<Task>>,
    thread: Option<JoinHandle<()>>,
}

impl LockstepExecutor {
    pub(super) fn spawn(scheduler: Arc<Scheduler>) -> io::Result<Self> {
        let (tasks, queue) = channel::<Task>();
        let ((resume, resumed), (report_yield, yielded)) = (channel(), channel());
        let thread = thread::Builder::new().name("ministore-bg".into()).spawn(move || {
            RUN_TOKEN.set(Some(RunToken { resume: resumed, yielded: report_yield }));
            for task in queue {
                if !wait_turn() {
                    return;
                }
                task();
                report(YieldReason::TaskDone);
            }
        })?;
        *scheduler.lock() = Some(BackgroundThread { resume, yielded, outstanding: 0 });
        Ok(Self { scheduler, tasks: Some(tasks), thread: Some(thread) })
    }
}

impl Executor for LockstepExecutor {
    fn run(&mut self, task: Task) {
        if let (Some(tasks), Some(background)) = (&self.tasks, self.scheduler.lock().as_mut()) {
            background.outstanding += usize::from(tasks.send(task).is_ok());
        }
    }

    fn before_wait(&mut self) {
        self.scheduler.before_wait();
    }

    fn finish(&mut self) {
        self.tasks = None;
        while self.scheduler.advance() {}
        // Closes the channel that the thread waits on: it ends.
        *self.scheduler.lock() = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for LockstepExecutor {
    fn drop(&mut self) {
        self.finish();
    }
}

impl fmt::Debug for LockstepExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockstepExecutor").finish_non_exhaustive()
    }
}

/// Waits until the foreground lets this thread run. Returns `false` if the foreground's end is gone.
fn wait_turn() -> bool {
    RUN_TOKEN.with_borrow(|token| token.as_ref().is_some_and(|token| token.resume.recv().is_ok()))
}

fn report(reason: YieldReason) {
    RUN_TOKEN.with_borrow(|token| {
        if let Some(token) = token {
            // The foreground's end may be gone.
            let _ = token.yielded.send(reason);
        }
    });
}
