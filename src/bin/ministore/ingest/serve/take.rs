//! Owns the way of a client's lines into the journal.

use std::{ops::RangeInclusive, sync::atomic::Ordering};

use bytes::Bytes;
use ministore_uring::{Entry, JsonBatch};
use tokio::{io::AsyncRead, sync::mpsc};

use super::{
    client::Origin,
    counts::Turned,
    hello,
    limits::HELLO_TIME,
    lines::{End, Input, Lines},
    say::Then,
    service::Service,
    tell::Answer,
};
use crate::ingest::line::{self, Fault};

/// Whoever has not named a token yet has no more room for it.
const HELLO_BYTES_MAX: usize = 4096;

/// How the lines ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// The client has sent its last one.
    All,
    /// The client is disconnected.
    Stopped,
    /// The journal did not take some.
    Failed,
}

/// Takes what a client sends, line by line.
#[derive(Debug)]
pub(super) struct Taker<'a> {
    service: &'a Service,
    origin: &'a Origin,
    /// `None`: nothing more is to be told.
    answers: Option<mpsc::Sender<Answer>>,
    /// Lines so far.
    line: u64,
    /// It may send: it has named a token where one is asked for.
    let_in: bool,
}

impl<'a> Taker<'a> {
    pub(super) fn new(service: &'a Service, origin: &'a Origin, answers: mpsc::Sender<Answer>) -> Self {
        let let_in = origin.is_fifo || !service.allowed.asks_for_token();
        Self { service, origin, answers: Some(answers), line: 0, let_in }
    }

    pub(super) fn line_bytes_max(&self) -> usize {
        if self.let_in { self.service.limits.line_bytes_max } else { HELLO_BYTES_MAX }
    }

    pub(super) async fn run<R: AsyncRead + Unpin>(&mut self, mut lines: Lines<R>) -> Taken {
        let taken = self.all(&mut lines).await;
        self.service.counts.bytes.fetch_add(lines.take_bytes(), Ordering::Relaxed);
        // The other side ends behind the last answer.
        self.answers = None;
        taken.err().unwrap_or(Taken::All)
    }

    async fn all<R: AsyncRead + Unpin>(&mut self, lines: &mut Lines<R>) -> Result<(), Taken> {
        loop {
            let Some(answers) = &self.answers else { return Err(Taken::Stopped) };
            let input = lines.next(self.patience(), answers.closed(), self.service.ending.wait()).await;
            self.service.counts.bytes.fetch_add(lines.take_bytes(), Ordering::Relaxed);
            match input {
                Input::Lines(block) => self.block(&block).await?,
                Input::TooLong(start) => {
                    self.line += 1;
                    self.check_let_in().await?;
                    self.bad(&start, &self.too_long()).await?;
                }
                Input::End(end) => return self.end(end).await,
            }
            lines.line_bytes_max = self.line_bytes_max();
        }
    }

    fn patience(&self) -> Option<std::time::Duration> {
        let idle = self.service.limits.idle;
        match (self.origin.is_fifo, self.let_in) {
            (true, _) => None,
            (false, true) => idle,
            (false, false) => Some(idle.map_or(HELLO_TIME, |idle| idle.min(HELLO_TIME))),
        }
    }

    async fn block(&mut self, block: &Bytes) -> Result<(), Taken> {
        // Of lines that follow each other.
        let mut batch = JsonBatch::new();
        for raw in block.strip_suffix(b"\n").unwrap_or(block).split(|&byte| byte == b'\n') {
            self.line += 1;
            if self.line == 1 && !self.origin.is_fifo && self.hello(raw).await? {
                continue;
            }
            match self.push(&mut batch, raw) {
                Ok(true) => {}
                // The lines of a batch follow each other: a blank one ends it, as a bad one does.
                Ok(false) => self.submit(&mut batch, self.line - 1).await?,
                Err(fault) => {
                    self.submit(&mut batch, self.line - 1).await?;
                    self.bad(raw, &fault).await?;
                }
            }
        }
        self.submit(&mut batch, self.line).await
    }

    /// Adds a line to the batch. `false`: the line is blank.
    fn push(&self, batch: &mut JsonBatch, raw: &[u8]) -> Result<bool, Fault> {
        if raw.strip_suffix(b"\r").unwrap_or(raw).len() > self.service.limits.line_bytes_max {
            return Err(self.too_long());
        }
        let value = line::value(raw)?;
        if value.is_empty() {
            return Ok(false);
        }
        let lead = value.start;
        let pushed = line::push(batch, &raw[value]);
        pushed.map(|()| true).map_err(|fault| Fault { offset: lead + fault.offset, ..fault })
    }

