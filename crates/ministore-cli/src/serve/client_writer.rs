//! Sends the responses to a client in the order of its lines, acknowledgements only after the records are durable.

use std::{fmt, ops::RangeInclusive, sync::atomic::Ordering, time::Duration};

use ministore_uring::{MiniStoreError, PendingAppend};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt, BufWriter},
    sync::mpsc::{Receiver, error::TryRecvError},
    time::timeout,
};

use super::{
    client::PeerInfo,
    handshake::AckMode,
    limits::RESPONSE_BUFFER_BYTES,
    metrics::DisconnectReason,
    response::{self, BadLineAction},
    service::Service,
};

/// A response to send.
#[derive(Debug)]
pub(super) enum Response {
    /// To a handshake.
    Hello(AckMode),
    /// Sent once the records are durable.
    Committed { pending: PendingAppend, lines: RangeInclusive<u64> },
    /// The journal rejected them.
    Rejected { error: MiniStoreError, lines: RangeInclusive<u64> },
    /// Not a record.
    Invalid { line: u64, reason: String, action: BadLineAction },
    /// The last one.
    Close { reason: String, next: u64 },
    /// The only one, to a client that speaks HTTP.
    HttpError { reason: &'static str },
}

impl Response {
    /// Waits for the outcome of the lines and counts it, if they were submitted.
    pub(super) async fn count_outcome(self, service: &Service) {
        match self {
            Self::Committed { pending, lines } => {
                count_append(service, pending.await.as_ref().map(drop), &lines);
            }
            Self::Rejected { error, lines } => count_append(service, Err(&error), &lines),
            Self::Hello(_) | Self::Invalid { .. } | Self::Close { .. } | Self::HttpError { .. } => {}
        }
    }
}

/// Counts the outcome of the lines of a batch.
fn count_append(service: &Service, outcome: Result<(), &MiniStoreError>, lines: &RangeInclusive<u64>) {
    let count = lines.end() + 1 - lines.start();
    match outcome {
        Ok(()) => service.metrics.count_durable(count),
        Err(error) => {
            service.metrics.count_failed(error, count);
            service.on_append_error(error);
        }
    }
}

/// The way writing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteEnd {
    All,
    /// The client does not read, or disconnected.
    Disconnected,
    /// All responses were sent, including that records are not durable.
    Failed,
}

impl fmt::Display for WriteEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all responses were sent",
            Self::Disconnected => "the client does not read",
            Self::Failed => "the last response was an error",
        })
    }
}

/// A response cannot be sent.
#[derive(Debug)]
enum WriteError {
    Disconnected,
    TimedOut,
}

/// The writing side of a client.
#[derive(Debug)]
pub(super) struct ClientWriter<'a, W> {
    service: &'a Service,
    peer: &'a PeerInfo,
    out: BufWriter<W>,
    acks: AckMode,
    failed: bool,
}

impl<'a, W: AsyncWrite + Unpin> ClientWriter<'a, W> {
    pub(super) fn new(service: &'a Service, peer: &'a PeerInfo, writer: W) -> Self {
        let out = BufWriter::with_capacity(RESPONSE_BUFFER_BYTES, writer);
        Self { service, peer, out, acks: AckMode::None, failed: false }
    }

    /// Runs until the reading side ends. If this side ends first, it stops the reading side.
    pub(super) async fn run(mut self, mut responses: Receiver<Response>) -> WriteEnd {
        let sent = self.send_all(&mut responses).await;
        if sent.is_err() {
            // Without a client to answer, the outcome of its lines is still counted.
            responses.close();
            while let Some(response) = responses.recv().await {
                response.count_outcome(self.service).await;
            }
        }
        match sent {
            Ok(()) if self.failed => WriteEnd::Failed,
            Ok(()) => WriteEnd::All,
            Err(WriteError::Disconnected) => WriteEnd::Disconnected,
            Err(WriteError::TimedOut) => {
                self.service.metrics.count_disconnect(DisconnectReason::WriteTimeout);
                self.service.warn_limited(format_args!(
                    "{}: write timeout: the client does not read responses",
                    self.peer.name
                ));
                WriteEnd::Disconnected
            }
        }
    }

