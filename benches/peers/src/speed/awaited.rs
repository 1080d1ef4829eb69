//! The logs that are awaited: ours, and `ministore` behind a mutex, as its documentation asks.

use std::path::Path;

use ministore_uring::{JournalOptions, MiniStore};
use tokio::sync::Mutex;

use super::tasks::Awaited;
use crate::contestant::{Answer, Record, Refusal};

impl Awaited for MiniStore {
    async fn append(&self, record: &Record) -> Answer<()> {
        Self::append(self, record).await.map_err(Refusal::of)
    }
}

/// Opens ours, with default options but for the segments' size.
///
/// # Errors
///
/// What the crate says.
pub fn open_ours(dir: &Path, segment_bytes: Option<u64>) -> Answer<MiniStore> {
    let options = JournalOptions::new();
    let options = match segment_bytes {
        Some(bytes) => options.max_segment_bytes(bytes),
        None => options,
    };
    options.open_blocking(dir.join("journal")).map_err(Refusal::of)
}

/// `ministore` 0.1.7. Every segment is kept: its default deletes the oldest of four.
#[derive(Debug)]
pub struct Ministore(Mutex<ministore::MiniStore>);

impl Ministore {
    /// Opens or creates it.
    ///
    /// # Errors
    ///
    /// What the crate says.
    pub async fn open(dir: &Path) -> Answer<Self> {
        let options = ministore::MiniStoreOptions::new().max_segments(usize::MAX);
        let store = options.open(&dir.join("journal.jsonl")).await.map_err(Refusal::of)?;
        Ok(Self(Mutex::new(store)))
    }
}

impl Awaited for Ministore {
    async fn append(&self, record: &Record) -> Answer<()> {
        self.0.lock().await.append(record).await.map_err(Refusal::of)
    }
}
