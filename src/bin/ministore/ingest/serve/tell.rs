//! Owns what a client is told, in the order of its lines, and no sooner than it is true.

use std::{ops::RangeInclusive, sync::atomic::Ordering, time::Duration};

use ministore_uring::{MiniStoreError, PendingReceipt};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt, BufWriter},
    sync::mpsc::{Receiver, error::TryRecvError},
    time::timeout,
};

use super::{
    client::Origin,
    counts::Turned,
    hello::Acks,
    limits::ANSWER_BYTES,
    say::{self, Then},
    service::Service,
};

/// What is to be told.
#[derive(Debug)]
pub(super) enum Answer {
    /// To a hello.
    Welcome(Acks),
    /// Once they are durable.
    Records { pending: PendingReceipt, lines: RangeInclusive<u64> },
    /// Not accepted.
    Refused { error: MiniStoreError, lines: RangeInclusive<u64> },
    /// No record.
    Bad { line: u64, reason: String, then: Then },
    /// The last one.
    Close { reason: String, next: u64 },
}

/// How the telling ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    All,
    /// The client does not take it, or is gone.
    Broken,
    /// All, and among it that records are not durable.
    Failed,
}

/// The client cannot be told.
#[derive(Debug)]
enum Deaf {
    Gone,
    Unread,
}

/// The writing side of a client.
#[derive(Debug)]
pub(super) struct Teller<'a, W> {
    service: &'a Service,
    origin: &'a Origin,
    out: BufWriter<W>,
    patience: Duration,
    acks: Acks,
    failed: bool,
}

impl<'a, W: AsyncWrite + Unpin> Teller<'a, W> {
    pub(super) fn new(service: &'a Service, origin: &'a Origin, writer: W) -> Self {
        let out = BufWriter::with_capacity(ANSWER_BYTES, writer);
        Self { service, origin, out, patience: service.limits.unread, acks: Acks::None, failed: false }
    }

    /// Until the other side has nothing more. Where this side ends first, the other one does, too.
    pub(super) async fn run(mut self, mut answers: Receiver<Answer>) -> Told {
        match self.all(&mut answers).await {
            Ok(()) if self.failed => Told::Failed,
            Ok(()) => Told::All,
            Err(Deaf::Gone) => Told::Broken,
            Err(Deaf::Unread) => {
                self.service.counts.turned(Turned::Unread);
                self.service.note(format_args!("{}: does not take its answers", self.origin.name));
                Told::Broken
            }
        }
    }

    async fn all(&mut self, answers: &mut Receiver<Answer>) -> Result<(), Deaf> {
        loop {
            let answer = match answers.try_recv() {
                Ok(answer) => Some(answer),
                Err(TryRecvError::Disconnected) => None,
                Err(TryRecvError::Empty) => {
                    self.flush().await?;
                    answers.recv().await
                }
            };
            match answer {
                Some(answer) => self.answer(answer, answers).await?,
                None => return self.end().await,
            }
        }
    }

    async fn answer(&mut self, answer: Answer, answers: &mut Receiver<Answer>) -> Result<(), Deaf> {
        match answer {
            Answer::Welcome(acks) => {
                self.acks = acks;
                self.line(&say::welcome(acks, self.service.limits.line_bytes_max)).await
            }
            Answer::Records { pending, lines } => {
                self.flush().await?;
                match pending.await {
                    Ok(receipt) => self.durable(receipt.seq, &lines).await,
                    Err(error) => self.failed(&error, &lines, answers).await,
                }
            }
            Answer::Refused { error, lines } => self.failed(&error, &lines, answers).await,
            // Whoever asked for nothing is told nothing that it would have to read.
            Answer::Bad { then, .. } if self.acks == Acks::None && then != Then::Closed => Ok(()),
            Answer::Bad { line, reason, then } => self.line(&say::bad(line, &reason, then)).await,
            Answer::Close { reason, next } => self.line(&say::closing(&reason, next)).await,
        }
    }

    async fn durable(&mut self, seq: u64, lines: &RangeInclusive<u64>) -> Result<(), Deaf> {
        let count = lines.end() + 1 - lines.start();
        match self.acks {
            Acks::None => return Ok(()),
            Acks::Record => {
                for (seq, line) in (seq..).zip(lines.clone()) {
                    self.line(&say::record(seq, line)).await?;
                }
            }
            Acks::Batch => self.line(&say::batch(&(seq..=seq + count - 1), *lines.end())).await?,
        }
        self.service.counts.acknowledged.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }

    /// Nothing more is taken; what is on its way is still told.
    async fn failed(
        &mut self,
        error: &MiniStoreError,
        lines: &RangeInclusive<u64>,
        answers: &mut Receiver<Answer>,
    ) -> Result<(), Deaf> {
        answers.close();
        self.service.refused(error);
        if !self.failed {
            self.failed = true;
            self.service.counts.turned(Turned::Store);
        }
        self.service.note(format_args!(
            "{}: lines {} to {} are not durable: {error}",
            self.origin.name,
            lines.start(),
            lines.end()
        ));
        self.line(&say::failed(error, lines)).await
    }

    async fn line(&mut self, text: &str) -> Result<(), Deaf> {
        patiently(self.patience, self.out.write_all(text.as_bytes())).await
    }

    async fn flush(&mut self) -> Result<(), Deaf> {
        if self.out.buffer().is_empty() {
            return Ok(());
        }
        patiently(self.patience, self.out.flush()).await
    }

    async fn end(&mut self) -> Result<(), Deaf> {
        patiently(self.patience, self.out.shutdown()).await
    }
}

async fn patiently(
    patience: Duration,
    writing: impl Future<Output = std::io::Result<()>>,
) -> Result<(), Deaf> {
    match timeout(patience, writing).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Deaf::Gone),
        Err(_) => Err(Deaf::Unread),
    }
}
