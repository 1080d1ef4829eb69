//! `SQLite` through `rusqlite`, with the version that it bundles: WAL, `synchronous=FULL`, one insert a transaction.
//!
//! Two ways to be called by many: one connection behind a mutex, or one a caller with a time to wait while another writes.
//! Neither was the faster one beyond the noise, from 1 to 1,024 callers; the first is what is measured unless told otherwise.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, params};

use super::threads::{Blocking, Caller};
use crate::contestant::{Answer, Record, Refusal};

const INSERT: &str = "INSERT INTO log (line) VALUES (?1)";

/// How long a connection waits for another.
const BUSY: Duration = Duration::from_secs(60);

fn connect(path: &Path) -> Answer<Connection> {
    let connection = Connection::open(path).map_err(Refusal::of)?;
    connection.busy_timeout(BUSY).map_err(Refusal::of)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(Refusal::of)?;
    if mode != "wal" {
        return Err(Refusal(format!("journal mode {mode}")));
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(Refusal::of)?;
    connection
        .execute_batch("CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, line BLOB NOT NULL)")
        .map_err(Refusal::of)?;
    Ok(connection)
}

fn insert(connection: &Connection, record: &Record) -> Answer<()> {
    let line = record.to_bytes()?;
    let mut insert = connection.prepare_cached(INSERT).map_err(Refusal::of)?;
    insert.execute(params![line]).map(drop).map_err(Refusal::of)
}

/// How many records the database in `dir` has.
///
/// # Errors
///
/// What `SQLite` says.
pub fn kept(dir: &Path) -> Answer<u64> {
    let count = connect(&dir.join("log.db"))?.query_row("SELECT count(*) FROM log", [], |row| row.get(0));
    let count: i64 = count.map_err(Refusal::of)?;
    u64::try_from(count).map_err(Refusal::of)
}

/// One connection behind a mutex.
#[derive(Debug)]
pub struct Shared(Mutex<Connection>);

impl Shared {
    /// Opens or creates it.
    ///
    /// # Errors
    ///
    /// What `SQLite` says.
    pub fn open(dir: &Path) -> Answer<Self> {
        Ok(Self(Mutex::new(connect(&dir.join("log.db"))?)))
    }
}

impl Blocking for Shared {
    fn caller(&self, _: u32) -> Answer<Caller<'_>> {
        Ok(Box::new(|record| insert(&self.0.lock().unwrap_or_else(PoisonError::into_inner), record)))
    }
}

/// One connection a caller.
#[derive(Debug)]
pub struct Connections(PathBuf);

impl Connections {
    /// Creates the database.
    ///
    /// # Errors
    ///
    /// What `SQLite` says.
    pub fn open(dir: &Path) -> Answer<Self> {
        let path = dir.join("log.db");
        connect(&path)?;
        Ok(Self(path))
    }
}

impl Blocking for Connections {
    fn caller(&self, _: u32) -> Answer<Caller<'_>> {
        let connection = connect(&self.0)?;
        Ok(Box::new(move |record| insert(&connection, record)))
    }
}
