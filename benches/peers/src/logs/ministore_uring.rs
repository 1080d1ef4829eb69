//! `ministore-uring` with its default options, except for the size of segments.
//!
//! Acknowledgement: `append` returns `Ok`. Promise (crate documentation, "Guarantees"): "`Ok` from an append means that its
//! line is on stable storage: data, file size, and every directory entry needed to find it".

use std::path::Path;

use ministore_uring::{JournalOptions, MiniStore, Reader};

use crate::log_under_test::{BoxFuture, LogError, LogResult, LogUnderTest, Record, ReplayedItem};

#[derive(Debug)]
pub struct UringLog {
    store: MiniStore,
}

impl UringLog {
    pub fn open(dir: &Path, segment_bytes: u64) -> LogResult<Self> {
        let options = JournalOptions::new().max_segment_bytes(segment_bytes);
        let store = options.open_blocking(dir.join("journal"))?;
        Ok(Self { store })
    }
}

impl LogUnderTest for UringLog {
    fn append(&self, record: &Record) -> LogResult<()> {
        let append = match &record.json {
            Some(json) => self.store.blocking().append_json(json.clone()).map(drop),
            None => self.store.blocking().append(record),
        };
        append.map_err(LogError::from)
    }

    fn replay(&self) -> LogResult<Vec<ReplayedItem>> {
        let records = Reader::open(self.store.path())?.records::<Record>();
        records
            .map(|record| record.map(|record| ReplayedItem::Record(record.value)).map_err(LogError::from))
            .collect()
    }

    fn recovery_message(&self) -> Option<String> {
        let truncated = self.store.open_report().truncated.as_ref()?;
        Some(format!("cut {} bytes at {}: {}", truncated.bytes, truncated.offset, truncated.reason))
    }

    fn append_async(&self, record: Record) -> Option<BoxFuture<'_>> {
        let append = self.store.append(&record);
        Some(Box::pin(async move { append.await.map_err(LogError::from) }))
    }

    fn close(self: Box<Self>) -> LogResult<()> {
        self.store.blocking().close().map_err(LogError::from)
    }
}
