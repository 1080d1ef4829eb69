//! What runs the work beside the commits. A real disk has a thread for it; a simulated one runs it step by step,
//! between the commits' own operations.

use std::{fmt, io};

use crate::sync::{
    Sender,
    thread::{self, JoinHandle},
    unbounded,
};

/// A piece of work. Dropped without being run where nothing runs it any more.
pub(crate) type Task = Box<dyn FnOnce() + Send>;

/// Runs tasks one at a time, in the order given, beside whoever gives them.
pub(crate) trait Executor: Send + fmt::Debug {
    fn run(&mut self, task: Task);

    /// Whoever calls is about to wait for the oldest task that is not done.
    fn before_wait(&mut self) {}

    /// Waits until all tasks are done.
    fn finish(&mut self);
}

/// A thread of its own.
#[derive(Debug)]
pub(crate) struct ThreadExecutor {
    tasks: Option<Sender<Task>>,
    thread: Option<JoinHandle<()>>,
}

impl ThreadExecutor {
    pub(crate) fn spawn() -> io::Result<Self> {
        let (tasks, todo) = unbounded::<Task>();
        let thread = thread::Builder::new()
            .name("ministore-bg".into())
            .spawn(move || todo.into_iter().for_each(|task| task()))?;
        Ok(Self { tasks: Some(tasks), thread: Some(thread) })
    }
}

impl Executor for ThreadExecutor {
    fn run(&mut self, task: Task) {
        if let Some(tasks) = &self.tasks {
            let _ = tasks.send(task);
        }
    }

    fn finish(&mut self) {
        self.tasks = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
