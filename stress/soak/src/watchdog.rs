//! Aborts the program if it makes no progress, which means that a thread is blocked indefinitely.

use std::{
    path::{Path, PathBuf},
    process,
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use crate::ledger::Ledger;

/// Abort if no record is read back for this long.
const HANG_TIMEOUT: Duration = Duration::from_secs(120);

/// A running watchdog. It stops when dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    _done: Sender<()>,
}

impl Watchdog {
    pub(crate) fn start(ledger: Arc<Ledger>, path: &Path) -> Self {
        let (done, stop) = channel();
        let path: PathBuf = path.into();
        thread::spawn(move || {
            let mut before = ledger.verified();
            while stop.recv_timeout(HANG_TIMEOUT) == Err(RecvTimeoutError::Timeout) {
                let now = ledger.verified();
                if now == before {
                    eprintln!(
                        "no progress for {} s: the journal is kept in {}",
                        HANG_TIMEOUT.as_secs(),
                        path.display()
                    );
                    process::abort();
                }
                before = now;
            }
        });
        Self { _done: done }
    }
}
