//! Records, lazily, as an iterator.

use std::{
    fmt,
    marker::PhantomData,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::de::DeserializeOwned;

use super::{
    cursor::{Cursor, Record},
    feed::Feed,
    stream::RecordStream,
};
use crate::{Result, device::Disk};

/// The records of a journal, oldest first, over all segments, in bounded memory. See
/// [`MiniStore::records`](crate::MiniStore::records).
///
/// Nothing is opened before the first call of `next`. After an error of a single record
/// ([`MiniStoreError::Record`](crate::MiniStoreError::Record)) it goes on with the next one; after any other error
/// it ends.
#[must_use = "nothing is read before the first `next`"]
pub struct Records<T> {
    pub(super) disk: Arc<dyn Disk>,
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

impl<T> Records<T> {
    pub(crate) fn new(disk: Arc<dyn Disk>, path: &Path, from_seq: u64) -> Self {
        let path = path.to_path_buf();
        Self { disk, path, from_seq, state: State::Fresh, cursor: Cursor::default(), value: PhantomData }
    }

    /// The same records as a `futures::Stream` that needs no particular runtime: the files are read on a thread of its own,
    /// so that no runtime thread is blocked. Starts from the beginning.
    pub fn into_stream(self) -> RecordStream<T> {
        RecordStream::new(self.disk, self.path, self.from_seq)
    }

    fn refill(&mut self) -> Result<bool> {
        if matches!(self.state, State::Fresh) {
            let feed = Feed::of_journal(Arc::clone(&self.disk), &self.path, self.from_seq)?;
            self.state = State::Reading(Box::new(feed));
        }
        let State::Reading(feed) = &mut self.state else { return Ok(false) };
        self.cursor.refill(feed)
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
