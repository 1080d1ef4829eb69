//! `ministore-uring`, with its default options (but for the segments' size).
//!
//! Acknowledgement: `append` returns `Ok`. Promise (crate documentation, "Guarantees"): "`Ok` from an append means that its
//! line is on stable storage: data, file size, and every directory entry needed to find it".

use std::path::Path;

use ministore_uring::{JournalOptions, MiniStore, Reader};

use crate::contestant::{Answer, Contestant, Eventually, Found, Record, Refusal, Settings};

/// An open journal.
#[derive(Debug)]
pub struct Log {
    store: MiniStore,
}

impl Log {
    /// Opens or creates it.
    ///
    /// # Errors
    ///
    /// What the crate says.
    pub fn open(dir: &Path, settings: Settings) -> Answer<Self> {
        let options = JournalOptions::new().max_segment_bytes(settings.segment_bytes);
        let store = options.open_blocking(dir.join("journal")).map_err(Refusal::of)?;
        Ok(Self { store })
    }
}

impl Contestant for Log {
    fn append(&self, record: &Record) -> Answer<()> {
        self.store.blocking().append(record).map_err(Refusal::of)
    }

    fn append_many(&self, records: &[Record]) -> Answer<()> {
        let mut pending = Vec::with_capacity(records.len());
        for record in records {
            pending.push(self.store.blocking().submit(record).map_err(Refusal::of)?);
        }
        for record in pending {
            record.wait().map_err(Refusal::of)?;
        }
        Ok(())
    }

    fn replay(&self) -> Answer<Vec<Found>> {
        let records = Reader::open(self.store.path()).unwrap().records::<Record>();
        records.map(|record| record.map(|record| Found::Record(record.value)).map_err(Refusal::of)).collect()
    }

    fn told(&self) -> Option<String> {
        let cut = self.store.open_report().truncated.as_ref()?;
        Some(format!("cut {} bytes at {}: {}", cut.bytes, cut.offset, cut.reason))
    }

    fn append_async(&self, record: Record) -> Option<Eventually<'_>> {
        let append = self.store.append(&record);
        Some(Box::pin(async move { append.await.map_err(Refusal::of) }))
    }

    fn close(self: Box<Self>) -> Answer<()> {
        self.store.blocking().close().map_err(Refusal::of)
    }
}
