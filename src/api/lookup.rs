//! Random reads of the store's own journal: only what is durable, and never on a runtime's thread.

use std::{
    ops::{Range, RangeBounds},
    path::Path,
    sync::Arc,
};

use serde::de::DeserializeOwned;

use crate::{
    BlockingStore, MiniStore, MiniStoreError, Reader, Record, RecordRange, RecordStream, Result,
    io::FileSystem,
    journal::{
        fork::ForkGuard,
        reply::{Reply, reply},
        status::StoreStatus,
    },
    read::{FoundRecord, ReadPlan, ReadPool, seq_range},
    sync::oneshot,
};

/// What the handles of a store share for random reads.
#[derive(Debug)]
pub(crate) struct PointReader {
    reader: Reader,
    threads: ReadPool,
}

impl PointReader {
    pub(crate) fn new(disk: Arc<dyn FileSystem>, path: &Path, process: ForkGuard) -> Self {
        Self { reader: Reader::new(disk, path), threads: ReadPool::new(process) }
    }
}

impl MiniStore {
    /// The record with sequence number `seq`; `None` where it is not durable yet, and for 0. It is found as a
    /// [`Reader`] finds it; all handles of a store share what they know of the journal. The file is read
    /// on a thread of the store's own, and the record is deserialized in the caller's task. A store that is closed, or
    /// stopped by a failure, can still be read.
    ///
    /// ```
    /// # use ministore_uring::{JournalOptions, MiniStoreError};
    /// # fn main() -> ministore_uring::Result<()> {
    /// # pollster::block_on(async {
    /// # let dir = tempfile::tempdir()?;
    /// # let store = JournalOptions::new().open(dir.path().join("journal.jsonl")).await?;
    /// let seq = store.submit(&"a letter").await?.await?.seq;
    /// let record = store.get::<String>(seq).await?;
    /// assert_eq!(record.map(|record| record.value).as_deref(), Some("a letter"));
    /// # Ok(()) })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Reader::get`]; [`InvalidArgument`](MiniStoreError::InvalidArgument) where the store was opened
    /// [without seals](crate::JournalOptions::checksums) and deletes old segments, so that numbers do not last;
    /// [`Forked`](MiniStoreError::Forked) in a fork of the process that opened the store, where a
    /// reader of its own is the way.
    pub async fn get<T: DeserializeOwned>(&self, seq: u64) -> Result<Option<Record<T>>> {
        let Some(status) = self.shared_if_durable(seq)? else { return Ok(None) };
        let (done, outcome) = oneshot::channel();
        let looking = (self.point_reader().reader.clone(), Arc::clone(status));
        let job = move || {
            // Nothing is read for callers who went away.
            if !done.is_closed() {
                reply(done, find(&looking.0, &looking.1, seq));
            }
        };
        self.point_reader().threads.run(job)?;
        let found = Reply { outcome, status: Arc::clone(status) }.await?;
        found.map(|found: FoundRecord| found.parse()).transpose()
    }

    /// The records with these sequence numbers that are durable when this is called, as a stream that needs no
    /// particular runtime: the files are read on a thread of its own, in bounded memory. A range without a start
    /// (`..b`) begins with the oldest record that is still there.
    ///
    /// # Errors
    ///
    /// The stream gives those of [`Reader::range`], and [`InvalidArgument`](MiniStoreError::InvalidArgument) where
    /// [`get`](Self::get) does.
    pub fn range<T: DeserializeOwned>(&self, seqs: impl RangeBounds<u64>) -> RecordStream<T> {
        RecordStream::of(match self.durable_range(&seqs) {
            Ok((reader, wanted)) => reader.source(wanted),
            Err(error) => {
                ReadPlan::Refused { path: self.status().path.clone(), reason: refusal_reason(error) }
            }
        })
    }

    /// Returns the store's reader and the numbers that are durable now.
    fn durable_range(&self, seqs: &impl RangeBounds<u64>) -> Result<(Reader, Range<u64>)> {
        self.status().check_stable_seqs()?;
        let Range { start, end } = seq_range(seqs);
        let wanted = start..end.min(self.durable_seq().saturating_add(1));
        let PointReader { reader, threads } = self.point_reader();
        if threads.in_forked_child() {
            // A thread that this forked child does not have may hold the locks of the shared index.
            return Ok((Reader::new(Arc::clone(reader.disk()), reader.path()), wanted));
        }
        Ok((reader.clone(), wanted))
    }

    /// `None` where there is no such record yet.
    fn shared_if_durable(&self, seq: u64) -> Result<Option<&Arc<StoreStatus>>> {
        let status = self.status();
        status.check_fork()?;
        status.check_stable_seqs()?;
        Ok((1..=status.durable_seq()).contains(&seq).then_some(status))
    }
}

impl BlockingStore<'_> {
    /// Returns the record with sequence number `seq`; `None` where it is not durable yet. Reads on the calling thread.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::get`].
    pub fn get<T: DeserializeOwned>(&self, seq: u64) -> Result<Option<Record<T>>> {
        let Some(status) = self.store().shared_if_durable(seq)? else { return Ok(None) };
        let found = find(&self.store().point_reader().reader, status, seq)?;
        found.map(|found| found.parse()).transpose()
    }

    /// Returns the records with these sequence numbers that are durable when this is called, from both ends. Reads on the
    /// calling thread.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::range`].
    pub fn range<T: DeserializeOwned>(&self, seqs: impl RangeBounds<u64>) -> RecordRange<T> {
        match self.store().durable_range(&seqs) {
            Ok((reader, wanted)) => RecordRange::new(reader, wanted),
            Err(error) => RecordRange::failed(self.store().point_reader().reader.clone(), error),
        }
    }
}

fn refusal_reason(error: MiniStoreError) -> String {
    match error {
        MiniStoreError::InvalidArgument(reason) => reason,
        other => other.to_string(),
    }
}

/// A record that was acknowledged.
fn find(reader: &Reader, status: &StoreStatus, seq: u64) -> Result<Option<FoundRecord>> {
    let index = reader.index();
    if let Some(found) = reader.find(seq)? {
        return Ok(Some(found));
    }
    // It stands somewhere: what is known of the files is out of date. Without numbers in the headers there may be fewer
    // records to count than there were.
    let found = index.find_after_relist(seq)?;
    if found.is_some() || !index.has_seqs() {
        return Ok(found);
    }
    Err(MiniStoreError::Corrupt {
        segment: status.path.clone(),
        offset: 0,
        line: 1,
        seq: Some(seq),
        reason: "an acknowledged record is missing".into(),
    })
}
