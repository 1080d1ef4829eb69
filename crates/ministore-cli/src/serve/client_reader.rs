//! Reads the lines of a client and submits them to the journal.

use std::{fmt, ops::RangeInclusive, sync::atomic::Ordering};

use bytes::Bytes;
use ministore_uring::{Append, JsonBatch};
use tokio::{
    io::AsyncRead,
    sync::mpsc::{self, error::SendError},
};

use super::{
    client::PeerInfo,
    client_writer::Response,
    handshake,
    limits::HANDSHAKE_TIMEOUT,
    lines::{ClientInput, Lines, ReadEnd, Rest},
    metrics::{DisconnectReason, RefuseReason},
    protocol::WrongProtocol,
    response::BadLineAction,
    service::Service,
};
use crate::{
    ingest::line::{self, LineError, RawLine},
    quarantine::BadLineOrigin,
};

/// The length limit of the first line of a client that must authenticate.
const HANDSHAKE_BYTES_MAX: usize = 4096;

/// The way reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    /// The client sent its last line.
    Complete,
    /// The client is disconnected.
    Disconnected,
    /// The journal rejected records.
    StoreFailed,
}

impl fmt::Display for ReadOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Complete => "all lines were read",
            Self::Disconnected => "the client was disconnected",
            Self::StoreFailed => "the journal rejected records",
        })
    }
}

/// The reading side of a client.
#[derive(Debug)]
pub(super) struct ClientReader<'a> {
    service: &'a Service,
    peer: &'a PeerInfo,
    responses: mpsc::Sender<Response>,
    /// The number of the current line.
    line: u64,
    /// It sent a valid token, or none is required.
    authenticated: bool,
    /// Why lines are refused once reading has ended.
    refuse_reason: RefuseReason,
    rest: Rest,
}

impl<'a> ClientReader<'a> {
    pub(super) fn new(service: &'a Service, peer: &'a PeerInfo, responses: mpsc::Sender<Response>) -> Self {
        let authenticated = peer.is_fifo || !service.allowed.requires_token();
        Self {
            service,
            peer,
            responses,
            line: 0,
            authenticated,
            refuse_reason: RefuseReason::Disconnected,
            rest: Rest::default(),
        }
    }

    pub(super) fn max_record_bytes(&self) -> usize {
        if self.authenticated { self.service.max_record_bytes } else { HANDSHAKE_BYTES_MAX }
    }

    /// Reads until the end. Returns why the input that was received and not examined is refused, and that input. The writing
    /// side ends after the last response.
    pub(super) async fn run<R: AsyncRead + Unpin>(
        mut self,
        mut lines: Lines<R>,
    ) -> (ReadOutcome, RefuseReason, Rest) {
        let result = self.read_all(&mut lines).await;
        self.service.metrics.bytes.fetch_add(lines.take_bytes(), Ordering::Relaxed);
        let rest = lines.into_rest();
        self.rest.bytes.extend_from_slice(&rest.bytes);
        self.rest.is_in_skipped_line = rest.is_in_skipped_line;
        (result.err().unwrap_or(ReadOutcome::Complete), self.refuse_reason, self.rest)
    }

    async fn read_all<R: AsyncRead + Unpin>(&mut self, lines: &mut Lines<R>) -> Result<(), ReadOutcome> {
        loop {
            let input =
                lines.next(self.read_timeout(), self.responses.closed(), self.service.shutdown.wait()).await;
            self.service.metrics.bytes.fetch_add(lines.take_bytes(), Ordering::Relaxed);
            match input {
                ClientInput::Lines(block) => self.process_block(&block).await?,
                ClientInput::TooLong(start) => {
                    self.line += 1;
                    self.service.metrics.count_lines(1);
                    self.require_auth(true).await?;
                    self.handle_bad_line(&start, &self.too_long()).await?;
                }
                ClientInput::WrongProtocol(protocol) => return Err(self.wrong_protocol(protocol).await),
                ClientInput::End(end) => return self.end(end).await,
            }
            lines.set_max_record_bytes(self.max_record_bytes());
        }
    }

    fn read_timeout(&self) -> Option<std::time::Duration> {
        let idle = self.service.idle_timeout;
        match (self.peer.is_fifo, self.authenticated) {
            (true, _) => None,
            (false, true) => idle,
            (false, false) => Some(idle.map_or(HANDSHAKE_TIMEOUT, |idle| idle.min(HANDSHAKE_TIMEOUT))),
        }
    }

