//! `SQLite` through `rusqlite`, with its bundled version: WAL, `synchronous=FULL`, one insert per transaction.
//!
//! Many callers either share one connection in a mutex, or have one connection each and wait while another writes.
//! Neither was faster beyond the noise, from 1 to 1,024 callers; the first one is measured by default.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, params};

use super::threads::{AppendFn, BlockingLog};
use crate::log_under_test::{LogError, LogResult, Record};

const INSERT: &str = "INSERT INTO log (line) VALUES (?1)";

/// How long a connection waits for another one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

fn connect(path: &Path) -> LogResult<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(LogError(format!("journal mode {mode}")));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection
        .execute_batch("CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, line BLOB NOT NULL)")?;
    Ok(connection)
}

fn insert(connection: &Connection, record: &Record) -> LogResult<()> {
    let line = record.to_bytes()?;
    let mut insert = connection.prepare_cached(INSERT)?;
    insert.execute(params![&*line]).map(drop).map_err(LogError::from)
}

pub fn stored(dir: &Path) -> LogResult<u64> {
    let count = connect(&dir.join("log.db"))?.query_row("SELECT count(*) FROM log", [], |row| row.get(0));
    let count: i64 = count?;
    u64::try_from(count).map_err(LogError::from)
}

#[derive(Debug)]
pub struct SharedConnection(Mutex<Connection>);

impl SharedConnection {
    pub fn open(dir: &Path) -> LogResult<Self> {
        Ok(Self(Mutex::new(connect(&dir.join("log.db"))?)))
    }
}

impl BlockingLog for SharedConnection {
    fn caller(&self, _: u32) -> LogResult<AppendFn<'_>> {
        Ok(Box::new(|record| insert(&self.0.lock().unwrap_or_else(PoisonError::into_inner), record)))
    }
}

#[derive(Debug)]
pub struct ConnectionPerCaller(PathBuf);

impl ConnectionPerCaller {
    pub fn open(dir: &Path) -> LogResult<Self> {
        let path = dir.join("log.db");
        connect(&path)?;
        Ok(Self(path))
    }
}

impl BlockingLog for ConnectionPerCaller {
    fn caller(&self, _: u32) -> LogResult<AppendFn<'_>> {
        let connection = connect(&self.0)?;
        Ok(Box::new(move |record| insert(&connection, record)))
    }
}
