//! The executor of background work. With the file system of the operating system it is a thread; a simulated file
//! system runs the work step by step, between the operations of the commits.

use std::{fmt, io};

use crate::sync::{
    Sender,
    thread::{self, JoinHandle},
    unbounded,
};

/// A unit of background work. Dropped without being run after the executor has ended.
pub type Task = Box<dyn FnOnce() + Send>;

/// Runs tasks one at a time, in the order of their submission, concurrently with the thread that submits them.
pub trait Executor: Send + fmt::Debug {
    fn run(&mut self, task: Task);

    /// Called before the writer waits for the oldest task that is not done.
    fn before_wait(&mut self) {}

    /// Waits until all tasks are done.
    fn finish(&mut self);
}

/// The background thread.
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
