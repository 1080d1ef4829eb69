//! A limit: the same hand-over to another thread and back, with no I/O. A thread takes what is pending, all of it, and
//! answers every caller.
//!
//! Must stay as plain as a hand-over is usually written: an unbounded channel of `crossbeam`, a one-shot of `tokio`.

use std::{
    io,
    thread::{Builder, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, unbounded};
use tokio::sync::oneshot;

use super::tasks::Awaited;
use crate::contestant::{Answer, Record, Refusal};

/// What goes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// The record as JSON, as an append hands it over.
    Line,
    /// Nothing.
    Nothing,
}

struct Request {
    line: Vec<u8>,
    done: oneshot::Sender<usize>,
}

/// The callers' end, and the thread at the other.
#[derive(Debug)]
pub struct Echo {
    requests: Option<Sender<Request>>,
    load: Load,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn start(load: Load) -> io::Result<Self> {
        let (requests, pending) = unbounded();
        let thread = Builder::new().name("echo".into()).spawn(move || serve(&pending))?;
        Ok(Self { requests: Some(requests), load, thread: Some(thread) })
    }
}

/// One group after the other: what is pending when the one before has been answered.
fn serve(pending: &Receiver<Request>) {
    let mut group = Vec::new();
    while let Ok(first) = pending.recv() {
        group.push(first);
        group.extend(pending.try_iter());
        for request in group.drain(..) {
            // A caller that is gone wants no answer.
            request.done.send(request.line.len()).ok();
        }
    }
}

impl Awaited for Echo {
    async fn append(&self, record: &Record) -> Answer<()> {
        let line = match self.load {
            Load::Line => record.to_bytes()?,
            Load::Nothing => Vec::new(),
        };
        let (done, answer) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or_else(|| Refusal("stopped".into()))?;
        requests.send(Request { line, done }).map_err(Refusal::of)?;
        answer.await.map(drop).map_err(Refusal::of)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
