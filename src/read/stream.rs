//! The streams over deserialized records.

use std::{
    fmt,
    future::poll_fn,
    marker::PhantomData,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use serde::de::DeserializeOwned;

use super::{
    block_cursor::BlockCursor, journal_reader::JournalReader, read_ahead::ReadAhead, read_plan::ReadPlan,
    record::Record,
};
use crate::{MiniStoreError, Result, io::FileSystem};

/// The records of a journal as a `futures::Stream`. See [`Reader::records_stream`](crate::Reader::records_stream) and
/// [`Reader::range_stream`](crate::Reader::range_stream).
///
/// Polled in a fork of the process that polled it first, it yields the records that were read before, then
/// [`Forked`](MiniStoreError::Forked), and ends: the fork does not have its thread.
#[must_use = "streams do nothing unless polled"]
pub struct RecordStream<T> {
    plan: ReadPlan,
    read_ahead: Option<ReadAhead>,
    block_cursor: BlockCursor,
    ended: bool,
    value: PhantomData<fn() -> T>,
}

impl<T> RecordStream<T> {
    pub(crate) fn of(plan: ReadPlan) -> Self {
        Self {
            plan,
            read_ahead: None,
            block_cursor: BlockCursor::default(),
            ended: false,
            value: PhantomData,
        }
    }

    fn read_ahead(&mut self) -> Result<&mut ReadAhead> {
        if self.read_ahead.is_none() {
            let plan = self.plan.clone();
            self.read_ahead = Some(ReadAhead::start(plan.path().to_path_buf(), move || plan.open())?);
        }
        self.read_ahead.as_mut().ok_or(MiniStoreError::WriterPanicked)
    }
}

impl<T: DeserializeOwned> RecordStream<T> {
    /// Returns the next record; `None` at the end, and after an error.
    pub async fn next(&mut self) -> Option<Result<Record<T>>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl<T: DeserializeOwned> Stream for RecordStream<T> {
    type Item = Result<Record<T>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let from_seq = self.plan.first_seq();
        while !self.ended {
            if let Some(record) = self.block_cursor.next(from_seq) {
                return Poll::Ready(Some(record));
            }
            let block = match self.read_ahead() {
                Ok(read_ahead) => ready!(read_ahead.poll_next(context)),
                Err(error) => Some(Err(error)),
            };
            match block {
                Some(Ok(block_cursor)) => self.block_cursor = block_cursor,
                Some(Err(error)) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => self.ended = true,
            }
        }
        Poll::Ready(None)
    }
}

impl<T> fmt::Debug for RecordStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordStream").field("path", &self.plan.path()).finish_non_exhaustive()
    }
}

/// The records of **one file** of a journal, as `ministore` 0.1.7 yields them. See
/// [`MiniStore::stream`](crate::MiniStore::stream).
pub struct JournalStream<T> {
    read_ahead: ReadAhead,
    block_cursor: BlockCursor,
    value: PhantomData<fn() -> T>,
}

impl<T> JournalStream<T> {
    pub(crate) async fn open(fs: Arc<dyn FileSystem>, path: PathBuf) -> Result<Self> {
        let mut read_ahead = ReadAhead::start(path.clone(), move || JournalReader::of_file(fs, &path))?;
        read_ahead.opened().await?;
        Ok(Self { read_ahead, block_cursor: BlockCursor::default(), value: PhantomData })
    }
}

impl<T: DeserializeOwned> JournalStream<T> {
    /// Returns the next record; `None` at the end of the file. After a line that is not a `T` it continues with the
    /// next one.
    pub async fn next(&mut self) -> Option<Result<T>> {
        loop {
            match self.block_cursor.next::<T>(0) {
                Some(Ok(record)) => return Some(Ok(record.value)),
                Some(Err(MiniStoreError::Record { line, source, .. })) => {
                    let line = usize::try_from(line).unwrap_or(usize::MAX);
                    return Some(Err(MiniStoreError::Deserialize { line, source }));
                }
                Some(Err(error)) => return Some(Err(error)),
                None => match poll_fn(|context| self.read_ahead.poll_next(context)).await? {
                    Ok(block_cursor) => self.block_cursor = block_cursor,
                    Err(error) => return Some(Err(error)),
                },
            }
        }
    }
}

impl<T> fmt::Debug for JournalStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalStream").finish_non_exhaustive()
    }
}
