//! Who runs next. Either the work beside the commits is done at once, by whoever asks for it; or a thread of its own does
//! it in lock-step: exactly one of the two threads runs at any time, and the seed decides how many operations of the work
//! beside pass between two operations of the writer. So any interleaving can occur, and a seed repeats it.

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

/// The disk's side: whom to let run before an operation.
#[derive(Debug, Default)]
pub(super) struct Pace {
    beside: Mutex<Option<Beside>>,
}

/// The driving end of the thread beside.
#[derive(Debug)]
struct Beside {
    go: Sender<()>,
    reached: Receiver<Reached>,
    /// Tasks that are not done.
    outstanding: usize,
}

/// Why the thread beside stopped running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    /// It is about to operate on the disk.
    Operation,
    /// A task is done.
    End,
}

/// The thread beside holds this.
struct Baton {
    go: Receiver<()>,
    reached: Sender<Reached>,
}

thread_local! {
    static BATON: RefCell<Option<Baton>> = const { RefCell::new(None) };
}

impl Pace {
    /// Called before every operation. On the thread beside: stops until it is let go on. On any other: `true`, and it
    /// may let the thread beside go on.
    pub(super) fn is_ahead(&self) -> bool {
        if !self.is_beside() {
            return true;
        }
        // Where the driving end is gone the rest of the task is of no use, and runs to its end.
        tell(Reached::Operation);
        may_begin();
        false
    }

    /// Whether this is the thread beside.
    pub(super) fn is_beside(&self) -> bool {
        BATON.with_borrow(Option::is_some)
    }

    /// Lets the thread beside make one operation, or reach the end of a task. `false` where there is nothing to do.
    pub(super) fn advance(&self) -> bool {
        self.lock().as_mut().is_some_and(|beside| beside.advance().is_some())
    }

    /// Whether work beside is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.lock().as_ref().is_some_and(|beside| beside.outstanding > 0)
    }

    fn before_wait(&self) {
        let mut beside = self.lock();
        if let Some(beside) = beside.as_mut() {
            while beside.advance() == Some(Reached::Operation) {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Beside>> {
        self.beside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Beside {
    fn advance(&mut self) -> Option<Reached> {
        if self.outstanding == 0 || self.go.send(()).is_err() {
            return None;
        }
        let Ok(reached) = self.reached.recv() else {
            // A task panicked: whoever waits for its outcome is told.
            self.outstanding = 0;
            return None;
        };
        if reached == Reached::End {
            self.outstanding -= 1;
        }
        Some(reached)
    }
}

/// Runs each task at once, on the thread that asks for it.
#[derive(Debug)]
pub(super) struct AtOnce;

impl Executor for AtOnce {
    fn run(&mut self, task: Task) {
        task();
    }

    fn finish(&mut self) {}
}

/// A thread in lock-step with whoever drives the disk.
pub(super) struct LockStep {
    pace: Arc<Pace>,
    tasks: Option<Sender<Task>>,
    thread: Option<JoinHandle<()>>,
}

impl LockStep {
    /// `begin` is called on the new thread first.
    pub(super) fn spawn(pace: Arc<Pace>, begin: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (tasks, todo) = channel::<Task>();
        let ((go, gone), (reached, told)) = (channel(), channel());
        let thread = thread::Builder::new().name("ministore-bg".into()).spawn(move || {
            begin();
            BATON.set(Some(Baton { go: gone, reached }));
            for task in todo {
                if !may_begin() {
                    return;
                }
                task();
                tell(Reached::End);
            }
        })?;
        *pace.lock() = Some(Beside { go, reached: told, outstanding: 0 });
        Ok(Self { pace, tasks: Some(tasks), thread: Some(thread) })
    }
}

impl Executor for LockStep {
    fn run(&mut self, task: Task) {
        if let (Some(tasks), Some(beside)) = (&self.tasks, self.pace.lock().as_mut()) {
            beside.outstanding += usize::from(tasks.send(task).is_ok());
        }
    }

    fn before_wait(&mut self) {
        self.pace.before_wait();
    }

    fn finish(&mut self) {
        self.tasks = None;
        while self.pace.advance() {}
        // Nobody lets the thread go on any more: it ends.
        *self.pace.lock() = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for LockStep {
    fn drop(&mut self) {
        self.finish();
    }
}

impl fmt::Debug for LockStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockStep").finish_non_exhaustive()
    }
}

fn may_begin() -> bool {
    BATON.with_borrow(|baton| baton.as_ref().is_some_and(|baton| baton.go.recv().is_ok()))
}

fn tell(reached: Reached) {
    BATON.with_borrow(|baton| {
        if let Some(baton) = baton {
            // The driving end may be gone.
            let _ = baton.reached.send(reached);
        }
    });
}
