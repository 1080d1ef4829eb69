//! The blocking followers.

use std::{fmt, marker::PhantomData, sync::Arc};

use serde::de::DeserializeOwned;

use super::{
    super::{
        block_cursor::{BlockCursor, BlockSource},
        record::RawRecord,
        record::Record,
        record::RecordPosition,
    },
    follow_loop::{FollowLoop, FollowTarget},
    stop_signal::StopSignal,
};
use crate::{Result, format::scan::Block};

/// The records of a journal from a sequence number on, then those that are appended, without parsing. See
/// [`Reader::follow_raw`](crate::Reader::follow_raw) and
/// [`BlockingStore::follow_raw`](crate::BlockingStore::follow_raw).
///
/// The files are read on the calling thread; nothing is opened before the first call. At most one block of records is
/// in memory.
#[must_use = "nothing is read before the first `next_record`"]
pub struct RawFollower {
    target: FollowTarget,
    stop: Arc<StopSignal>,
    /// The number after the last record that was returned: a file that was replaced is read again,
    /// and its records up to here are skipped.
    next_seq: u64,
    block_cursor: BlockCursor,
    state: RawFollowerState,
}

enum RawFollowerState {
    Fresh,
    Following(Box<FollowLoop>),
    Ended,
}

/// Ends a [`Follower`] or a [`RawFollower`] from another thread, for example one that handles signals. Clones end the
/// same one.
#[derive(Debug, Clone)]
pub struct StopHandle {
    stop: Arc<StopSignal>,
}

impl StopHandle {
    /// Makes [`next_record`](RawFollower::next_record), which may be waiting, return `None` from now on. In a forked
    /// child it has no effect on the parent.
    pub fn stop(&self) {
        self.stop.stop();
    }
}

impl RawFollower {
    pub(crate) fn new(target: FollowTarget) -> Result<Self> {
        let (stop, next_seq) = (target.new_stop_signal()?, target.from_seq);
        Ok(Self {
            target,
            stop,
            next_seq,
            block_cursor: BlockCursor::default(),
            state: RawFollowerState::Fresh,
        })
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
                self.state = RawFollowerState::Ended;
                return Ok(None);
            }
        }
        let record = self.block_cursor.current();
        self.next_seq = record.map_or(self.next_seq, |record| record.seq.saturating_add(1));
        Ok(record)
    }

    /// Returns whether [`next_record`](Self::next_record) would return without waiting. A program that copies records
    /// flushes its output where it returns `false`.
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

    /// Reads the next block with `next_block`; returns `false` where there is none. The follower ends at the first
    /// error.
    fn next_block(
        &mut self,
        next_block: impl Fn(&mut FollowLoop, &mut BlockCursor) -> Result<bool>,
    ) -> Result<bool> {
        if self.stop.is_set() {
            return Ok(false);
        }
        let state = std::mem::replace(&mut self.state, RawFollowerState::Ended);
        if !matches!(state, RawFollowerState::Ended) {
            // A forked child shares the open descriptors with its parent: an event that it reads is lost to the parent.
            self.stop.check_fork(&self.target.path)?;
        }
        let mut follower = match state {
            RawFollowerState::Fresh => {
                Box::new(FollowLoop::new(self.target.clone(), Arc::clone(&self.stop))?)
            }
            RawFollowerState::Following(follower) => follower,
            RawFollowerState::Ended => return Ok(false),
        };
        let has_block = next_block(&mut follower, &mut self.block_cursor)?;
        self.state = RawFollowerState::Following(follower);
        Ok(has_block)
    }
}

/// Yields the blocks that exist now, without waiting.
struct NonBlocking<'a>(&'a mut FollowLoop);

impl BlockSource for NonBlocking<'_> {
    fn fill(&mut self, block: &mut Block) -> Result<Option<RecordPosition>> {
        self.0.poll_now(block)
    }
}

/// The records of a journal from a sequence number on, then those that are appended. Its `next` blocks the calling
/// thread. See [`Reader::follow`](crate::Reader::follow) and [`BlockingStore::follow`](crate::BlockingStore::follow).
///
/// After an error of a single record ([`Record`](crate::MiniStoreError::Record)) it continues with the next one; any
/// other error ends it.
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
            .field("path", &self.target.path)
            .field("from_seq", &self.target.from_seq)
            .finish_non_exhaustive()
    }
}