    async fn send_all(&mut self, responses: &mut Receiver<Response>) -> Result<(), WriteError> {
        loop {
            let response = match responses.try_recv() {
                Ok(response) => Some(response),
                Err(TryRecvError::Disconnected) => None,
                Err(TryRecvError::Empty) => {
                    self.flush().await?;
                    responses.recv().await
                }
            };
            match response {
                Some(response) => self.respond(response, responses).await?,
                None => return self.end().await,
            }
        }
    }

    async fn respond(
        &mut self,
        response: Response,
        responses: &mut Receiver<Response>,
    ) -> Result<(), WriteError> {
        match response {
            Response::Hello(acks) => {
                self.acks = acks;
                self.line(&response::hello(acks, self.service.max_record_bytes)).await
            }
            Response::Committed { pending, lines } => {
                let flushed = self.flush().await;
                let outcome = pending.await.map(|receipt| receipt.seq);
                count_append(self.service, outcome.as_ref().map(drop), &lines);
                flushed?;
                match outcome {
                    Ok(seq) => self.durable(seq, &lines).await,
                    Err(error) => self.failed(&error, &lines, responses).await,
                }
            }
            Response::Rejected { error, lines } => {
                count_append(self.service, Err(&error), &lines);
                self.failed(&error, &lines, responses).await
            }
            // Without acknowledgements the client need not read anything until it is disconnected.
            Response::Invalid { action, .. }
                if self.acks == AckMode::None && action != BadLineAction::Disconnect =>
            {
                Ok(())
            }
            Response::Invalid { line, reason, action } => {
                self.line(&response::bad(line, &reason, action)).await
            }
            Response::Close { reason, next } => self.line(&response::closing(&reason, next)).await,
            Response::HttpError { reason } => self.line(&response::http_error(reason)).await,
        }
    }

    async fn durable(&mut self, seq: u64, lines: &RangeInclusive<u64>) -> Result<(), WriteError> {
        let count = lines.end() + 1 - lines.start();
        match self.acks {
            AckMode::None => return Ok(()),
            AckMode::Record => {
                for (seq, line) in (seq..).zip(lines.clone()) {
                    self.line(&response::record(seq, line)).await?;
                }
            }
            AckMode::Batch => self.line(&response::batch(&(seq..=seq + count - 1), *lines.end())).await?,
        }
        self.service.metrics.acknowledged.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }

    /// Stops reading; responses to lines in flight are still sent.
    async fn failed(
        &mut self,
        error: &MiniStoreError,
        lines: &RangeInclusive<u64>,
        responses: &mut Receiver<Response>,
    ) -> Result<(), WriteError> {
        responses.close();
        if !self.failed {
            self.failed = true;
            self.service.metrics.count_disconnect(DisconnectReason::JournalError);
        }
        self.service.warn_limited(format_args!(
            "{}: lines {} to {} are not durable: {error}",
            self.peer.name,
            lines.start(),
            lines.end()
        ));
        self.line(&response::failed(error, lines)).await
    }

    async fn line(&mut self, text: &str) -> Result<(), WriteError> {
        with_timeout(self.service.write_timeout, self.out.write_all(text.as_bytes())).await
    }

    async fn flush(&mut self) -> Result<(), WriteError> {
        if self.out.buffer().is_empty() {
            return Ok(());
        }
        with_timeout(self.service.write_timeout, self.out.flush()).await
    }

    async fn end(&mut self) -> Result<(), WriteError> {
        with_timeout(self.service.write_timeout, self.out.shutdown()).await
    }
}

async fn with_timeout(
    timeout_after: Duration,
    writing: impl Future<Output = std::io::Result<()>>,
) -> Result<(), WriteError> {
    match timeout(timeout_after, writing).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(WriteError::Disconnected),
        Err(_) => Err(WriteError::TimedOut),
    }
}
