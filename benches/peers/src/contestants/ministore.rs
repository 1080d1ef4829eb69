//! `ministore` 0.1.7, shared between callers behind a mutex as its documentation asks.
//!
//! Acknowledgement: `append` returns `Ok`. Promise (crate documentation, "Guarantees"): "Durability: after `append()` returns
//! `Ok(())`, the record is on stable storage". No checksum and no lock file are documented. Its default of at most 3 segments
//! deletes the oldest: here every segment is kept.

use std::path::{Path, PathBuf};

use ministore::{MiniStore, MiniStoreOptions};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Mutex,
};

use crate::contestant::{Answer, Contestant, Eventually, Found, Record, Refusal, Settings};

/// An open journal, and the runtime that it needs.
#[derive(Debug)]
pub struct Log {
    store: Mutex<MiniStore>,
    path: PathBuf,
    runtime: Runtime,
}

impl Log {
    /// Opens or creates it.
    ///
    /// # Errors
    ///
    /// What the crate says.
    pub fn open(dir: &Path, settings: Settings) -> Answer<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).build().map_err(Refusal::of)?;
        let path = dir.join("journal.jsonl");
        let options =
            MiniStoreOptions::new().max_bytes_per_segment(settings.segment_bytes).max_segments(usize::MAX);
        let store = runtime.block_on(options.open(&path)).map_err(Refusal::of)?;
        Ok(Self { store: Mutex::new(store), path, runtime })
    }
}

impl Contestant for Log {
    fn append(&self, record: &Record) -> Answer<()> {
        self.runtime.block_on(async { self.store.lock().await.append(record).await }).map_err(Refusal::of)
    }

    fn append_many(&self, records: &[Record]) -> Answer<()> {
        records.iter().try_for_each(|record| self.append(record))
    }

    fn replay(&self) -> Answer<Vec<Found>> {
        let records =
            self.runtime.block_on(MiniStore::replay::<Record, _>(&self.path)).map_err(Refusal::of)?;
        Ok(records.into_iter().map(Found::Record).collect())
    }

    fn append_async(&self, record: Record) -> Option<Eventually<'_>> {
        Some(Box::pin(async move { self.store.lock().await.append(&record).await.map_err(Refusal::of) }))
    }

    fn close(self: Box<Self>) -> Answer<()> {
        drop(self.store);
        Ok(())
    }
}
