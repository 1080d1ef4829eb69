//! Owns the interval log of a benchmark: what the stages of the commits took, a second at a time.

use std::{
    fs::File,
    io::{self, BufWriter},
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use ministore_uring::{MiniStore, stats::HlogWriter};

use super::distribution::failure;
use crate::exit::Failure;

/// How long an interval is.
const INTERVAL: Duration = Duration::from_secs(1);

/// Runs a load, and writes the log beside it.
pub(super) fn log_while<T>(
    store: &MiniStore,
    path: &Path,
    run: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let failed = |error: io::Error| failure(path, &error);
    let out = BufWriter::new(File::create(path).map_err(failed)?);
    let (done, ended) = channel::<()>();
    thread::scope(|scope| {
        let logging = scope.spawn(|| log(store, out, ended));
        let ran = run();
        drop(done);
        let logged = logging.join().unwrap_or_else(|_| Err(io::Error::other("the log's thread panicked")));
        let ran = ran?;
        logged.map_err(failed)?;
        Ok(ran)
    })
}

/// An interval after the other, until nobody can say any more that it is done.
fn log(store: &MiniStore, out: impl io::Write, ended: Receiver<()>) -> io::Result<()> {
    let mut last = store.stats();
    let mut log = HlogWriter::new(out, last.started)?;
    loop {
        let done = ended.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout);
        let now = store.stats();
        log.write(&now.since(&last))?;
        if done {
            return log.flush();
        }
        last = now;
    }
}
