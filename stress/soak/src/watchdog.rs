//! Ends the program where nothing moves any more: somebody waits for ever.

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

/// Nothing was read back for this long.
const HANG: Duration = Duration::from_secs(120);

/// Dropping it calls the dog off.
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
            while stop.recv_timeout(HANG) == Err(RecvTimeoutError::Timeout) {
                let now = ledger.verified();
                if now == before {
                    eprintln!(
                        "nothing moved for {} s: the journal stays in {}",
                        HANG.as_secs(),
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
