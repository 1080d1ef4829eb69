//! Random reads of an open store's journal. They return durable records only; the async ones never read files on the
//! caller's thread.

use std::{
    ops::{Range, RangeBounds},
    sync::Arc,
};

use serde::de::DeserializeOwned;

use super::point_reader::PointReader;
use crate::{
    BlockingStore, MiniStore, MiniStoreError, Reader, Record, RecordRange, RecordStream, Result,
    journal::{
        reply::{Reply, reply},
        status::StoreStatus,
    },
    read::{FoundRecord, ReadPlan, seq_range},
    sync::oneshot,
};

impl MiniStore {
    /// Returns the record with sequence number `seq`; `None` where it is not durable yet, and for 0. It is found as a
    /// [`Reader`] finds it; all handles of a store share one index. The file is read on a thread of the store's own,
    /// and the record is deserialized in the caller's task. A store that is closed or poisoned can still be read.
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
    /// As [`Reader::get`]; [`InvalidArgument`](MiniStoreError::InvalidArgument) where the store was opened [without
    /// checksums](crate::JournalOptions::checksums) and deletes old segments, so sequence numbers are not stable;
    /// [`Forked`](MiniStoreError::Forked) in a fork of the process that opened the store, which can open a [`Reader`]
    /// instead.
    pub async fn get<T: DeserializeOwned>(&self, seq: u64) -> Result<Option<Record<T>>> {
        let Some(status) = self.status_if_durable(seq)? else { return Ok(None) };
        let (reply_tx, outcome) = oneshot::channel();
        let (reader, job_status) = (self.point_reader().reader.clone(), Arc::clone(status));
        let job = move || {
            // The caller may have dropped its future: then nothing is read.
            if !reply_tx.is_closed() {
                reply(reply_tx, find(&reader, &job_status, seq));
            }
        };
        self.point_reader().pool.run(job)?;
        let found = Reply { outcome, status: Arc::clone(status) }.await?;
        found.map(|found: FoundRecord| found.parse()).transpose()
    }

    /// Returns the records with these sequence numbers that are durable when this is called, as a stream that needs no
    /// particular runtime: the files are read on a thread of its own, in bounded memory. A range without a start
    /// (`..b`) begins with the oldest record that exists.
    ///
    /// # Errors
    ///
    /// The stream yields those of [`Reader::range`], and [`InvalidArgument`](MiniStoreError::InvalidArgument) where
    /// [`get`](Self::get) does.
    pub fn range<T: DeserializeOwned>(&self, seqs: impl RangeBounds<u64>) -> RecordStream<T> {
        RecordStream::of(match self.durable_range(&seqs) {
            Ok((reader, wanted)) => reader.read_plan(wanted),
            Err(error) => {
                ReadPlan::Invalid { path: self.status().path.clone(), reason: invalid_reason(error) }
            }
        })
    }

    /// Returns the store's reader, and the durable part of the range.
    fn durable_range(&self, seqs: &impl RangeBounds<u64>) -> Result<(Reader, Range<u64>)> {
        self.status().check_stable_seqs()?;
        let Range { start, end } = seq_range(seqs);
        let wanted = start..end.min(self.durable_seq().saturating_add(1));
        let PointReader { reader, pool } = self.point_reader();
        if pool.in_forked_child() {
            // A thread that this forked child does not have may hold the locks of the shared index.
            return Ok((Reader::new(Arc::clone(reader.fs()), reader.path()), wanted));
        }
        Ok((reader.clone(), wanted))
    }

    /// Returns the store's status; `None` where the record is not durable yet, and for 0.
    fn status_if_durable(&self, seq: u64) -> Result<Option<&Arc<StoreStatus>>> {
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
        let Some(status) = self.store().status_if_durable(seq)? else { return Ok(None) };
        let found = find(&self.store().point_reader().reader, status, seq)?;
        found.map(|found| found.parse()).transpose()
    }

    /// Returns the records with these sequence numbers that are durable when this is called, from both ends. Reads on
    /// the calling thread.
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

fn invalid_reason(error: MiniStoreError) -> String {
    match error {
        MiniStoreError::InvalidArgument(reason) => reason,
        other => other.to_string(),
    }
}

/// Finds a record that was acknowledged, so that its absence is corruption.
fn find(reader: &Reader, status: &StoreStatus, seq: u64) -> Result<Option<FoundRecord>> {
    let index = reader.index();
    if let Some(found) = reader.find(seq)? {
        return Ok(Some(found));
    }
    // The record exists, so the index is out of date. Without sequence numbers in the headers, retention may have left
    // fewer records to count, and a missing one is no corruption.
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
