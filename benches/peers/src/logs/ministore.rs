//! `ministore` 0.1.7, shared by the callers in a mutex as its documentation recommends.
//!
//! Acknowledgement: `append` returns `Ok`. Promise (crate documentation, "Guarantees"): "Durability: after
//! `append()` returns `Ok(())`, the record is on stable storage". No checksum and no lock file are documented. By
//! default it keeps at most 3 segments and deletes the oldest: here all segments are kept.

use std::path::{Path, PathBuf};

use ministore::{MiniStore, MiniStoreOptions};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Mutex,
};

use crate::log_under_test::{BoxFuture, LogError, LogResult, LogUnderTest, Record, ReplayedItem};

/// An open journal, and the runtime that it needs.
#[derive(Debug)]
pub struct MinistoreLog {
    store: Mutex<MiniStore>,
    path: PathBuf,
    runtime: Runtime,
}

impl MinistoreLog {
    pub fn open(dir: &Path, segment_bytes: u64) -> LogResult<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).build()?;
        let path = dir.join("journal.jsonl");
        let options = MiniStoreOptions::new().max_bytes_per_segment(segment_bytes).max_segments(usize::MAX);
        let store = runtime.block_on(options.open(&path))?;
        Ok(Self { store: Mutex::new(store), path, runtime })
    }
}

impl LogUnderTest for MinistoreLog {
    fn append(&self, record: &Record) -> LogResult<()> {
        self.runtime.block_on(async { self.store.lock().await.append(record).await }).map_err(LogError::from)
    }

    fn replay(&self) -> LogResult<Vec<ReplayedItem>> {
        let records = self.runtime.block_on(MiniStore::replay::<Record, _>(&self.path))?;
        Ok(records.into_iter().map(ReplayedItem::Record).collect())
    }

    fn append_async(&self, record: Record) -> Option<BoxFuture<'_>> {
        Some(Box::pin(async move { self.store.lock().await.append(&record).await.map_err(LogError::from) }))
    }
}
