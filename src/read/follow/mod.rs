//! Following a journal: its records from a sequence number on, then those that are appended, each once, in order, and
//! only when it is durable.
//!
//! In the writing process, the writer's [watermark](durability) says which records are durable, and the writer wakes
//! the followers. In any other process, inotify ([`watch`]) wakes a follower, which syncs what it reads before it
//! yields it. One [segment](live_segment) after another is read; [`journal`] finds the next one. Never writes, never
//! locks.

mod blocking;
mod durability;
mod follow_loop;
mod journal;
mod live_segment;
mod segment_files;
mod stop_signal;
mod stream;
#[cfg(test)]
mod tests;
mod wakeup;
mod watch;

use std::sync::Arc;

use serde::de::DeserializeOwned;

pub(crate) use self::follow_loop::FollowTarget;
pub use self::{
    blocking::{Follower, RawFollower, StopHandle},
    stream::FollowStream,
};
use crate::{Reader, Result};

impl Reader {
    /// Returns an iterator over the records from sequence number `seq` on, then each that any process appends, once it
    /// is durable. It **blocks the calling thread** until there is a record; [`stop_handle`](Follower::stop_handle)
    /// ends it. 0 means the oldest record that exists; a number that is not assigned yet is waited for. The journal
    /// need not exist yet, and the iterator never ends by itself: another process may append at any time.
    ///
    /// The directory is watched with inotify and polled once a second as well, because some file systems send no
    /// events; where inotify is not available, ten times a second.
    ///
    /// A record that was read may not be durable yet. It is then made durable here (`fdatasync` of the file that is
    /// read) before it is yielded, so every later open of the journal finds it. This needs no more permissions than
    /// reading. Where the disk is so full that the padding after the newest record cannot be written, that record,
    /// though acknowledged, is yielded only once the next one is appended or the journal is closed. In journals without
    /// checksums ([`checksums(false)`](crate::JournalOptions::checksums), and those of `ministore` 0.1.7) a record is a
    /// line that ends in a line feed, and one that the writer truncates because the disk is full may have been yielded.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::MiniStoreError::Io): no file descriptor is available for the stop signal. The iterator yields the
    /// errors of [`MiniStore::follow`](crate::MiniStore::follow), except for those of a failed store; and
    /// [`Io`](crate::MiniStoreError::Io) where a record cannot be made durable.
    pub fn follow<T: DeserializeOwned>(&self, seq: u64) -> Result<Follower<T>> {
        self.follow_raw(seq).map(Follower::new)
    }

    /// As [`follow`](Self::follow), without parsing.
    ///
    /// ```no_run
    /// # fn main() -> ministore_uring::Result<()> {
    /// let mut records = ministore_uring::Reader::open("journal.jsonl")?.follow_raw(0)?;
    /// while let Some(record) = records.next_record()? {
    ///     println!("{}: {}", record.seq, String::from_utf8_lossy(record.json));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`follow`](Self::follow).
    pub fn follow_raw(&self, seq: u64) -> Result<RawFollower> {
        RawFollower::new(self.follow_target(seq))
    }

    /// As [`follow`](Self::follow), as a stream that needs no particular runtime: the files are read on a thread of its
    /// own.
    pub fn follow_stream<T: DeserializeOwned>(&self, seq: u64) -> FollowStream<T> {
        FollowStream::new(self.follow_target(seq))
    }

    fn follow_target(&self, seq: u64) -> FollowTarget {
        FollowTarget::of_path(Arc::clone(self.fs()), self.path(), seq)
    }
}
