//! Owns the bytes of one client on their way in: read a chunk at a time, cut behind the last LF.
//!
//! What is held of a client is a chunk, and the beginning of a line that is not whole yet. Where that is more than a
//! chunk, it takes its memory from what all clients share ([`LONG_LINES_BYTES`](super::limits::LONG_LINES_BYTES)).

use std::{sync::Arc, time::Duration};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::limits::{CHUNK_BYTES, DRAIN_QUIET, DRAIN_TIME};

/// Held of a long line: its bytes, the room they grow into, and a copy on its way into the journal.
const COPIES: usize = 3;

/// What comes from a client.
#[derive(Debug)]
pub(super) enum Input {
    /// Whole lines, each with its LF.
    Lines(Bytes),
    /// The beginning of a line beyond the limit. The rest of it is passed over.
    TooLong(Bytes),
    End(End),
}

/// Why nothing more comes.
#[derive(Debug)]
pub(super) enum End {
    /// The client has ended; so many bytes of a line without its LF were left.
    Eof {
        rest: Bytes,
    },
    /// The connection broke, or the side that answers gave up.
    Broken,
    Idle,
    Memory,
    /// The service ends.
    Ending,
}

/// The reading side of a client.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    buffer: BytesMut,
    /// Of the buffer: there is no LF in it.
    scanned: usize,
    passing_over: bool,
    pub(super) line_bytes_max: usize,
    memory: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    /// Received, and not taken yet.
    bytes: u64,
    /// The service is ending: until when what has arrived is still read.
    draining: Option<Instant>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R, line_bytes_max: usize, memory: Arc<Semaphore>) -> Self {
        Self {
            reader,
            buffer: BytesMut::new(),
            scanned: 0,
            passing_over: false,
            line_bytes_max,
            memory,
            held: None,
            bytes: 0,
            draining: None,
        }
    }

    /// Bytes received since the last time.
    pub(super) fn take_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }

    /// Waits for lines, but for no longer than `patience`; until `gone`, or `ending` and nothing is left.
    pub(super) async fn next(
        &mut self,
        patience: Option<Duration>,
        gone: impl Future<Output = ()>,
        ending: impl Future<Output = ()>,
    ) -> Input {
        self.let_go();
        let idle = patience.map(|patience| Instant::now() + patience);
        tokio::pin!(gone, ending);
        loop {
            if let Some(input) = self.cut() {
                return input;
            }
            if !self.hold() {
                return Input::End(End::Memory);
            }
            self.buffer.reserve(CHUNK_BYTES);
            let draining = self.draining.map(|until| until.min(Instant::now() + DRAIN_QUIET));
            let mut room = (&mut self.buffer).limit(CHUNK_BYTES);
            let read = tokio::select! {
                biased;
                () = &mut gone => return Input::End(End::Broken),
                () = &mut ending, if draining.is_none() => {
                    self.draining = Some(Instant::now() + DRAIN_TIME);
                    continue;
                }
                read = until(draining.or(idle), self.reader.read_buf(&mut room)) => read,
            };
            match read {
                None if draining.is_some() => return Input::End(End::Ending),
                None => return Input::End(End::Idle),
                Some(Err(_)) => return Input::End(End::Broken),
                Some(Ok(0)) => return Input::End(End::Eof { rest: self.buffer.split().freeze() }),
                Some(Ok(count)) => self.bytes += count as u64,
            }
        }
    }

    /// What of the buffer can be handed out.
    fn cut(&mut self) -> Option<Input> {
        if self.passing_over {
            match memchr::memchr(b'\n', &self.buffer) {
                Some(at) => {
                    self.buffer.advance(at + 1);
                    self.passing_over = false;
                }
                None => self.buffer.clear(),
            }
        }
        if let Some(at) = memchr::memrchr(b'\n', &self.buffer[self.scanned..]) {
            let lines = self.buffer.split_to(self.scanned + at + 1).freeze();
            // What is behind the last LF has none.
            self.scanned = self.buffer.len();
            return Some(Input::Lines(lines));
        }
        self.scanned = self.buffer.len();
        // One byte more may be the CR of a CR LF.
        if self.buffer.len() <= self.line_bytes_max + 1 {
            return None;
        }
        self.passing_over = true;
        self.scanned = 0;
        Some(Input::TooLong(self.buffer.split().freeze()))
    }

    /// The lines handed out before are done with: a buffer that has grown for a long one shrinks.
    fn let_go(&mut self) {
        if self.held.is_some() && self.buffer.len() <= CHUNK_BYTES {
            let mut small = BytesMut::with_capacity(2 * CHUNK_BYTES);
            small.extend_from_slice(&self.buffer);
            self.buffer = small;
            self.held = None;
        }
    }

    /// Takes memory for a line that is longer than a chunk; `false` where there is none.
    fn hold(&mut self) -> bool {
        let have = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let want = if self.buffer.len() <= CHUNK_BYTES { 0 } else { COPIES * self.buffer.len() };
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

/// `None`: not by then.
async fn until<T>(deadline: Option<Instant>, what: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, what).await.ok(),
        None => Some(what.await),
    }
}
