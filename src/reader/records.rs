//! Records, lazily, as an iterator.

use std::{
    fmt,
    marker::PhantomData,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

use super::{
    feed::{Feed, Place},
    stream::RecordStream,
};
use crate::{MiniStoreError, Result, scan::Block};

/// A record and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<T> {
    /// Its sequence number: it never changes.
    pub seq: u64,
    /// What was appended.
    pub value: T,
}

/// The records of a journal, oldest first, over all segments, in bounded memory. See
/// [`MiniStore::records`](crate::MiniStore::records).
///
/// Nothing is opened before the first call of `next`. After an error of a single record
/// ([`MiniStoreError::Record`]) it goes on with the next one; after any other error it ends.
#[must_use = "nothing is read before the first `next`"]
pub struct Records<T> {
    pub(super) path: PathBuf,
    pub(super) from_seq: u64,
    state: State,
    cursor: Cursor,
    value: PhantomData<fn() -> T>,
}

#[derive(Debug)]
enum State {
    Fresh,
    Reading(Box<Feed>),
    Ended,
}

/// A block that is being handed out, record by record.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    block: Block,
    place: Option<Place>,
    index: usize,
}

impl Cursor {
    pub(super) fn new(block: Block, place: Place) -> Self {
        Self { block, place: Some(place), index: 0 }
    }

    /// The next record from `from_seq` on; `None` where the block is used up.
    pub(super) fn next<T: DeserializeOwned>(&mut self, from_seq: u64) -> Option<Result<Record<T>>> {
        loop {
            let place = self.place.as_ref()?;
            let span = self.block.span(self.index)?;
            let (seq, line) = (place.seq + self.index as u64, place.line + self.index as u64);
            self.index += 1;
            if seq < from_seq {
                continue;
            }
            let decoded = serde_json::from_slice(self.block.value(span));
            return Some(decoded.map(|value| Record { seq, value }).map_err(|source| {
                MiniStoreError::Record {
                    segment: place.segment.to_path_buf(),
                    offset: span.offset,
                    line,
                    seq,
                    source,
                }
            }));
        }
    }
}

impl<T> Records<T> {
    pub(crate) fn new(path: &Path, from_seq: u64) -> Self {
        let path = path.to_path_buf();
        Self { path, from_seq, state: State::Fresh, cursor: Cursor::default(), value: PhantomData }
    }

    /// The same records as a `futures::Stream` that needs no particular runtime: the files are read on a thread of its own,
    /// so that no runtime thread is blocked. Starts from the beginning.
    pub fn into_stream(self) -> RecordStream<T> {
        RecordStream::new(self.path, self.from_seq)
    }

    fn refill(&mut self) -> Result<bool> {
        if matches!(self.state, State::Fresh) {
            self.state = State::Reading(Box::new(Feed::of_journal(&self.path, self.from_seq)?));
        }
        let State::Reading(feed) = &mut self.state else { return Ok(false) };
        self.cursor.block.clear();
        self.cursor.index = 0;
        self.cursor.place = feed.fill(&mut self.cursor.block)?;
        Ok(self.cursor.place.is_some())
    }
}

impl<T: DeserializeOwned> Iterator for Records<T> {
    type Item = Result<Record<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.cursor.next(self.from_seq) {
                return Some(record);
            }
            match self.refill() {
                Ok(true) => {}
                Ok(false) => {
                    self.state = State::Ended;
                    return None;
                }
                Err(error) => {
                    self.state = State::Ended;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl<T> fmt::Debug for Records<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("path", &self.path)
            .field("from_seq", &self.from_seq)
            .finish_non_exhaustive()
    }
}
