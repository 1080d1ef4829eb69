//! The metadata and the journal it is kept in. Everything takes `&self`: consumers share one broker.
//!
//! A change is seen by nobody before it is durable, and all changes are applied in the order of the journal: so what
//! anybody saw is what a replay gives after a crash.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
};

use ministore_uring::{Append, JournalOptions, MiniStore, MiniStoreError, Reader, Record};
use tokio::sync::oneshot;

use super::{Change, Metadata, Refused, Snapshot, TopicConfig};

const JOURNAL: &str = "metadata.jsonl";

#[derive(Debug)]
pub struct Broker {
    journal: MiniStore,
    /// What is durable, and the last record of it.
    durable: Arc<RwLock<Snapshot>>,
    /// Where snapshots are saved, by one at a time: an older one must not take the place of a newer one, whose records
    /// may be deleted by then.
    dir: Mutex<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It says what became of the change.
    #[error(transparent)]
    Journal(#[from] MiniStoreError),
    #[error("the snapshot: {0}")]
    Snapshot(#[from] io::Error),
    #[error("record {expected} was to be next, and {found} is")]
    Missing { expected: u64, found: u64 },
}

impl Broker {
    /// Reads files on the calling thread: for the start of a program.
    pub async fn open(dir: &Path) -> Result<Self, BrokerError> {
        Self::open_with(JournalOptions::new(), dir).await
    }

    /// `JournalOptions` keeps every record until it is released: what is deleted is up to [`snapshot`](Self::snapshot).
    pub async fn open_with(options: JournalOptions, dir: &Path) -> Result<Self, BrokerError> {
        let path = dir.join(JOURNAL);
        // Opened first, so that what is replayed has been recovered.
        let journal = options.open(&path).await?;
        let snapshot = Snapshot::load(dir)?;
        let changes = Reader::open(&path)?.records_from(snapshot.seq + 1);
        Self::resume(journal, snapshot, changes, dir)
    }

    /// Goes on from a snapshot with the changes behind it. Not one may be missing.
    pub fn resume(
        journal: MiniStore,
        mut state: Snapshot,
        changes: impl Iterator<Item = ministore_uring::Result<Record<Change>>>,
        dir: &Path,
    ) -> Result<Self, BrokerError> {
        for change in changes {
            let Record { seq: found, value: change, .. } = change?;
            let expected = state.seq + 1;
            if found != expected {
                return Err(BrokerError::Missing { expected, found });
            }
            state.seq = found;
            // One that was refused then is refused now.
            let _ = state.metadata.apply(change);
        }
        if journal.durable_seq() < state.seq {
            let (expected, found) = (state.seq + 1, journal.durable_seq() + 1);
            return Err(BrokerError::Missing { expected, found });
        }
        Ok(Self { journal, durable: Arc::new(RwLock::new(state)), dir: Mutex::new(dir.to_path_buf()) })
    }

    /// Makes a change: it is durable when this returns, and everybody sees it.
    ///
    /// Who stops waiting for it may have made it all the same.
    pub async fn change(&self, change: Change) -> Result<(), BrokerError> {
        // Most of what has no effect is kept out of the journal. The rest is found when its turn has come.
        self.read().metadata.check(&change)?;
        let entry = Append::record(&change)?;
        let (done, told) = oneshot::channel();
        let durable = Arc::clone(&self.durable);
        // On the journal's own thread, in the order of its records: whoever waits, and in whatever order they are woken.
        let apply = move |outcome: ministore_uring::Result<ministore_uring::Receipt>| {
            let applied = outcome.map_err(BrokerError::from).and_then(|receipt| {
                let mut durable = durable.write().unwrap_or_else(PoisonError::into_inner);
                durable.seq = receipt.seq;
                Ok(durable.metadata.apply(change)?)
            });
            // Nobody may wait for it any more.
            let _ = done.send(applied);
        };
        drop(self.journal.send(entry.on_commit(apply)).await?);
        told.await.unwrap_or(Err(MiniStoreError::WriterPanicked.into()))
    }

    pub async fn create_topic(&self, topic: &str, config: TopicConfig) -> Result<(), BrokerError> {
        self.change(Change::CreateTopic { topic: topic.into(), config }).await
    }

    pub async fn delete_topic(&self, topic: &str) -> Result<(), BrokerError> {
        self.change(Change::DeleteTopic { topic: topic.into() }).await
    }

    pub async fn join(&self, group: &str, member: &str) -> Result<(), BrokerError> {
        self.change(Change::Join { group: group.into(), member: member.into() }).await
    }

    pub async fn leave(&self, group: &str, member: &str) -> Result<(), BrokerError> {
        self.change(Change::Leave { group: group.into(), member: member.into() }).await
    }

    pub async fn acknowledge(&self, group: &str, topic: &str, offset: u64) -> Result<(), BrokerError> {
        self.change(Change::Acknowledge { group: group.into(), topic: topic.into(), offset }).await
    }

    /// Saves a snapshot, then lets go of the records that it stands for. Returns the oldest record that is left: whole
    /// segments are deleted, the one being written never. Blocks the calling thread.
    pub fn snapshot(&self) -> Result<u64, BrokerError> {
        let dir = self.dir.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.copy();
        snapshot.save(&dir)?;
        self.release(&snapshot)
    }

    /// The metadata as it is now, and the last record in it. Changes wait while it is copied.
    pub fn copy(&self) -> Snapshot {
        self.read().clone()
    }

    /// For a snapshot that is durable.
    pub fn release(&self, snapshot: &Snapshot) -> Result<u64, BrokerError> {
        Ok(self.journal.blocking().trim_before(snapshot.seq + 1)?)
    }

    pub fn metadata(&self) -> Metadata {
        self.copy().metadata
    }

    pub fn offset(&self, group: &str, topic: &str) -> u64 {
        self.read().metadata.offset(group, topic)
    }

    pub fn journal(&self) -> &MiniStore {
        &self.journal
    }

    pub async fn close(&self) -> Result<(), BrokerError> {
        Ok(self.journal.close().await?)
    }

    fn read(&self) -> RwLockReadGuard<'_, Snapshot> {
        self.durable.read().unwrap_or_else(PoisonError::into_inner)
    }
}
