//! The metadata and its journal. All methods take `&self`, so consumers share one broker.
//!
//! A change becomes visible only after it is durable, and all changes are applied in the order of the journal, so a
//! replay after a crash gives the state that consumers saw.

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
    /// The durable metadata and the number of its last record.
    durable: Arc<RwLock<Snapshot>>,
    /// The directory of the snapshots. The mutex serializes saving: an older snapshot must not replace a newer one,
    /// whose records may already be deleted.
    dir: Mutex<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Journal(#[from] MiniStoreError),
    #[error("snapshot: {0}")]
    Snapshot(#[from] io::Error),
    #[error("expected record {expected}, found {found}")]
    Missing { expected: u64, found: u64 },
}

impl Broker {
    /// Opens the broker. Reads files on the calling thread, so it should be called at the start of a program.
    pub async fn open(dir: &Path) -> Result<Self, BrokerError> {
        Self::open_with(JournalOptions::new(), dir).await
    }

    /// Opens the broker with `options`. By default `JournalOptions` keeps every record, so only
    /// [`snapshot`](Self::snapshot) deletes any.
    pub async fn open_with(options: JournalOptions, dir: &Path) -> Result<Self, BrokerError> {
        let path = dir.join(JOURNAL);
        // Open the store first, which recovers the journal before it is replayed.
        let journal = options.open(&path).await?;
        let snapshot = Snapshot::load(dir)?;
        let changes = Reader::open(&path)?.records_from(snapshot.seq + 1);
        Self::resume(journal, snapshot, changes, dir)
    }

    /// Rebuilds the state from a snapshot and all changes after it. Fails if a change is missing.
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
            // A change that was rejected when it was appended is rejected again.
            let _ = state.metadata.apply(change);
        }
        if journal.durable_seq() < state.seq {
            let (expected, found) = (state.seq + 1, journal.durable_seq() + 1);
            return Err(BrokerError::Missing { expected, found });
        }
        Ok(Self { journal, durable: Arc::new(RwLock::new(state)), dir: Mutex::new(dir.to_path_buf()) })
    }

    /// Makes a change. It is durable and visible when this returns.
    ///
    /// If the caller drops the future, the change may still be made.
    pub async fn change(&self, change: Change) -> Result<(), BrokerError> {
        // This check keeps most ineffective changes out of the journal. A concurrent change can invalidate it, so
        // `apply` checks again.
        self.read().metadata.check(&change)?;
        let append = Append::record(&change)?;
        let (reply_tx, reply_rx) = oneshot::channel();
        let durable = Arc::clone(&self.durable);
        // The writer thread runs this in the order of the records, independent of the order in which it wakes the
        // callers.
        let apply = move |outcome: ministore_uring::Result<ministore_uring::Receipt>| {
            let applied = outcome.map_err(BrokerError::from).and_then(|receipt| {
                let mut durable = durable.write().unwrap_or_else(PoisonError::into_inner);
                durable.seq = receipt.seq;
                Ok(durable.metadata.apply(change)?)
            });
            // The caller may have dropped its future.
            let _ = reply_tx.send(applied);
        };
        drop(self.journal.send(append.on_commit(apply)).await?);
        reply_rx.await.unwrap_or(Err(MiniStoreError::WriterPanicked.into()))
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

    /// Saves a snapshot, then trims the records it contains. Returns the oldest remaining record: trimming deletes
    /// whole segments, and never the active one. Blocks the calling thread.
    pub fn snapshot(&self) -> Result<u64, BrokerError> {
        let dir = self.dir.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.copy();
        snapshot.save(&dir)?;
        self.release(&snapshot)
    }

    /// Returns a copy of the metadata and the number of its last record. Changes wait while it is copied.
    pub fn copy(&self) -> Snapshot {
        self.read().clone()
    }

    /// Trims the records that a durable snapshot contains.
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