    async fn process_block(&mut self, block: &Bytes) -> Result<(), ReadOutcome> {
        let mut lines = block.strip_suffix(b"\n").unwrap_or(block).split(|&byte| byte == b'\n');
        let processed = self.process_lines(&mut lines).await;
        for line in lines {
            self.rest.bytes.extend_from_slice(line);
            self.rest.bytes.extend_from_slice(b"\n");
        }
        processed
    }

    async fn process_lines<'b>(
        &mut self,
        lines: &mut impl Iterator<Item = &'b [u8]>,
    ) -> Result<(), ReadOutcome> {
        let mut batch = JsonBatch::new();
        for raw in lines {
            self.line += 1;
            if self.line == 1 && !self.peer.is_fifo && self.handshake(raw).await? {
                continue;
            }
            self.service.metrics.count_lines(u64::from(!raw.trim_ascii().is_empty()));
            match self.push(&mut batch, raw) {
                Ok(true) => {}
                // The lines of a batch are consecutive: a blank or bad line ends it.
                Ok(false) => self.submit(&mut batch, self.line - 1).await?,
                Err(line_error) => {
                    if let Err(end) = self.submit(&mut batch, self.line - 1).await {
                        self.service.metrics.count_refused(self.refuse_reason, 1);
                        return Err(end);
                    }
                    self.handle_bad_line(raw, &line_error).await?;
                }
            }
        }
        self.submit(&mut batch, self.line).await
    }

    /// Adds a line to the batch. Returns `false` if it is blank.
    fn push(&self, batch: &mut JsonBatch, raw: &[u8]) -> Result<bool, LineError> {
        if raw.strip_suffix(b"\r").unwrap_or(raw).len() > self.service.max_record_bytes {
            return Err(self.too_long());
        }
        let value = line::value(RawLine { bytes: raw, number: self.line, has_lf: true })?;
        if value.is_empty() {
            return Ok(false);
        }
        let start = value.start;
        line::push(batch, &raw[value]).map(|()| true).map_err(|line_error| line_error.in_line(start))
    }

    fn too_long(&self) -> LineError {
        LineError::too_long(self.service.max_record_bytes)
    }

    /// Returns whether line 1 is a handshake.
    async fn handshake(&mut self, raw: &[u8]) -> Result<bool, ReadOutcome> {
        let raw = raw.strip_prefix(line::BYTE_ORDER_MARK).unwrap_or(raw);
        let Some(handshake) = handshake::read(raw) else {
            let is_line = !self.authenticated && !raw.trim_ascii().is_empty();
            self.service.metrics.count_lines(u64::from(is_line));
            self.require_auth(is_line).await?;
            return Ok(false);
        };
        match handshake {
            Ok(handshake) => {
                self.authenticated |= self.service.allowed.token(handshake.token.as_deref());
                self.require_auth(false).await?;
                self.respond(Response::Hello(handshake.ack)).await?;
                Ok(true)
            }
            Err(reason) => {
                let reason = format!("invalid handshake: {reason}");
                Err(self.disconnect(DisconnectReason::BadLine, &reason, self.line).await)
            }
        }
    }

    /// `is_line`: whether a line that has been counted is refused otherwise.
    async fn require_auth(&mut self, is_line: bool) -> Result<(), ReadOutcome> {
        if self.authenticated {
            return Ok(());
        }
        self.refuse_reason = RefuseReason::Rejected;
        self.service.metrics.count_refused(self.refuse_reason, u64::from(is_line));
        Err(self
            .disconnect(
                DisconnectReason::Unauthenticated,
                "authentication required: send a valid token in the first line",
                self.line,
            )
            .await)
    }

    async fn submit(&mut self, batch: &mut JsonBatch, last_line: u64) -> Result<(), ReadOutcome> {
        if batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(batch);
        let count = batch.records();
        let lines: RangeInclusive<u64> = last_line + 1 - count..=last_line;
        // Waits while the queue is full. Reading from this client pauses until then.
        match self.service.store.send(Append::json_batch(batch)).await {
            Ok(pending) => self.respond(Response::Committed { pending, lines }).await,
            Err(error) => {
                self.respond(Response::Rejected { error, lines }).await?;
                Err(ReadOutcome::StoreFailed)
            }
        }
    }

    async fn handle_bad_line(&mut self, raw: &[u8], line_error: &LineError) -> Result<(), ReadOutcome> {
        let (service, line) = (self.service, self.line);
        service.metrics.bad_lines_total.fetch_add(1, Ordering::Relaxed);
        let column = line_error.offset as u64 + 1;
        let location = format!("{}:{line}:{column}: {}", self.peer.name, line_error.reason);
        let origin =
            BadLineOrigin { input: &self.peer.name, line, column, offset: None, reason: &line_error.reason };
        let action = match service.bad_lines.handle(origin, raw, &service.metrics) {
            // The writers of a FIFO cannot be disconnected.
            Ok(BadLineAction::Disconnect) if self.peer.is_fifo => {
                service.metrics.skipped.fetch_add(1, Ordering::Relaxed);
                BadLineAction::Skip
            }
            Ok(action) => action,
            Err(failure) => {
                service.warn_limited(failure.message());
                BadLineAction::Disconnect
            }
        };
        service.warn_limited(format_args!("{location} ({})", action.name()));
        self.respond(Response::Invalid { line, reason: line_error.reason.clone(), action }).await?;
        if action == BadLineAction::Disconnect {
            service.metrics.count_disconnect(DisconnectReason::BadLine);
            return Err(ReadOutcome::Disconnected);
        }
        Ok(())
    }

    async fn end(&mut self, end: ReadEnd) -> Result<(), ReadOutcome> {
        let next = self.line + 1;
        match end {
            ReadEnd::Eof { rest } => {
                if !rest.trim_ascii().is_empty() {
                    self.line = next;
                    self.service.metrics.count_lines(1);
                    self.require_auth(true).await?;
                    self.handle_bad_line(&rest, &LineError::unterminated(rest.len())).await?;
                }
                Ok(())
            }
            ReadEnd::Disconnected => Err(ReadOutcome::Disconnected),
            ReadEnd::IdleTimeout if !self.authenticated => {
                Err(self.disconnect(DisconnectReason::Unauthenticated, "authentication timeout", next).await)
            }
            ReadEnd::IdleTimeout => Err(self
                .disconnect(DisconnectReason::IdleTimeout, "idle timeout: no complete line", next)
                .await),
            ReadEnd::OutOfMemoryBudget => {
                let reason = "memory limit for long lines reached; try again later";
                Err(self.disconnect(DisconnectReason::OutOfMemoryBudget, reason, next).await)
            }
            ReadEnd::Shutdown => {
                self.refuse_reason = RefuseReason::Shutdown;
                self.respond(Response::Close { reason: "the service is shutting down".to_owned(), next })
                    .await
                    .ok();
                Err(ReadOutcome::Disconnected)
            }
        }
    }

    async fn wrong_protocol(&mut self, protocol: WrongProtocol) -> ReadOutcome {
        self.refuse_reason = RefuseReason::WrongProtocol;
        let reason = protocol.reason();
        self.service.metrics.count_disconnect(DisconnectReason::WrongProtocol);
        self.service.warn_limited(format_args!("{}: {reason}", self.peer.name));
        let response = match protocol {
            WrongProtocol::Http => Response::HttpError { reason },
            WrongProtocol::Tls => Response::Close { reason: reason.to_owned(), next: 1 },
        };
        self.respond(response).await.ok();
        ReadOutcome::Disconnected
    }

    async fn disconnect(&mut self, kind: DisconnectReason, reason: &str, next: u64) -> ReadOutcome {
        self.service.metrics.count_disconnect(kind);
        self.service.warn_limited(format_args!("{}: {reason}", self.peer.name));
        self.respond(Response::Close { reason: reason.to_owned(), next }).await.ok();
        ReadOutcome::Disconnected
    }

    /// Waits while many responses are pending. Fails if the writing side has ended.
    async fn respond(&self, response: Response) -> Result<(), ReadOutcome> {
        let Err(SendError(unsent)) = self.responses.send(response).await else { return Ok(()) };
        unsent.count_outcome(self.service).await;
        Err(ReadOutcome::Disconnected)
    }
}
