//! Following a journal: its records from some number on, then those that come, each once, in order, and only when it is
//! durable.
//!
//! What is durable the [writing process knows](durable), and wakes its followers itself. Any other process is woken by the
//! kernel ([`watch`]), and makes durable itself what it reads before it hands it out. One [segment](growing) after another
//! is read; the [journal] finds the next one. Never writes, never locks.

mod durable;
mod follower;
mod growing;
mod journal;
mod lines;
mod source;
mod stream;
#[cfg(test)]
mod tests;
mod watch;

use std::path::Path;

use serde::de::DeserializeOwned;

use self::follower::Origin;
pub use self::{
    lines::{FollowLines, Stopper},
    stream::Follow,
};
use crate::{Blocking, MiniStore, Result, device};

impl MiniStore {
    /// The records of this store from sequence number `seq` on, and then each that is appended, once it is durable: nothing
    /// above [`durable_seq`](Self::durable_seq) is handed out. 0 stands for the oldest record that is there; a number that
    /// was not given yet is waited for.
    ///
    /// Rotations are followed. The consumer may be as slow as it likes: it holds nobody up, and what waits for it waits in
    /// the files. Where retention deletes what it has not read, it is told, and may begin anew from there.
    ///
    /// The stream ends (`None`) when the store is closed and everything was handed out. It does not keep the store open. It
    /// needs no particular runtime; the writer wakes it directly.
    ///
    /// ```
    /// # fn main() -> ministore_uring::Result<()> {
    /// # pollster::block_on(async {
    /// # let dir = tempfile::tempdir()?;
    /// # let store = ministore_uring::JournalOptions::new().open(dir.path().join("journal.jsonl")).await?;
    /// let mut follow = store.follow::<String>(1);
    /// store.append_batch(["a", "b"]).await?;
    /// store.close().await?;
    /// while let Some(record) = follow.next().await {
    ///     let record = record?;
    ///     println!("{}: {}", record.seq, record.value);
    /// }
    /// # Ok(()) })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Each ends the stream, save the first:
    ///
    /// * [`Record`](crate::MiniStoreError::Record): a record is not a `T`.
    /// * [`Released`](crate::MiniStoreError::Released): the record to come was deleted by retention. It says which is the
    ///   oldest that is there.
    /// * [`Poisoned`](crate::MiniStoreError::Poisoned), [`WriterGone`](crate::MiniStoreError::WriterGone): the store
    ///   failed. Everything that was durable was handed out before.
    /// * [`Corrupt`](crate::MiniStoreError::Corrupt), [`MissingInitialState`](crate::MiniStoreError::MissingInitialState),
    ///   [`Io`](crate::MiniStoreError::Io): what was written cannot be read back.
    /// * [`InvalidArgument`](crate::MiniStoreError::InvalidArgument): the store was opened
    ///   [without seals](crate::JournalOptions::seals) and deletes old segments: its records have no lasting numbers.
    /// * [`Forked`](crate::MiniStoreError::Forked): a fork of the process that follows has neither its thread nor what
    ///   it waits by.
    pub fn follow<T: DeserializeOwned>(&self, seq: u64) -> Follow<T> {
        Follow::new(Origin::of_store(self.disk(), self.shared(), seq))
    }

    /// As [`follow`](Self::follow), of the journal at `path`, which any process may be writing, or none: the directory is
    /// watched (inotify), and looked at once a second all the same, for some file systems tell nothing; where the kernel
    /// does not watch at all, ten times a second. The journal need not be there yet. The stream never ends by itself:
    /// writers come and go.
    ///
    /// What is read may not be durable yet. So it is made durable here (`fdatasync` of the file that is read) where it is
    /// not known to be; a record that was handed out is found by every later opening of the journal. That needs no more
    /// rights than reading does. Where the disk is so full that the padding behind the newest record finds no room, that
    /// record, though acknowledged, is handed out only once the next one is appended, or the journal is closed. In journals
    /// without seals ([`seals(false)`](crate::JournalOptions::seals), and those of `ministore` 0.1.7) a record is a line
    /// that ends in a line feed, and one that the writer takes back because the disk is full may have been handed out.
    ///
    /// # Errors
    ///
    /// As [`follow`](Self::follow); it knows nothing of a store, and so neither of its failing.
    /// [`Io`](crate::MiniStoreError::Io), too, where what was read cannot be made durable: then it is not handed out.
    pub fn follow_journal<T: DeserializeOwned>(path: impl AsRef<Path>, seq: u64) -> Follow<T> {
        Follow::new(Origin::of_path(device::real(), path.as_ref(), seq))
    }

    /// As [`follow_journal`](Self::follow_journal), for programs without an async runtime: lines, unparsed, as
    /// [`lines`](Self::lines) gives them.
    ///
    /// ```no_run
    /// # fn main() -> ministore_uring::Result<()> {
    /// let mut lines = ministore_uring::MiniStore::follow_lines("journal.jsonl", 0)?;
    /// while let Some(line) = lines.next_line()? {
    ///     println!("{}: {}", line.seq, String::from_utf8_lossy(line.json));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Io`](crate::MiniStoreError::Io): there is no file descriptor left to stop it by.
    pub fn follow_lines(path: impl AsRef<Path>, seq: u64) -> Result<FollowLines> {
        FollowLines::new(Origin::of_path(device::real(), path.as_ref(), seq))
    }
}

impl Blocking<'_> {
    /// The lines of this store from sequence number `seq` on, then those that come. As [`MiniStore::follow`], unparsed.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::MiniStoreError::Io): there is no memory left to notice forks by. The journal is opened when the first
    /// line is asked for.
    pub fn follow_lines(&self, seq: u64) -> Result<FollowLines> {
        let store = self.store();
        FollowLines::new(Origin::of_store(store.disk(), store.shared(), seq))
    }
}
