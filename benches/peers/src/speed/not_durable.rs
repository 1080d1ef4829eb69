//! The price of durability: the same lines written to a buffered file that a background thread syncs once a second.
//!
//! Not durable: a power cut loses the acknowledged records of the last second or more.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::Path,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::{Builder, JoinHandle},
    time::Duration,
};

use super::threads::{AppendFn, BlockingLog};
use crate::log_under_test::{LogError, LogResult};

const SYNC_INTERVAL: Duration = Duration::from_secs(1);

const NAME: &str = "written.jsonl";

/// A file opened for appending, and the thread that syncs it.
#[derive(Debug)]
pub struct WrittenFile {
    file: File,
    /// The thread ends when this is dropped.
    stop: Option<Sender<()>>,
    syncer: Option<JoinHandle<io::Result<()>>>,
}

impl WrittenFile {
    pub fn open(dir: &Path) -> LogResult<Self> {
        let file = OpenOptions::new().create(true).append(true).open(dir.join(NAME))?;
        let (stop, stopped) = channel();
        let synced = file.try_clone()?;
        let syncer = Builder::new().name("syncer".into()).spawn(move || {
            while stopped.recv_timeout(SYNC_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                synced.sync_data()?;
            }
            Ok(())
        })?;
        Ok(Self { file, stop: Some(stop), syncer: Some(syncer) })
    }
}

impl BlockingLog for WrittenFile {
    fn caller(&self, _: u32) -> LogResult<AppendFn<'_>> {
        Ok(Box::new(|record| {
            let mut line = record.to_bytes()?.into_owned();
            line.push(b'\n');
            (&self.file).write_all(&line).map_err(LogError::from)
        }))
    }
}

impl Drop for WrittenFile {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(syncer) = self.syncer.take() {
            syncer.join().ok();
        }
    }
}

/// Returns the number of lines in the file.
pub fn stored(dir: &Path) -> LogResult<u64> {
    let lines = BufReader::new(File::open(dir.join(NAME))?).split(b'\n');
    lines.map(|line| line.map(|_| 1).map_err(LogError::from)).sum()
}
