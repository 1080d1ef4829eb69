//! A limit of the machine: the same line sent to another thread and acknowledged, without I/O. The thread receives
//! all pending requests and answers each caller.
//!
//! Must stay as simple as such code usually is: an unbounded channel of `crossbeam`, a one-shot channel of `tokio`.

use std::{
    io,
    thread::{Builder, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, unbounded};
use tokio::sync::oneshot;

use super::tasks::AsyncLog;
use crate::log_under_test::{LogError, LogResult, Record};

struct Request {
    line: Vec<u8>,
    done: oneshot::Sender<usize>,
}

/// The sending end of the channel, and the thread.
#[derive(Debug)]
pub struct Echo {
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    pub fn start() -> io::Result<Self> {
        let (requests, pending) = unbounded();
        let thread = Builder::new().name("echo".into()).spawn(move || serve(&pending))?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }
}

/// Answers one group after the other: all requests pending when the previous group was answered.
fn serve(pending: &Receiver<Request>) {
    let mut group = Vec::new();
    while let Ok(first) = pending.recv() {
        group.push(first);
        group.extend(pending.try_iter());
        for request in group.drain(..) {
            // A caller that was dropped needs no answer.
            request.done.send(request.line.len()).ok();
        }
    }
}

impl AsyncLog for Echo {
    async fn append(&self, record: &Record) -> LogResult<()> {
        let line = record.to_bytes()?.into_owned();
        let (done, answer) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or_else(|| LogError("stopped".into()))?;
        requests.send(Request { line, done })?;
        answer.await.map(drop).map_err(LogError::from)
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
