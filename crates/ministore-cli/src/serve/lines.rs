//! Reads the lines of one client in chunks.
//!
//! The buffer of a client contains a chunk and the beginning of an incomplete line. If that is more than a chunk, it is charged
//! to a budget that all clients share ([`LONG_LINES_BYTES`](super::limits::LONG_LINES_BYTES)).

use std::{sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{
    limits::{CHUNK_BYTES, DRAIN_IDLE_TIMEOUT, DRAIN_TIMEOUT},
    protocol::WrongProtocol,
};
use crate::lines::{LineBlock, LineSplitter};

/// The memory of a long line: its bytes, the space to grow, and the copy in the journal queue.
const COPIES: usize = 3;

/// The input of a client.
#[derive(Debug)]
pub(super) enum ClientInput {
    /// Complete lines, each with its LF.
    Lines(Bytes),
    /// The beginning of a line beyond the limit. The rest of it is skipped.
    TooLong(Bytes),
    /// The first line is not one of JSON, but of this protocol.
    WrongProtocol(WrongProtocol),
    End(ReadEnd),
}

/// Why reading ended.
#[derive(Debug)]
pub(super) enum ReadEnd {
    /// The client finished; `rest` is an incomplete line.
    Eof {
        rest: Bytes,
    },
    /// The connection broke, or the writing side ended.
    Disconnected,
    IdleTimeout,
    OutOfMemoryBudget,
    Shutdown,
}

/// Input that was received and not examined.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) bytes: BytesMut,
    /// The bytes up to the first LF belong to a line whose beginning was examined.
    pub(super) is_in_skipped_line: bool,
}

/// The reading side of a client.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    splitter: LineSplitter,
    memory: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    /// Received and not counted yet.
    bytes: u64,
    /// Whether the protocol of the client must still be checked: it has sent no line, except blank ones.
    is_first: bool,
    /// Since when the client has sent nothing, or only a part of a line.
    incomplete_since: Option<Instant>,
    /// During shutdown: until when arrived data is read.
    draining: Option<Instant>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// `rest`: examined before the input of the reader. `checks_protocol`: see [`ClientInput::WrongProtocol`].
    pub(super) fn new(
        reader: R,
        rest: Rest,
        max_record_bytes: usize,
        memory: Arc<Semaphore>,
        checks_protocol: bool,
    ) -> Self {
        let mut splitter = LineSplitter::new(max_record_bytes);
        splitter.buffer = rest.bytes;
        splitter.in_long_line = rest.is_in_skipped_line;
        Self {
            reader,
            splitter,
            memory,
            held: None,
            bytes: 0,
            is_first: checks_protocol,
            incomplete_since: Some(Instant::now()),
            draining: None,
        }
    }

    /// Returns the bytes received since the last call.
    pub(super) fn take_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }

    /// Returns the bytes that [`next`](Self::next) did not return.
    pub(super) fn into_rest(self) -> Rest {
        Rest { bytes: self.splitter.buffer, is_in_skipped_line: self.splitter.in_long_line }
    }

    pub(super) fn set_max_record_bytes(&mut self, max_record_bytes: usize) {
        self.splitter.max_line_bytes = max_record_bytes;
    }

    /// Waits for lines until `disconnected`, or until `shutdown` and no data is left; at most for `timeout_after` if the client
    /// has sent no line yet or only a part of one. A client between two lines may be silent.
    pub(super) async fn next(
        &mut self,
        timeout_after: Option<Duration>,
        disconnected: impl Future<Output = ()>,
        shutdown: impl Future<Output = ()>,
    ) -> ClientInput {
        self.shrink();
        tokio::pin!(disconnected, shutdown);
        loop {
            if let Some(input) = self.split_lines() {
                return input;
            }
            if !self.reserve_budget() {
                return ClientInput::End(ReadEnd::OutOfMemoryBudget);
            }
            self.splitter.buffer.reserve(CHUNK_BYTES);
            let idle = self.incomplete_since.zip(timeout_after).map(|(since, after)| since + after);
            let draining = self.draining.map(|until| until.min(Instant::now() + DRAIN_IDLE_TIMEOUT));
            let mut chunk = (&mut self.splitter.buffer).limit(CHUNK_BYTES);
            let read = tokio::select! {
                biased;
                () = &mut disconnected => return ClientInput::End(ReadEnd::Disconnected),
                () = &mut shutdown, if draining.is_none() => {
                    self.draining = Some(Instant::now() + DRAIN_TIMEOUT);
                    continue;
                }
                read = until(draining.or(idle), self.reader.read_buf(&mut chunk)) => read,
            };
            match read {
                None if draining.is_some() => return ClientInput::End(ReadEnd::Shutdown),
                None => return ClientInput::End(ReadEnd::IdleTimeout),
                Some(Err(_)) => return ClientInput::End(ReadEnd::Disconnected),
                Some(Ok(0)) => {
                    let rest = match self.splitter.finish() {
                        Some(LineBlock::Lines(rest)) => rest,
                        _ => Bytes::new(),
                    };
                    return ClientInput::End(ReadEnd::Eof { rest });
                }
                Some(Ok(count)) => {
                    self.bytes += count as u64;
                    self.incomplete_since.get_or_insert_with(Instant::now);
                }
            }
        }
    }

    /// Takes the complete lines from the buffer.
    fn split_lines(&mut self) -> Option<ClientInput> {
        loop {
            if self.is_first
                && !self.splitter.in_long_line
                && let Some(protocol) = WrongProtocol::detect(&self.splitter.buffer)
            {
                return Some(ClientInput::WrongProtocol(protocol));
            }
            match self.splitter.next_block()? {
                LineBlock::Lines(lines) => {
                    self.is_first &= lines.trim_ascii().is_empty();
                    self.complete();
                    return Some(ClientInput::Lines(lines));
                }
                LineBlock::LongLine { piece, is_first: true, .. } => {
                    return Some(ClientInput::TooLong(piece));
                }
                // The rest of a line that was reported.
                LineBlock::LongLine { is_last: true, .. } => self.complete(),
                LineBlock::LongLine { .. } => {}
            }
        }
    }

    /// Starts the time of the next line, if a part of it has arrived.
    fn complete(&mut self) {
        self.incomplete_since = (!self.splitter.buffer.is_empty()).then(Instant::now);
    }

    /// Shrinks a buffer that has grown for a long line.
    fn shrink(&mut self) {
        let buffer = &mut self.splitter.buffer;
        if self.held.is_some() && buffer.len() <= CHUNK_BYTES {
            let mut small = BytesMut::with_capacity(2 * CHUNK_BYTES);
            small.extend_from_slice(buffer);
            *buffer = small;
            self.held = None;
        }
    }

    /// Reserves memory for a line that is longer than a chunk; returns `false` if the budget is exhausted.
    fn reserve_budget(&mut self) -> bool {
        let have = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let line = self.splitter.buffer.len();
        let want = if line <= CHUNK_BYTES { 0 } else { COPIES * line };
        let Some(more) = want.checked_sub(have).filter(|&more| more > 0) else { return true };
        let Ok(more) = u32::try_from(more) else { return false };
        let Ok(more) = Arc::clone(&self.memory).try_acquire_many_owned(more) else { return false };
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        true
    }
}

/// Returns `None` after the deadline.
async fn until<T>(deadline: Option<Instant>, what: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, what).await.ok(),
        None => Some(what.await),
    }
}
