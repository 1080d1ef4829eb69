//! `RocksDB`'s log: `put` with synced writes, default options, ascending keys. `RocksDB` groups concurrent writers
//! itself.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use rocksdb::{DB, IteratorMode, Options, WriteOptions};

use super::threads::{AppendFn, BlockingLog};
use crate::log_under_test::{LogError, LogResult};

pub struct RocksDb {
    db: DB,
    next: AtomicU64,
}

impl RocksDb {
    pub fn open(dir: &Path) -> LogResult<Self> {
        let mut options = Options::default();
        options.create_if_missing(true);
        let db = DB::open(&options, dir.join("rocks"))?;
        Ok(Self { db, next: AtomicU64::new(0) })
    }
}

impl BlockingLog for RocksDb {
    fn caller(&self, _: u32) -> LogResult<AppendFn<'_>> {
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        Ok(Box::new(move |record| {
            let key = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            self.db.put_opt(key, &*record.to_bytes()?, &synced).map_err(LogError::from)
        }))
    }
}

pub fn stored(dir: &Path) -> LogResult<u64> {
    let db = DB::open(&Options::default(), dir.join("rocks"))?;
    let entries = db.iterator(IteratorMode::Start);
    entries.map(|entry| entry.map(|_| 1).map_err(LogError::from)).sum()
}
