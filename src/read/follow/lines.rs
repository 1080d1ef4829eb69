//! A followed journal, for programs without an async runtime.

use std::{fmt, marker::PhantomData, sync::Arc};

use serde::de::DeserializeOwned;

use super::{
    super::{
        block_cursor::{BlockCursor, BlockSource, Record},
        journal_reader::RecordPosition,
        raw_records::RawRecord,
    },
    follower::{FollowLoop, FollowTarget},
    wakeup::StopSignal,
};
use crate::{Result, format::scan::Block};

/// The records of a journal from a sequence number on, then those that are appended, without parsing. See
/// [`Reader::follow_raw`](crate::Reader::follow_raw) and [`BlockingStore::follow_raw`](crate::BlockingStore::follow_raw).
///
/// The files are read on the calling thread; nothing is opened before the first call. At most one block of records is in
/// memory.
#[must_use = "nothing is read before the first `next_record`"]
pub struct RawFollower {
    origin: FollowTarget,
    stop: Arc<StopSignal>,
    /// The number after the last record that was returned: a file that was replaced is read again.
    next_seq: u64,
    block_cursor: BlockCursor,
    state: State,
}

enum State {
    Fresh,
    Following(Box<FollowLoop>),
    Ended,
}

/// Ends a [`Follower`] or a [`RawFollower`] from another thread, for example one that handles signals. Clones end the same
/// one.
#[derive(Debug, Clone)]
pub struct StopHandle {
    stop: Arc<StopSignal>,
}

impl StopHandle {
    /// Makes [`next_record`](RawFollower::next_record), which may be waiting, return `None` from now on. In a forked child it
    /// has no effect on the parent.
    pub fn stop(&self) {
        self.stop.stop();
    }
}

impl RawFollower {
    pub(crate) fn new(origin: FollowTarget) -> Result<Self> {
        let (stop, next_seq) = (origin.stop()?, origin.from_seq);
        Ok(Self { origin, stop, next_seq, block_cursor: BlockCursor::default(), state: State::Fresh })
    }

    /// Returns a handle that ends it.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle { stop: Arc::clone(&self.stop) }
    }

    /// Returns the next record; blocks the calling thread until there is one. `None` once it was
    /// [stopped](StopHandle::stop) or its store was closed, and after an error.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::follow`](crate::MiniStore::follow), except that nothing is parsed here.
    pub fn next_record(&mut self) -> Result<Option<RawRecord<'_>>> {
        while !self.block_cursor.advance(self.next_seq) {
            if !self.next_block(|follower, block_cursor| block_cursor.next_block(follower))? {
                self.state = State::Ended;
                return Ok(None);
            }
        }
        let line = self.block_cursor.line();
        self.next_seq = line.map_or(self.next_seq, |line| line.seq.saturating_add(1));
        Ok(line)
    }

    /// Returns whether [`next_record`](Self::next_record) would return without waiting. A program that copies records flushes
    /// its output where it returns `false`.
    ///
    /// # Errors
    ///
    /// As [`next_record`](Self::next_record).
    pub fn is_ready(&mut self) -> Result<bool> {
        while !self.block_cursor.has_more(self.next_seq) {
            if !self
                .next_block(|follower, block_cursor| block_cursor.next_block(&mut NonBlocking(follower)))?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes the next block; `false` where there is none. It ends at the first error.
    fn next_block(
        &mut self,
        next_block: impl Fn(&mut FollowLoop, &mut BlockCursor) -> Result<bool>,
    ) -> Result<bool> {
        if self.stop.is_set() {
            return Ok(false);
        }
        let state = std::mem::replace(&mut self.state, State::Ended);
        if !matches!(state, State::Ended) {
            // A fork shares what is open with the process that opened it: an event read here is one that it never sees.
            self.stop.check_fork(&self.origin.path)?;
        }
        let mut follower = match state {
            State::Fresh => Box::new(FollowLoop::new(self.origin.clone(), Arc::clone(&self.stop))?),
            State::Following(follower) => follower,
            State::Ended => return Ok(false),
        };
        let refilled = next_block(&mut follower, &mut self.block_cursor)?;
        self.state = State::Following(follower);
        Ok(refilled)
    }
}

/// What there is without waiting.
struct NonBlocking<'a>(&'a mut FollowLoop);

impl BlockSource for NonBlocking<'_> {
    fn fill(&mut self, block: &mut Block) -> Result<Option<RecordPosition>> {
        self.0.poll_now(block)
    }
}

/// The records of a journal from a sequence number on, then those that are appended. Its `next` blocks the calling thread.
/// See [`Reader::follow`](crate::Reader::follow) and [`BlockingStore::follow`](crate::BlockingStore::follow).
///
/// After an error of a single record ([`Record`](crate::MiniStoreError::Record)) it continues with the next one; any other
/// error ends it.
#[must_use = "nothing is read before the first `next`"]
pub struct Follower<T> {
    records: RawFollower,
    value: PhantomData<fn() -> T>,
}

impl<T> Follower<T> {
    pub(crate) fn new(records: RawFollower) -> Self {
        Self { records, value: PhantomData }
    }

    /// Returns a handle that ends it.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.records.stop_handle()
    }
}

impl<T: DeserializeOwned> Iterator for Follower<T> {
    type Item = Result<Record<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.records.next_record() {
            Ok(record) => record.map(Record::parse),
            Err(error) => Some(Err(error)),
        }
    }
}

impl<T> fmt::Debug for Follower<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Follower").field(&self.records).finish()
    }
}

impl fmt::Debug for RawFollower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawFollower")
            .field("path", &self.origin.path)
            .field("from_seq", &self.origin.from_seq)
            .finish_non_exhaustive()
    }
}
