//! The follower as a stream.

use std::{
    fmt,
    future::poll_fn,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::Stream;
use serde::de::DeserializeOwned;

use super::{
    super::{block_cursor::BlockCursor, read_ahead::ReadAhead, record::Record},
    follow_loop::{FollowLoop, FollowTarget},
    stop_signal::StopSignal,
};
use crate::{MiniStoreError, Result};

/// The records of a journal from a sequence number on, then those that are appended, as a `futures::Stream`. See
/// [`MiniStore::follow`](crate::MiniStore::follow) and [`Reader::follow_stream`](crate::Reader::follow_stream).
///
/// Nothing is opened before the first poll; then the files are read on a thread of its own, which ends when the stream
/// is dropped. At most a few blocks of records wait in memory, however slow the consumer is. After an error of a single
/// record ([`Record`](MiniStoreError::Record)) it continues with the next one; any other error ends it.
#[must_use = "streams do nothing unless polled"]
pub struct FollowStream<T> {
    target: FollowTarget,
    /// The sequence number after the last record that was yielded.
    next_seq: u64,
    block_cursor: BlockCursor,
    state: FollowStreamState,
    value: PhantomData<fn() -> T>,
}

enum FollowStreamState {
    Fresh,
    Running(FollowThread),
    Ended,
}

/// The thread that reads. Dropping this ends it, except in a fork.
struct FollowThread {
    read_ahead: ReadAhead,
    stop: Arc<StopSignal>,
}

impl FollowThread {
    fn start(target: FollowTarget) -> Result<Self> {
        let stop = target.new_stop_signal()?;
        let thread_stop = Arc::clone(&stop);
        let read_ahead = ReadAhead::start(target.path.clone(), move || FollowLoop::new(target, thread_stop))?;
        Ok(Self { read_ahead, stop })
    }
}

impl Drop for FollowThread {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

impl<T> FollowStream<T> {
    pub(crate) fn new(target: FollowTarget) -> Self {
        let next_seq = target.from_seq;
        Self {
            target,
            next_seq,
            block_cursor: BlockCursor::default(),
            state: FollowStreamState::Fresh,
            value: PhantomData,
        }
    }

    fn poll_block(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<BlockCursor>>> {
        if let FollowStreamState::Fresh = self.state {
            match FollowThread::start(self.target.clone()) {
                Ok(thread) => self.state = FollowStreamState::Running(thread),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        match &mut self.state {
            FollowStreamState::Running(thread) => thread.read_ahead.poll_next(context),
            FollowStreamState::Fresh | FollowStreamState::Ended => Poll::Ready(None),
        }
    }

    fn end(&mut self) {
        (self.state, self.block_cursor) = (FollowStreamState::Ended, BlockCursor::default());
    }
}

impl<T: DeserializeOwned> FollowStream<T> {
    /// Returns the next record of the block. A file that was replaced is read again from its start: records that were
    /// yielded before are skipped.
    fn next_of_block(&mut self) -> Option<Result<Record<T>>> {
        let next_seq = self.next_seq;
        let record = self.block_cursor.next(next_seq)?;
        if let Ok(Record { seq, .. }) | Err(MiniStoreError::Record { seq, .. }) = &record {
            self.next_seq = seq.saturating_add(1);
        }
        Some(record)
    }

    /// Returns the next record, once there is one. `None` once the store is closed, and after an error.
    pub async fn next(&mut self) -> Option<Result<Record<T>>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl<T: DeserializeOwned> Stream for FollowStream<T> {
    type Item = Result<Record<T>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(record) = self.next_of_block() {
                return Poll::Ready(Some(record));
            }
            match self.poll_block(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(block_cursor))) => self.block_cursor = block_cursor,
                Poll::Ready(Some(Err(error))) => {
                    self.end();
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => {
                    self.end();
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl<T> fmt::Debug for FollowStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FollowStream")
            .field("path", &self.target.path)
            .field("from_seq", &self.target.from_seq)
            .finish_non_exhaustive()
    }
}