    fn too_long(&self) -> Fault {
        let limit = self.service.limits.line_bytes_max;
        Fault { offset: limit, reason: format!("longer than a line may be ({limit} bytes)") }
    }

    /// Whether line 1 speaks to the service.
    async fn hello(&mut self, raw: &[u8]) -> Result<bool, Taken> {
        let Some(hello) = hello::read(raw) else {
            self.check_let_in().await?;
            return Ok(false);
        };
        match hello {
            Ok(hello) => {
                self.let_in |= self.service.allowed.token(hello.token.as_deref());
                self.check_let_in().await?;
                self.tell(Answer::Welcome(hello.ack)).await?;
                Ok(true)
            }
            Err(reason) => {
                let reason = format!("the first line is not understood: {reason}");
                Err(self.turn_away(Turned::BadLine, &reason, self.line).await)
            }
        }
    }

    async fn check_let_in(&mut self) -> Result<(), Taken> {
        if self.let_in {
            return Ok(());
        }
        Err(self.turn_away(Turned::Token, "a first line with a valid token is needed", self.line).await)
    }

    async fn submit(&mut self, batch: &mut JsonBatch, last_line: u64) -> Result<(), Taken> {
        if batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(batch);
        let count = batch.records();
        self.service.counts.lines.fetch_add(count, Ordering::Relaxed);
        let lines: RangeInclusive<u64> = last_line + 1 - count..=last_line;
        // Waits while the queue is full: meanwhile nothing is read from this client.
        match self.service.store.submit_entry(Entry::json_batch(batch)).await {
            Ok(pending) => self.tell(Answer::Records { pending, lines }).await,
            Err(error) => {
                self.tell(Answer::Refused { error, lines }).await?;
                Err(Taken::Failed)
            }
        }
    }

    async fn bad(&mut self, raw: &[u8], fault: &Fault) -> Result<(), Taken> {
        let (service, line) = (self.service, self.line);
        service.counts.lines.fetch_add(1, Ordering::Relaxed);
        service.counts.bad_lines.fetch_add(1, Ordering::Relaxed);
        let place = format!("{}:{line}:{}: {}", self.origin.name, fault.offset + 1, fault.reason);
        let then = match service.aside.take(raw, &service.counts) {
            // Nobody is there to be disconnected.
            Ok(Then::Closed) if self.origin.is_fifo => {
                service.counts.put_aside(|aside| aside.skipped += 1);
                Then::Skipped
            }
            Ok(then) => then,
            Err(failure) => {
                failure.tell();
                Then::Closed
            }
        };
        service.note(format_args!("{place} ({})", then.name()));
        self.tell(Answer::Bad { line, reason: fault.reason.clone(), then }).await?;
        if then == Then::Closed {
            service.counts.turned(Turned::BadLine);
            return Err(Taken::Stopped);
        }
        Ok(())
    }

    async fn end(&mut self, end: End) -> Result<(), Taken> {
        let next = self.line + 1;
        match end {
            End::Eof { rest } => {
                if !rest.trim_ascii().is_empty() {
                    self.line = next;
                    self.check_let_in().await?;
                    let reason = "the line does not end: no LF behind it".to_owned();
                    self.bad(&rest, &Fault { offset: rest.len(), reason }).await?;
                }
                Ok(())
            }
            End::Broken => Err(Taken::Stopped),
            End::Idle if !self.let_in => Err(self.turn_away(Turned::Token, "no token in time", next).await),
            End::Idle => Err(self.turn_away(Turned::Idle, "no line for too long", next).await),
            End::Memory => {
                let reason = "too many long lines are being read; try again later";
                Err(self.turn_away(Turned::Memory, reason, next).await)
            }
            End::Ending => {
                self.tell(Answer::Close { reason: "the service ends".to_owned(), next }).await.ok();
                Err(Taken::Stopped)
            }
        }
    }

    async fn turn_away(&mut self, why: Turned, reason: &str, next: u64) -> Taken {
        self.service.counts.turned(why);
        self.service.note(format_args!("{}: {reason}", self.origin.name));
        self.tell(Answer::Close { reason: reason.to_owned(), next }).await.ok();
        Taken::Stopped
    }

    /// Waits while many answers are on their way. An error: nobody tells any more.
    async fn tell(&self, answer: Answer) -> Result<(), Taken> {
        match &self.answers {
            Some(answers) => answers.send(answer).await.map_err(|_| Taken::Stopped),
            None => Err(Taken::Stopped),
        }
    }
}
