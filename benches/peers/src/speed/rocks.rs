//! `RocksDB`'s log: `put` with synced writes, default options, keys that count up. Its writers gather in groups by themselves.

use std::{
    fmt,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use rocksdb::{DB, IteratorMode, Options, WriteOptions};

use super::threads::{Blocking, Caller};
use crate::contestant::{Answer, Refusal};

/// An open database.
pub struct Rocks {
    db: DB,
    next: AtomicU64,
}

impl fmt::Debug for Rocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rocks").finish_non_exhaustive()
    }
}

impl Rocks {
    /// Opens or creates it.
    ///
    /// # Errors
    ///
    /// What `RocksDB` says.
    pub fn open(dir: &Path) -> Answer<Self> {
        let mut options = Options::default();
        options.create_if_missing(true);
        let db = DB::open(&options, dir.join("rocks")).map_err(Refusal::of)?;
        Ok(Self { db, next: AtomicU64::new(0) })
    }
}

impl Blocking for Rocks {
    fn caller(&self, _: u32) -> Answer<Caller<'_>> {
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        Ok(Box::new(move |record| {
            let key = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            self.db.put_opt(key, record.to_bytes()?, &synced).map_err(Refusal::of)
        }))
    }
}

/// How many records the database in `dir` has.
///
/// # Errors
///
/// What `RocksDB` says.
pub fn kept(dir: &Path) -> Answer<u64> {
    let db = DB::open(&Options::default(), dir.join("rocks")).map_err(Refusal::of)?;
    let entries = db.iterator(IteratorMode::Start);
    entries.map(|entry| entry.map(|_| 1).map_err(Refusal::of)).sum()
}
