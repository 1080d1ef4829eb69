//! The logs with async calls: ministore-uring, and `ministore` in a mutex, as its documentation recommends.

use std::path::Path;

use ministore_uring::{JournalOptions, MiniStore};
use tokio::sync::Mutex;

use super::tasks::AsyncLog;
use crate::log_under_test::{LogError, LogResult, Record};

impl AsyncLog for MiniStore {
    async fn append(&self, record: &Record) -> LogResult<()> {
        match &record.json {
            Some(json) => self.append_json(json.clone()).await.map(drop),
            None => Self::append(self, record).await,
        }
        .map_err(LogError::from)
    }
}

/// Opens ministore-uring.
pub fn open_ours(dir: &Path, options: JournalOptions) -> LogResult<MiniStore> {
    options.open_blocking(dir.join("journal")).map_err(LogError::from)
}

/// `ministore` 0.1.7. All segments are kept: by default it deletes the oldest.
#[derive(Debug)]
pub struct SharedMinistore(Mutex<ministore::MiniStore>);

impl SharedMinistore {
    pub async fn open(dir: &Path) -> LogResult<Self> {
        let options = ministore::MiniStoreOptions::new().max_segments(usize::MAX);
        let store = options.open(&dir.join("journal.jsonl")).await?;
        Ok(Self(Mutex::new(store)))
    }
}

impl AsyncLog for SharedMinistore {
    async fn append(&self, record: &Record) -> LogResult<()> {
        self.0.lock().await.append(record).await.map_err(LogError::from)
    }
}
